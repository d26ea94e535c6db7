"""Converted copies: conversions of a store's utterances by a model, laid out as its audio is."""

import numpy as np
import pytest

from vqvc.corpus import converted_copies, perturbation
from vqvc.corpus.store import CONVERTED, PackedStore, Speaker, copy_name
from vqvc.corpus.store_writer import StoreWriter
from vqvc.errors import AudioError

RATE = 16000


class Echo:
    """Converts by turning the samples round, at half the level; a short utterance is refused."""

    checksum, speakers = "abc", ("p1", "p2", "p3")

    def __init__(self):
        self.targets = []

    def analyse(self, source, *, equalizer):
        if len(source[0]) < 2000:
            raise AudioError("too short")
        return source[0]

    def synthesize(self, pairs, *, seed):
        self.targets += [speaker for _, speaker in pairs]
        return [0.5 * samples[::-1] for samples, _ in pairs]


@pytest.fixture
def store(tmp_path) -> PackedStore:
    rng = np.random.default_rng(0)
    with StoreWriter(tmp_path / "dump", sample_rate=RATE, level_rms=0.06) as writer:
        for number, length in enumerate([3000, 1600, 5000]):
            samples = (0.06 * rng.standard_normal(length)).astype(np.float32)
            writer.add(f"p1_{number}", samples, speaker="p1", subset="train")
        writer.finish([Speaker("p1")])
    return PackedStore(tmp_path / "dump")


def test_a_copy_holds_the_conversions_at_the_level_of_the_originals(store):
    echo = Echo()
    assert sum(converted_copies.add_copies(store, 2, echo)) == 6
    made = PackedStore(store.path)
    assert len(made.copies) == 2 and not set(echo.targets) - {"p2", "p3"}
    assert np.abs(made.copies[0][:3000].astype(int) - store.audio[:3000][::-1]).max() <= 2
    assert np.array_equal(made.copies[0][3000:4600], store.audio[3000:4600])  # what cannot be converted stays
    made.verify()


def test_copies_by_the_same_model_are_kept(store):
    assert sum(converted_copies.add_copies(store, 1, Echo())) == 3
    assert sum(converted_copies.add_copies(PackedStore(store.path), 1, Echo())) == 0
    other = Echo()
    other.checksum = "def"
    assert sum(converted_copies.add_copies(PackedStore(store.path), 1, other)) == 3


def test_perturbed_and_converted_copies_stand_side_by_side(store):
    list(perturbation.add_copies(store, 1))
    list(converted_copies.add_copies(PackedStore(store.path), 1, Echo()))
    made = PackedStore(store.path)
    assert list(made.copies_sha256) == ["perturbed-1.s16", copy_name(CONVERTED, 1)] and len(made.copies) == 2


def test_the_voices_of_an_utterance_differ_between_copies(store):
    utterance = store.utterances[0]
    voices = {converted_copies.voice_of(utterance, copy, [f"p{n}" for n in range(50)], 1) for copy in range(20)}
    assert len(voices) > 10 and "p1" not in voices
    assert converted_copies.voice_of(utterance, 1, ["p1"], 1) == "p1"
