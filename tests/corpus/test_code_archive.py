"""Code archives: what goes in comes out, equal archives are equal files, nothing is unpickled."""

import numpy as np
import pytest

from vqvc.corpus.codes import CodeArchive
from vqvc.errors import CorpusError

ROWS = [("a_1", "a", "train", 200, [1, 2, 3, 511]), ("b_1", "b", "dev", 64, [0]), ("b_2", "b", "dev", 100, [5, 5])]
FACTS = {"hop_length": 64, "sample_rate": 16000, "codebook_size": 512, "model": "abc"}


def test_what_goes_in_comes_out(tmp_path):
    CodeArchive.build(ROWS, **FACTS).save(tmp_path / "codes.npz")
    got = CodeArchive.load(tmp_path / "codes.npz")
    for utt_id, _, _, _, codes in ROWS:
        assert got.codes_of(utt_id).tolist() == codes and got.codes_of(utt_id).dtype == np.int64
    assert got.subset("dev") == ["b_1", "b_2"] and got.subset("test") == []
    assert (got.hop_length, got.sample_rate, got.codebook_size, got.model, len(got)) == (64, 16000, 512, "abc", 3)
    assert got.lengths_samples.tolist() == [200, 64, 100] and got.speakers.tolist() == ["a", "b", "b"]


def test_equal_archives_are_equal_files(tmp_path):
    for name in ("one.npz", "two.npz"):
        CodeArchive.build(ROWS, **FACTS).save(tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_an_archive_of_nothing_is_an_archive(tmp_path):
    CodeArchive.build([], **FACTS).save(tmp_path / "codes.npz")
    assert len(CodeArchive.load(tmp_path / "codes.npz")) == 0


@pytest.mark.parametrize(
    ("rows", "size", "message"),
    [(ROWS, 500, "1 to 511|0 to 511"), (ROWS + ROWS[:1], 512, "stands twice"), (ROWS, 70000, "does not fit")],
)
def test_what_cannot_be_is_refused(rows, size, message):
    with pytest.raises(CorpusError, match=message):
        CodeArchive.build(rows, **{**FACTS, "codebook_size": size})


def test_damage_and_pickles_are_refused(tmp_path):
    path = tmp_path / "codes.npz"
    CodeArchive.build(ROWS, **FACTS).save(path)
    good = path.read_bytes()
    for bad in (good[: len(good) // 2], b"", b"text"):
        path.write_bytes(bad)
        with pytest.raises(CorpusError, match="codes.npz: is not a readable code archive"):
            CodeArchive.load(path)
    np.savez(path, codes=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CorpusError, match="is not a readable"):
        CodeArchive.load(path)
    with pytest.raises(CorpusError, match="no such file"):
        CodeArchive.load(tmp_path / "none.npz")
    with pytest.raises(CorpusError, match="no utterance 'z'"):
        CodeArchive.build(ROWS, **FACTS).codes_of("z")
