"""FAULTS rows 1 to 12: the error of a bad recording, through the reader and through the commands."""

import struct

import numpy as np
import pytest
import soundfile

from vqvc.audio import io
from vqvc.audio.level import normalise
from vqvc.cli import pack, prepare
from vqvc.corpus.store import PackedStore
from vqvc.errors import AudioError


def _wav(path, seconds=4.0, rate=16000, **options):
    samples = 0.1 * np.sin(np.arange(int(seconds * rate)) / 20)
    soundfile.write(path, samples, rate, **options)
    return path


def _cut(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def _error(path):
    with pytest.raises(AudioError) as caught:
        io.read(path)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text
    with pytest.raises(AudioError):
        list(io.stream(path, 0.1))
    return text


def test_row_01_missing_file(tmp_path):
    assert _error(tmp_path / "a.wav").endswith("a.wav: no such file")
    assert "not a file" in _error(tmp_path)


@pytest.mark.parametrize("data", [b"", b"hello, this is text\n" * 50, b"RIFF", b"fLaC", b"\0" * 5000])
def test_row_02_not_audio(tmp_path, data):
    (tmp_path / "a.wav").write_bytes(data)
    assert "not a readable audio file" in _error(tmp_path / "a.wav")


def test_row_02_header_only(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 16000)
    assert "not a readable audio file (it holds no samples)" in _error(tmp_path / "a.wav")


@pytest.mark.parametrize(
    "options", [{}, {"subtype": "FLOAT"}, {"subtype": "PCM_24"}, {"format": "AIFF"}, {"format": "RF64"}]
)
def test_row_03_cut_short(tmp_path, options):
    path = _wav(tmp_path / "a.wav", **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: -(len(whole) // 2)])
    text = _error(path)
    assert "header says 4.00 s, file holds " in text and text.endswith("; get the file again")
    held = float(text.split("file holds ")[1].split(" s")[0])
    assert held == pytest.approx(2.0, abs=0.02)
    with pytest.raises(AudioError, match="header says"):
        io.info(path)


def test_row_03_one_missing_sample_is_enough(tmp_path):
    path = _wav(tmp_path / "a.wav")
    path.write_bytes(path.read_bytes()[:-2])
    assert "header says" in _error(path)


def test_row_03_a_length_left_open_by_a_pipe_is_no_cut(tmp_path):
    path = _wav(tmp_path / "a.wav", 0.5)
    data = bytearray(path.read_bytes())
    at = data.index(b"data")
    data[4:8] = data[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert len(io.read(path).samples) == 8000


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_row_04_cut_flac(tmp_path, share):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).standard_normal(32000) * 0.1, 16000)
    text = _error(_cut(path, share))
    assert "file holds" in text or "damaged" in text


def test_row_04_damaged_flac(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).standard_normal(64000) * 0.1, 16000)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = b"\0" * 3000
    path.write_bytes(data)
    text = _error(path)
    assert "damaged" in text or "file holds" in text


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_row_05_not_finite(tmp_path, bad):
    samples = np.zeros(20000, np.float32)
    samples[12345] = bad
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert "non-finite at sample 12345" in _error(tmp_path / "a.wav")


def test_row_07_silence_has_no_level():
    for silence in (np.zeros(16000), np.full(16000, 0.25)):
        with pytest.raises(AudioError, match="digital silence"):
            normalise(silence, 16000)


def test_row_09_a_rate_of_zero(tmp_path):
    path = _wav(tmp_path / "a.wav")
    data = bytearray(path.read_bytes())
    data[24:28] = struct.pack("<I", 0)
    path.write_bytes(data)
    assert "0 Hz" in _error(path) or "not a readable" in _error(path)


def test_row_09_a_huge_length_costs_no_memory(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).standard_normal(16000) * 0.1, 16000)
    data = bytearray(path.read_bytes())
    data[21] |= 0x0F  # the 36-bit number of samples in the stream's header
    data[22:26] = b"\xff" * 4
    path.write_bytes(data)
    assert "header says 4294967.30 s, file holds 1.00 s" in _error(path) or "damaged" in _error(path)


def test_row_10_pieces_of_a_long_file_are_the_file(tmp_path):
    path = _wav(tmp_path / "a.wav", 30.0, 8000)
    blocks = list(io.stream(path, 1.0))
    assert len(blocks) == 30 and max(map(len, blocks)) == 8000
    assert np.array_equal(np.concatenate(blocks), io.read(path).samples)


def test_row_02_to_07_a_batch_goes_on_lists_them_and_exits_with_3(tmp_path, speechlike, capsys):
    """What headers show is found by prepare, the rest by pack; the good ones are packed."""
    folder = tmp_path / "own/amy"
    folder.mkdir(parents=True)
    good = speechlike(0.6)
    for name in ("good1", "good2", "cut", "late"):
        soundfile.write(folder / f"{name}.wav", good, 16000)
    soundfile.write(folder / "flac.flac", np.random.default_rng(0).standard_normal(32000) * 0.1, 16000)
    _cut(folder / "flac.flac")
    _cut(folder / "cut.wav")
    (folder / "text.wav").write_text("text")
    soundfile.write(folder / "silent.wav", np.zeros(16000), 16000)
    soundfile.write(folder / "short.wav", good[:500], 16000)
    soundfile.write(folder / "nan.wav", np.full(16000, np.nan), 16000, subtype="FLOAT")
    assert prepare.main(["--source", str(tmp_path / "own"), "--out", str(tmp_path / "data")]) == 3
    assert "Traceback" not in capsys.readouterr().err
    early = {line.split("\t")[0]: line for line in (tmp_path / "data/left_out.tsv").read_text().splitlines()[1:]}
    assert set(early) == {"amy_cut", "amy_text", "amy_short"}
    assert "header says 1.20 s" in early["amy_cut"] and "at least 0.1 s" in early["amy_short"]
    (folder / "late.wav").unlink()  # lost between the two stages
    assert pack.main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "dump")]) == 3
    assert [u.utt_id for u in PackedStore(tmp_path / "dump").utterances] == ["amy_good1", "amy_good2"]
    late = {line.split("\t")[0]: line for line in (tmp_path / "dump/left_out.tsv").read_text().splitlines()[1:]}
    assert set(late) == {"amy_flac", "amy_late", "amy_silent", "amy_nan"}
    assert (
        "digital silence" in late["amy_silent"]
        and "non-finite at sample 0" in late["amy_nan"]
        and "no such file" in late["amy_late"]
    )


def test_nothing_usable_makes_no_output(tmp_path, capsys):
    (tmp_path / "own/amy").mkdir(parents=True)
    (tmp_path / "own/amy/a.wav").write_text("text")
    assert prepare.main(["--source", str(tmp_path / "own"), "--out", str(tmp_path / "data")]) == 1
    assert "no usable utterance" in capsys.readouterr().err and not (tmp_path / "data").exists()
