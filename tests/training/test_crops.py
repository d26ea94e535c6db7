"""Crops: a function of seed and step alone, shared out without loss, silent and unscored where there is no speech."""

import numpy as np
import pytest
from tiny_training import tiny_store

from vqvc.corpus.store import PackedStore, Speaker
from vqvc.corpus.store_writer import StoreWriter
from vqvc.errors import CorpusError
from vqvc.training.crops import Crops

SPEAKERS = ("p0", "p1", "p2")


def _crops(store, **options) -> Crops:
    options = {"batch_size": 5, "crop_samples": 256, "context_samples": 32, "history_samples": 16} | options
    return Crops(store, "train", options.pop("speakers", SPEAKERS), **options)


def _equal(a, b) -> bool:
    return a.utt_ids == b.utt_ids and all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for name in ("waveform", "history", "source", "speaker", "scored")
    )


def _start(wave: np.ndarray, row: np.ndarray) -> int:
    """Where ``row`` stands in ``wave``; both end in silence."""
    padded = np.concatenate([wave, np.zeros(len(row), np.float32)])
    found = (np.lib.stride_tricks.sliding_window_view(padded, len(row)) == row).all(1).nonzero()[0]
    assert len(found) == 1
    return int(found[0])


def test_a_batch_is_a_function_of_seed_and_step(store):
    crops = _crops(store)
    later, earlier = crops.batch(7), crops.batch(3)
    fresh = _crops(store)
    assert _equal(fresh.batch(3), earlier) and _equal(fresh.batch(7), later)
    assert not _equal(earlier, later) and not _equal(_crops(store, seed=2).batch(3), earlier)


def test_the_stream_goes_on_at_any_step(store):
    crops = _crops(store)
    stream = list(crops.batches(4, 9))
    assert [batch.step for batch in stream] == [4, 5, 6, 7, 8]
    assert all(_equal(batch, crops.batch(batch.step)) for batch in stream)
    assert list(crops.batches(9, 9)) == []


@pytest.mark.parametrize("workers", [2, 3])
def test_the_shares_of_all_workers_are_the_batch_of_one(store, workers):
    whole = _crops(store).batch(11)
    shares = [_crops(store, share=(rank, workers)).batch(11) for rank in range(workers)]
    for name in ("waveform", "history", "source", "speaker", "scored"):
        together = np.empty_like(getattr(whole, name))
        for rank, share in enumerate(shares):
            together[rank::workers] = getattr(share, name)
        assert np.array_equal(together, getattr(whole, name))
    assert sorted(whole.utt_ids) == sorted(sum((share.utt_ids for share in shares), ()))
    assert _equal(_crops(store, share=(1, workers)).batch(11, whole=True), whole)


def test_a_crop_is_a_piece_of_its_utterance_after_its_history(store):
    crops, starts = _crops(store, crop_samples=1024, context_samples=200), []
    for step in range(12):
        batch = crops.batch(step)
        for row, utt_id in enumerate(batch.utt_ids):
            wave = store.waveform(utt_id)
            start = _start(wave, batch.waveform[row])
            before = np.concatenate([np.zeros(16, np.float32), wave])[start : start + 16]
            assert np.array_equal(batch.history[row], before)
            assert SPEAKERS[batch.speaker[row]] == store.utterance(utt_id).speaker
            scored = np.zeros(1024, bool)
            scored[200 if start else 0 : len(wave) - start] = True
            assert np.array_equal(batch.scored[row], scored)
            starts.append(start)
    assert 0 in starts and len({start % 16 for start in starts}) > 8  # the code grid falls anywhere


def test_after_the_end_of_an_utterance_there_is_unscored_silence(tmp_path):
    short = tiny_store(tmp_path / "dump", length_samples=100)
    batch = _crops(short, crop_samples=512).batch(0)
    for row, utt_id in enumerate(batch.utt_ids):
        length = short.utterance(utt_id).length_samples
        assert not batch.waveform[row, length:].any() and not batch.history[row].any()
        assert batch.scored[row, :length].all() and not batch.scored[row, length:].any()


@pytest.fixture(scope="module")
def unequal(tmp_path_factory) -> PackedStore:
    """p0 has four times as much speech as p1; p2 is in dev alone."""
    path = tmp_path_factory.mktemp("unequal") / "dump"
    with StoreWriter(path, sample_rate=16000, level_rms=0.06) as writer:
        for name, length, subset in (
            ("p0_1", 3000, "train"),
            ("p0_2", 1000, "train"),
            ("p1_1", 1000, "train"),
            ("p2_1", 900, "dev"),
        ):
            writer.add(name, np.full(length, 0.1), speaker=name[:2], subset=subset)
        writer.finish([Speaker(name) for name in SPEAKERS])
    return PackedStore(path)


@pytest.mark.parametrize("balance, share", [(0.0, 4 / 5), (0.5, 2 / 3), (1.0, 1 / 2)])
def test_speakers_come_as_often_as_balance_asks(unequal, balance, share):
    crops = _crops(unequal, speaker_balance=balance, batch_size=1500)
    batch = crops.batch(0)
    assert np.mean(batch.speaker == 0) == pytest.approx(share, abs=0.04)
    own = [utt_id for utt_id in batch.utt_ids if utt_id.startswith("p0")]
    assert own.count("p0_1") / len(own) == pytest.approx(3 / 4, abs=0.05)  # utterances by their length
    assert "p2_1" not in batch.utt_ids


def test_numbers_are_those_of_the_given_table(unequal):
    assert set(_crops(unequal, speakers=("x", "p1")).batch(0).speaker) == {1}


def test_nothing_to_train_on_is_an_error(unequal):
    with pytest.raises(CorpusError, match="train is empty"):
        _crops(unequal, speakers=("p2",))


def test_a_bad_item_names_its_utterance_and_the_others_keep_their_order(tmp_path):
    store = tiny_store(tmp_path / "dump")
    crops, whole = _crops(store, batch_size=1), _crops(store, batch_size=1)
    last = store.subset("train")[-1]
    expected = [whole.batch(step) for step in range(40)]
    crops.store = PackedStore(store.path)
    crops.store.__dict__["audio"] = store.audio[: last.offset_samples]  # the rest of the file has gone
    seen = []
    with pytest.raises(CorpusError, match=f"{last.utt_id} is cut short"):
        for batch in crops.batches(0, 40):
            seen.append(batch)
    first_bad = [batch.utt_ids[0] for batch in expected].index(last.utt_id)
    assert len(seen) == first_bad > 0
    assert all(_equal(a, b) for a, b in zip(seen, expected))
