"""The packed store: what goes in comes out, a stopped writer goes on, damage is seen."""

import pickle
import shutil

import numpy as np
import pytest

from vqvc.corpus.store import PackedStore, Speaker
from vqvc.corpus.store_writer import StoreWriter
from vqvc.errors import CorpusError, UsageError

NAMES = [f"p22{n}_{m:03d}" for n in (5, 6) for m in (1, 2, 3)]


def _samples(name):
    length = 400 + 10 * NAMES.index(name)
    return np.random.default_rng(NAMES.index(name)).integers(-3000, 3000, length).astype(np.int16)


def _writer(path, fingerprint="f"):
    return StoreWriter(path, sample_rate=16000, level_rms=0.06, fingerprint=fingerprint)


def _add(writer, name):
    subset = "train" if name.endswith("1") else "dev"
    writer.add(
        name, _samples(name), speaker=name[:4], subset=subset, trim_start_samples=7, gain_db=-1.5, text="a  b\tc"
    )


def _store(path, names=NAMES):
    with _writer(path) as writer:
        for name in names:
            _add(writer, name)
        writer.finish([Speaker("p225", "f", "English"), Speaker("p999")])
    return PackedStore(path)


def _bytes(path):
    return {file.name: file.read_bytes() for file in sorted(path.iterdir())}


def test_what_goes_in_comes_out(tmp_path):
    store = _store(tmp_path / "dump")
    store.verify()
    assert [u.utt_id for u in store.utterances] == NAMES and len(store) == 6
    for name in NAMES:
        utterance = store.utterance(name)
        wave = store.waveform(utterance)
        assert wave.dtype == np.float32 and np.array_equal(wave * 32768, _samples(name))
        assert (utterance.trim_start_samples, utterance.gain_db, utterance.text) == (7, -1.5, "a b c")
    assert store.speakers == (Speaker("p225", "f", "English"), Speaker("p226"))
    assert [u.utt_id for u in store.subset("train")] == ["p225_001", "p226_001"]
    assert store.subset("test") == ()


def test_floats_are_limited_and_never_wrap(tmp_path):
    with _writer(tmp_path / "dump") as writer:
        writer.add("a_1", np.array([-2.0, -1.0, 0.0, 0.5, 1.0, 2.0]), speaker="a", subset="train")
        writer.finish([])
    assert PackedStore(tmp_path / "dump").audio.tolist() == [-32768, -32768, 0, 16384, 32767, 32767]


def test_nothing_stands_under_the_name_before_it_is_whole(tmp_path):
    with _writer(tmp_path / "dump") as writer:
        _add(writer, NAMES[0])
        assert not (tmp_path / "dump").exists()
    assert not (tmp_path / "dump").exists()
    with pytest.raises(CorpusError, match="make one with vqvc-pack"):
        PackedStore(tmp_path / "dump")


@pytest.mark.parametrize(
    "damage", ["none", "half a line", "samples without a line", "a line without samples", "a flipped byte"]
)
def test_a_stopped_writer_goes_on_to_the_same_bytes(tmp_path, damage):
    _store(tmp_path / "straight")
    with _writer(tmp_path / "dump") as writer:
        for name in NAMES[:3]:
            _add(writer, name)
    audio, items = (tmp_path / "dump.partial" / name for name in ("audio.s16", "items.jsonl"))
    kept = 3
    if damage == "half a line":
        items.write_bytes(items.read_bytes()[:-10])
        kept = 2
    elif damage == "samples without a line":
        audio.write_bytes(audio.read_bytes() + b"1234567")
    elif damage == "a line without samples":
        audio.write_bytes(audio.read_bytes()[:-2])
        kept = 2
    elif damage == "a flipped byte":
        data = bytearray(audio.read_bytes())
        data[2 * len(_samples(NAMES[0])) + 5] ^= 1
        audio.write_bytes(data)
        kept = 1
    with _writer(tmp_path / "dump") as writer:
        assert writer.resumed == kept
        for name in NAMES[kept:]:
            _add(writer, name)
        writer.finish([Speaker("p225", "f", "English")])
    assert _bytes(tmp_path / "dump") == _bytes(tmp_path / "straight")


def test_unfinished_work_of_other_inputs_is_not_taken_up(tmp_path):
    with _writer(tmp_path / "dump", "one") as writer:
        _add(writer, NAMES[0])
    with _writer(tmp_path / "dump", "two") as writer:
        assert writer.resumed == 0 and not writer.utterances


def test_two_writers_do_not_meet(tmp_path):
    with _writer(tmp_path / "dump"), pytest.raises(UsageError, match="in use by process [0-9]+"):
        _writer(tmp_path / "dump")


def test_order_and_doubles_are_refused(tmp_path):
    with _writer(tmp_path / "dump") as writer:
        _add(writer, NAMES[1])
        for name in (NAMES[1], NAMES[0]):
            with pytest.raises(CorpusError, match="must be sorted and differ"):
                _add(writer, name)


def test_an_existing_store_stays_unless_overwrite_is_asked(tmp_path):
    before = _bytes(_store(tmp_path / "dump").path)
    with _writer(tmp_path / "dump") as writer:
        _add(writer, NAMES[0])
        with pytest.raises(UsageError, match="--overwrite"):
            writer.finish([])
    assert _bytes(tmp_path / "dump") == before
    shutil.rmtree(tmp_path / "dump.partial")
    with _writer(tmp_path / "dump") as writer:
        _add(writer, NAMES[0])
        writer.finish([], overwrite=True)
    assert len(PackedStore(tmp_path / "dump")) == 1 and [p.name for p in tmp_path.iterdir()] == ["dump"]


def test_damage_is_seen(tmp_path):
    store = _store(tmp_path / "dump")
    audio = tmp_path / "dump" / "audio.s16"
    data = audio.read_bytes()
    audio.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    with pytest.raises(CorpusError, match="checksum"):
        store.verify()
    audio.write_bytes(data[:-2])
    with pytest.raises(CorpusError, match="bytes expected"):
        PackedStore(tmp_path / "dump")
    audio.write_bytes(data)
    table = tmp_path / "dump" / "utts.tsv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:2], "p225_002\tp225", *lines[3:]]) + "\n")
    with pytest.raises(CorpusError, match=r"utts.tsv:3: should hold 8 fields"):
        PackedStore(tmp_path / "dump")
    table.write_text("\n".join(lines[:1] + lines[2:]) + "\n")
    with pytest.raises(CorpusError, match="does not follow"):
        PackedStore(tmp_path / "dump")
    (tmp_path / "dump" / "store.json").write_text('{"format_version": 99}')
    with pytest.raises(CorpusError, match="format 99"):
        PackedStore(tmp_path / "dump")


def test_a_store_goes_to_workers_without_its_samples(tmp_path):
    store = _store(tmp_path / "dump")
    _ = store.audio
    packed = pickle.dumps(store)
    assert len(packed) < 500
    assert np.array_equal(pickle.loads(packed).waveform(NAMES[2]), store.waveform(NAMES[2]))


def test_an_unknown_utterance_is_named(tmp_path):
    with pytest.raises(CorpusError, match="no utterance 'p300_001'"):
        _store(tmp_path / "dump").utterance("p300_001")
