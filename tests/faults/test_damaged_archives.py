"""FAULTS row 83: damaged and crafted code archives, alignments and downloads are one sentence and cost nothing."""

import io
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
from commands import npy, one_sentence

from vqvc._util import archive
from vqvc.cli import probe
from vqvc.corpus.codes import CodeArchive
from vqvc.errors import CorpusError, VqvcError


@pytest.fixture(scope="module")
def codes_bytes(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("codes") / "codes.npz"
    rows = [(f"p{n}_001", f"p{n}", "train", 6400, np.arange(10) % 4) for n in range(3)]
    CodeArchive.build(rows, hop_length=640, sample_rate=16000, codebook_size=4).save(path)
    return path.read_bytes()


def test_row_83_changed_bytes_of_a_code_archive_are_one_sentence(codes_bytes, tmp_path):
    rng, path, refused = np.random.default_rng(3), tmp_path / "codes.npz", 0
    for n in range(400):
        data = bytearray(codes_bytes if n % 4 else codes_bytes[: int(rng.integers(len(codes_bytes)))])
        for place in rng.integers(0, max(1, len(data)), int(rng.integers(1, 4))):
            if len(data):
                data[place] = rng.integers(256)
        path.write_bytes(bytes(data))
        try:
            CodeArchive.load(path)
        except CorpusError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error)
    assert refused > 200


CRAFTED = {
    "codes": [
        np.array(["a"]),
        np.zeros((2, 2), np.int16),
        np.array([object()]),
        np.full(30, 9, np.int16),
        np.zeros(30),
    ],
    "offsets": [
        np.array([0, 20, 10, 30]),
        np.array([0.0, 10, 20, 30]),
        np.array([0, 10, 20, 31]),
        np.array([0, 10, 20, 30], np.uint64),
        np.array(3),
    ],
    "lengths_samples": [np.array(["x", "y", "z"]), np.array([1])],
    "utt_ids": [np.array([b"a", b"b", b"c"]), np.array(["a", "a", "b"]), np.array([1, 2, 3]), np.array("abc")],
    "hop_length": [np.array([1, 2]), np.array("x"), np.array(0), np.array(-5), np.array(float("nan")), np.array(None)],
    "sample_rate": [np.array(0), np.array(1e300)],
    "codebook_size": [np.array(1 << 40), np.array(3)],
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, n) for name, arrays in CRAFTED.items() for n in range(len(arrays))]
)
def test_row_83_crafted_arrays_of_a_code_archive_are_one_sentence(codes_bytes, tmp_path, name, number):
    path = tmp_path / "codes.npz"
    with np.load(io.BytesIO(codes_bytes)) as file:
        arrays = {key: file[key] for key in file.files}
    np.savez(path, **arrays | {name: CRAFTED[name][number]})
    with pytest.raises(CorpusError, match=r"codes\.npz: .*; make it again with vqvc-encode$"):
        CodeArchive.load(path)
    arrays.pop(name)
    np.savez(path, **arrays)
    with pytest.raises(CorpusError, match="is not a readable code archive"):
        CodeArchive.load(path)


def test_row_83_what_is_no_code_archive_costs_nothing(codes_bytes, tmp_path):
    path = tmp_path / "codes.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:  # a bomb
        opened.writestr("codes.npy", bytes(300 << 20))
    with pytest.raises(CorpusError, match="is not a readable code archive"):
        CodeArchive.load(path)
    for data in (npy(np.zeros(3)), b"text", b""):
        path.write_bytes(data)
        with pytest.raises(CorpusError, match="is not a readable code archive"):
            CodeArchive.load(path)
    with zipfile.ZipFile(path, "w") as opened:
        for name in (
            "codes",
            "offsets",
            "lengths_samples",
            "utt_ids",
            "speakers",
            "subsets",
            "hop_length",
            "sample_rate",
            "codebook_size",
            "model",
        ):
            opened.writestr(name, b"not an array")
    with pytest.raises(CorpusError, match="is not a readable code archive"):
        CodeArchive.load(path)


@pytest.mark.parametrize(
    "line",
    [
        b"p0_001 0.0 0.1 \xff\xfe\n",
        b"p0_001 0.0\n",
        b"p0_001 nan 0.1 aa\n",
        b"p0_001 0.0 0.1 qq\n",
        b"p0_001 0 1e999 aa\n",
    ],
)
def test_row_83_a_damaged_alignment_is_one_sentence(codes_bytes, tmp_path, capsys, line):
    (tmp_path / "codes.npz").write_bytes(codes_bytes)
    (tmp_path / "phones.ctm").write_bytes(line)
    given = ["--codes", tmp_path / "codes.npz", "--align", tmp_path / "phones.ctm", "--out", tmp_path / "out"]
    assert probe.main([str(word) for word in given]) == 1
    one_sentence(capsys, 1, "phones.ctm")


def _archives(folder):
    rng = np.random.default_rng(4)
    members = {f"wav/{n}.wav": rng.bytes(3000) for n in range(3)}
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    for mode in ("gz", "bz2", "xz"):
        with tarfile.open(folder / f"a.tar.{mode}", f"w:{mode}") as opened:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                opened.addfile(info, io.BytesIO(data))
    return [path.name for path in sorted(folder.iterdir())]


def test_row_83_damaged_archives_are_one_sentence_and_write_nothing_outside(tmp_path):
    rng = np.random.default_rng(5)
    (tmp_path / "good").mkdir()
    for name in _archives(tmp_path / "good"):
        whole, refused = (tmp_path / "good" / name).read_bytes(), 0
        for n in range(60):
            data = bytearray(whole if n % 3 else whole[: int(rng.integers(len(whole)))])
            for place in rng.integers(0, max(1, len(data)), 3):
                if len(data):
                    data[place] = rng.integers(256)
            path = tmp_path / name
            path.write_bytes(bytes(data))
            try:
                archive.unpack(path, tmp_path / "out")
            except VqvcError as error:
                refused += 1
                assert name in str(error) and "\n" not in str(error)
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            assert set(os.listdir(tmp_path)) == {"good", name}
            path.unlink()
        assert refused > 20, name
