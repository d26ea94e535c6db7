"""FAULTS rows 65 and 72: a packed store whose level, tables, samples or facts are not those that were packed."""

import json
import os

import pytest

from vqvc.corpus.store import PackedStore, Speaker
from vqvc.corpus.store_writer import StoreWriter
from vqvc.errors import CorpusError


def _store(folder, level_rms=0.06, gain=1):
    with StoreWriter(folder, sample_rate=16000, level_rms=level_rms) as writer:
        for name in ("amy", "bob"):
            writer.add(f"{name}_1", [0.001 * gain] * 100, speaker=name, subset="train")
        writer.finish([Speaker("amy", "f"), Speaker("bob", "m")])
    return PackedStore(folder)


def _contents(store: PackedStore) -> tuple:
    """All that a model learns from: rate, level, samples, utterances, speakers."""
    return store.sample_rate, store.level_rms, store.audio.tobytes(), store.utterances, store.speakers


def test_row_65_the_level_is_part_of_the_store_and_of_its_identity(tmp_path):
    store = _store(tmp_path / "a")
    assert json.loads((tmp_path / "a/store.json").read_text())["level_rms"] == store.level_rms == 0.06
    assert _contents(store) == _contents(_store(tmp_path / "b"))
    assert _contents(store) != _contents(_store(tmp_path / "c", level_rms=0.05))  # the same samples at another level
    assert _contents(store) != _contents(_store(tmp_path / "d", gain=2))


@pytest.mark.parametrize("table", ["speakers.tsv", "utts.tsv"])
def test_row_72_a_table_that_was_not_packed_is_refused(tmp_path, table):
    store = _store(tmp_path / "dump")
    path = tmp_path / "dump" / table
    path.write_text(path.read_text().replace("amy\tf", "amy\tm").replace("train", "dev"))
    with pytest.raises(CorpusError, match=f"{table}: is not the one that was packed"):
        PackedStore(store.path)


def test_row_72_a_speaker_that_is_not_listed_is_named(tmp_path):
    store = _store(tmp_path / "dump")
    facts = json.loads((tmp_path / "dump/store.json").read_text())
    del facts["tables"]  # as stores of old versions are
    (tmp_path / "dump/store.json").write_text(json.dumps(facts))
    assert _contents(PackedStore(store.path)) == _contents(store)
    (tmp_path / "dump/speakers.tsv").write_text("speaker\tgender\taccent\namy\tf\t\n")
    with pytest.raises(CorpusError, match="speakers.tsv: lacks 'bob', a speaker of utts.tsv"):
        PackedStore(store.path)


def test_row_72_noise_in_place_of_the_samples_is_seen(tmp_path):
    store = _store(tmp_path / "dump")
    audio = tmp_path / "dump/audio.s16"
    audio.write_bytes(os.urandom(len(audio.read_bytes())))
    with pytest.raises(CorpusError, match="audio.s16: checksum"):
        store.verify()


@pytest.mark.parametrize("key", ["sample_rate", "level_rms", "total_samples", "sha256", "tables"])
@pytest.mark.parametrize("value", [None, "x", -1, [], float("nan")])
def test_row_72_a_store_json_of_other_types_is_one_sentence(tmp_path, key, value):
    _store(tmp_path / "dump")
    facts = json.loads((tmp_path / "dump/store.json").read_text())
    (tmp_path / "dump/store.json").write_text(json.dumps({**facts, key: value}))
    if (key, value) == ("sha256", "x"):
        with pytest.raises(CorpusError, match="checksum"):
            PackedStore(tmp_path / "dump").verify()
        return
    with pytest.raises(CorpusError, match="run vqvc-pack again"):
        PackedStore(tmp_path / "dump")
