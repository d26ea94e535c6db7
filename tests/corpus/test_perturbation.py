"""Perturbed copies: other voices and rooms, the same times, lengths and levels."""

import json

import numpy as np
import pytest

from vqvc.corpus import perturbation
from vqvc.corpus.store import PERTURBED, PackedStore, Speaker, copies_table, copy_name
from vqvc.corpus.store_writer import StoreWriter
from vqvc.errors import CorpusError

RATE = 16000


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _buzz(f0_hz: float, length: int, seed: int = 0) -> np.ndarray:
    t = np.arange(length) / RATE
    wave = sum(np.sin(2 * np.pi * k * f0_hz * t) / k for k in range(1, 20)) * (1 + np.sin(2 * np.pi * 4 * t))
    return (0.06 * wave / wave.std() + 0.001 * _rng(seed).standard_normal(length)).astype(np.float32)


@pytest.fixture
def store(tmp_path) -> PackedStore:
    with StoreWriter(tmp_path / "dump", sample_rate=RATE, level_rms=0.06) as writer:
        for number in range(3):
            writer.add(f"p1_{number}", _buzz(120 + 20 * number, 6000 + 640 * number), speaker="p1", subset="train")
        writer.finish([Speaker("p1")])
    return PackedStore(tmp_path / "dump")


@pytest.mark.parametrize("length", [40, 500, 8000])
@pytest.mark.parametrize("seed", range(4))
def test_a_copy_has_the_length_and_the_level_of_the_original(length, seed):
    wave = _buzz(130, length)
    copy = perturbation.perturb(wave, RATE, _rng(seed))
    assert copy.shape == wave.shape and copy.dtype == np.float32 and np.isfinite(copy).all() and np.abs(copy).max() <= 1
    assert np.sqrt((copy**2).mean()) == pytest.approx(np.sqrt((wave**2).mean()), rel=0.1)


def test_the_voice_changes_and_the_envelope_stays_where_it_was():
    wave = np.concatenate([np.zeros(4000), _buzz(130, 4000), np.zeros(4000), _buzz(160, 4000), np.zeros(2000)]).astype(
        np.float32
    )
    for seed in range(6):
        copy = perturbation.change_voice(wave, RATE, _rng(seed))
        loud = [np.sqrt((x[: len(x) // 500 * 500].reshape(-1, 500) ** 2).mean(1)) > 0.01 for x in (wave, copy)]
        assert (loud[0] == loud[1]).mean() > 0.9
        assert np.corrcoef(wave, copy)[0, 1] < 0.9


def test_the_equalizer_moves_nothing_in_time():
    click = np.zeros(4000, np.float32)
    click[1500] = 0.5
    filtered = perturbation.equalize(click, RATE, _rng())
    assert np.abs(filtered).argmax() == 1500
    assert np.abs(filtered[1400:1500] - filtered[1600:1500:-1]).max() < 1e-6  # zero phase: symmetric


def test_a_room_adds_nothing_before_the_sound():
    click = np.zeros(4000, np.float32)
    click[1500] = 0.5
    added = perturbation.add_room(click, RATE, _rng()) - click
    assert np.abs(added[:1500]).max() < 1e-6 < np.abs(added[1500:]).max()


def test_a_low_pass_takes_the_high_tones_alone():
    t = np.arange(RATE) / RATE
    low, high = np.sin(2 * np.pi * 1000 * t), np.sin(2 * np.pi * 6500 * t)
    filtered = perturbation.low_pass((low + high).astype(np.float32), RATE, 4000.0)[2000:-2000]
    assert np.abs(filtered - low[2000:-2000]).max() < 0.05


@pytest.mark.slow  # in two processes
def test_copies_lie_as_the_audio_lies_and_depend_on_their_utterance_alone(store, tmp_path):
    assert sum(perturbation.add_copies(store, 2)) == 6
    made = PackedStore(store.path)
    assert len(made.copies) == 2 and all(len(copy) == store.total_samples for copy in made.copies)
    assert not np.array_equal(made.copies[0], made.copies[1])
    with StoreWriter(tmp_path / "one", sample_rate=RATE, level_rms=0.06) as writer:
        writer.add("p1_1", store.audio[6000:12640], speaker="p1", subset="train")
        writer.finish([Speaker("p1")])
    alone = PackedStore(tmp_path / "one")
    list(perturbation.add_copies(alone, 1, jobs=2))
    assert np.array_equal(PackedStore(alone.path).copies[0], made.copies[0][6000:12640])


def test_copies_that_are_there_are_kept_and_those_of_another_seed_are_made_again(store):
    list(perturbation.add_copies(store, 1))
    first = (store.path / copy_name(PERTURBED, 1)).read_bytes()
    assert sum(perturbation.add_copies(PackedStore(store.path), 2)) == 3
    assert (store.path / copy_name(PERTURBED, 1)).read_bytes() == first
    assert sum(perturbation.add_copies(PackedStore(store.path), 1, seed=2)) == 3
    assert (store.path / copy_name(PERTURBED, 1)).read_bytes() != first and len(PackedStore(store.path).copies) == 1


@pytest.mark.parametrize("damage", ["cut", "other audio", "no json"])
def test_copies_of_another_audio_are_refused(store, damage):
    list(perturbation.add_copies(store, 1))
    facts = store.path / copies_table(PERTURBED)
    if damage == "cut":
        (store.path / copy_name(PERTURBED, 1)).write_bytes(b"12")
    elif damage == "other audio":
        facts.write_text(json.dumps(json.loads(facts.read_text()) | {"audio_sha256": "0" * 64}))
    else:
        facts.write_text("{")
    with pytest.raises(CorpusError, match="vqvc-pack --perturb"):
        PackedStore(store.path)
