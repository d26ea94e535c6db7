"""FAULTS rows 51, 52, 55 to 57 and 63: sound files that come in and go out, whatever their format, length and channels."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vqvc.audio import folder, formats, io, output
from vqvc.errors import AudioError, UsageError

WRITABLE = sorted(set(soundfile.available_formats()) - formats.UNWRITABLE)


def python(code: str, *words) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)


@pytest.mark.parametrize("name", ["a.ogg", "a.opus", "a.mp3", "a.flac"])
def test_row_51_a_minute_at_48_khz_is_written(tmp_path, name):
    """In a process of its own: libsndfile's Vorbis encoder ended it."""
    code = """
import sys, numpy as np
from vqvc.audio import io
io.write(sys.argv[1], 0.1 * np.sin(np.arange(58 * 48000) / 30), 48000)
"""
    done = python(code, tmp_path / name)
    assert (done.returncode, done.stderr) == (0, "")
    assert abs(io.info(tmp_path / name).length_samples - 58 * 48000) <= 2 * 1152 + 1105


@pytest.mark.parametrize("kind", WRITABLE)
def test_row_51_every_format_takes_more_than_one_block(tmp_path, kind):
    path = tmp_path / f"a.{kind.lower()}"
    form = formats.format_of(path)
    rate = next(rate for rate in (16000, *formats.COMMON_RATES_HZ) if formats.holds_rate(form, rate))
    samples = (0.3 * np.sin(np.arange(2 * output.BLOCK_FRAMES + 77) / 9)).astype(np.float32)
    assert io.write(path, samples, rate) == 0
    assert path.stat().st_size > 5_000 and [p.name for p in tmp_path.iterdir()] == [path.name]
    if kind in ("WAV", "FLAC", "AIFF", "CAF", "W64", "AU", "RF64", "VOC", "NIST"):
        found = io.read(path)
        assert found.sample_rate == rate and np.abs(found.samples - samples).max() < 1e-3


def test_row_52_a_rate_that_the_format_lacks_is_reported_with_those_that_it_has(tmp_path):
    for name, rate in (("a.opus", 44100), ("a.mp3", 96000)):
        with pytest.raises(UsageError, match=rf"{name}: .* cannot hold {rate} Hz; it has .*48000"):
            io.write(tmp_path / name, np.zeros(100), rate)
    with pytest.raises(UsageError, match="FLAC has no subtype FLOAT; it has .*PCM_24"):
        io.write(tmp_path / "a.flac", np.zeros(100), 16000, "FLOAT")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="needs limits of POSIX")
@pytest.mark.parametrize(("subtype", "limit_bytes"), [("PCM_16", 200_000), ("DOUBLE", 1_000_000)])
def test_row_52_a_write_that_fails_midway_is_one_sentence_and_leaves_nothing(tmp_path, subtype, limit_bytes):
    """The first limit ends the samples that wait, the second libsndfile's own writing."""
    code = """
import resource, sys, numpy as np
from vqvc.audio import io
from vqvc.errors import VqvcError
limit = int(sys.argv[3])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    io.write(sys.argv[1], np.zeros(200_000), 16000, sys.argv[2])
except VqvcError as error:
    print(error)
"""
    done = python(code, tmp_path / "a.wav", subtype, limit_bytes)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'a.wav'}: the file would be larger than") and done.stderr == ""
    assert not list(tmp_path.iterdir())


def _mp3(path: Path, rate: int, channels: int) -> np.ndarray:
    """Five loud seconds and five silent ones at a variable bit rate, without the Xing frame that gives their length."""
    samples = np.zeros((10 * rate, channels), np.float32)
    samples[: 5 * rate] = 0.2 * np.random.default_rng(0).standard_normal((5 * rate, channels))
    try:
        with soundfile.SoundFile(
            path, "w", rate, channels, format="MP3", bitrate_mode="VARIABLE", compression_level=0.2
        ) as sound:
            for begin in range(0, len(samples), 60000):
                sound.write(samples[begin : begin + 60000])
    except TypeError:
        pytest.skip("this soundfile writes no variable bit rate")
    data = path.read_bytes()
    at = data.find(b"Xing")
    assert 0 < at < 200
    head = data[:4]
    kbps = (
        (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160) if rate > 30000 else (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96)
    )[head[2] >> 4]
    frame = (144000 if rate > 30000 else 72000) * kbps // rate + (head[2] >> 1 & 1)
    path.with_name("whole.mp3").write_bytes(data)
    path.write_bytes(data[frame:])
    return samples[:, 0]


@pytest.mark.parametrize(("rate", "channels"), [(44100, 1), (44100, 2), (16000, 1)])
@pytest.mark.parametrize("tag", [b"", b"ID3\x04\0\0\0\0\x01\x00" + bytes(128)])
def test_row_55_the_length_of_an_mp3_without_a_length_is_what_itholds_rate(tmp_path, rate, channels, tag):
    samples = _mp3(tmp_path / "a.mp3", rate, channels)
    (tmp_path / "a.mp3").write_bytes(tag + (tmp_path / "a.mp3").read_bytes())
    facts = io.info(tmp_path / "a.mp3")
    found = io.read(tmp_path / "a.mp3")
    assert abs(len(found.samples) - len(samples)) < 3 * 1152 and facts.length_samples == len(found.samples)
    blocks = np.concatenate(list(io.stream(tmp_path / "a.mp3", 0.7)))
    assert len(blocks) == len(found.samples) and np.abs(blocks - found.samples).max() < 1e-6
    loud, silent = found.samples[rate : 4 * rate], found.samples[6 * rate : 9 * rate]
    assert loud.std() > 0.05 and silent.std() < 1e-3
    assert found.source_length_samples == len(found.samples)


def test_row_55_a_cut_mp3_is_as_long_as_it_is(tmp_path):
    samples = _mp3(tmp_path / "a.mp3", 16000, 1)
    data = (tmp_path / "whole.mp3").read_bytes()  # it promises all of its length
    (tmp_path / "b.mp3").write_bytes(data[: len(data) // 2])
    found = io.read(tmp_path / "b.mp3")
    assert 16000 < len(found.samples) < len(samples) - 16000
    assert len(np.concatenate(list(io.stream(tmp_path / "b.mp3")))) == len(found.samples)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfb",
        b"\xff\xfb\x90\xc4" * 3,
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f",
        b"\xff" * 5000,
        b"\xff\xfb\x90\xc4" + b"\xff" * 900,
    ],
)
def test_row_55_what_is_no_mp3_stays_unreadable(tmp_path, data):
    (tmp_path / "a.mp3").write_bytes(data)
    with pytest.raises(AudioError):
        io.read(tmp_path / "a.mp3")


@pytest.fixture
def messy(tmp_path) -> Path:
    """Readable and foreign recordings, links to folders that lead in a circle, and what macOS and a killed write leave."""
    root = tmp_path / "messy"
    (root / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    samples = 0.1 * np.sin(np.arange(8000) / 9)
    for name in ("a.wav", "b.aif", "c.oga", "deep/d.opus", "../elsewhere/e.FLAC"):
        io.write(root / name.lower(), samples, 16000)
    os.rename(tmp_path / "elsewhere/e.flac", tmp_path / "elsewhere/e.FLAC")
    for name in ("f.m4a", "deep/g h.webm", "a.m4a", "notes.txt", "._a.wav", ".partial-0-a.wav", ".git/x.wav"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"no sound")
    try:
        (root / "link").symlink_to(tmp_path / "elsewhere")
        (root / "deep/loop").symlink_to(root)
    except OSError:
        pytest.skip("this system makes no links")
    return root


def test_row_56_everything_readable_in_a_folder_is_taken_and_the_rest_named(messy):
    found = folder.recordings_in(messy)
    names = [str(path.relative_to(messy)) for path in found.recordings]
    assert names == ["a.wav", "b.aif", "c.oga", "deep/d.opus", "link/e.FLAC"]
    assert [path.name for path in found.foreign] == ["g h.webm", "f.m4a"]
    assert [path.name for path in found.replaced] == ["a.m4a"]  # a.wav stands beside it: the remedy was followed
    remedies = "\n".join(found.remedies())
    assert (
        f"ffmpeg -i '{messy}/deep/g h.webm' '{messy}/deep/g h.wav'" in remedies
        and f"ffmpeg -i {messy}/f.m4a {messy}/f.wav" in remedies
    )
    assert [path.name for path in folder.recordings_in(messy, [messy / "deep"]).foreign] == ["f.m4a"]


def test_row_56_prompts_of_telephone_systems_are_named_with_their_remedy(tmp_path):
    names = ["a.g722", "b.gsm", "c.sln", "d.g729"]  # streams without a header, which are known by their names alone
    for name in names:
        (tmp_path / name).write_bytes(bytes(range(256)))
    found = folder.recordings_in(tmp_path)
    assert [path.name for path in found.foreign] == names
    with pytest.raises(AudioError, match="ffmpeg -i .*a.g722 .*a.wav"):
        io.read(tmp_path / "a.g722")


@pytest.mark.parametrize("head", [b"\0\0\0\x1cftypM4A ", b"\x1aE\xdf\xa3webm", b"#!AMR-WB\n"])
def test_row_56_a_foreign_file_by_another_name_has_the_same_remedy(tmp_path, head):
    (tmp_path / "a.wav").write_bytes(head + bytes(100))
    with pytest.raises(AudioError, match="convert it first: ffmpeg -i .*a.wav .*a.new.wav"):
        io.read(tmp_path / "a.wav")


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_row_57_channels_that_cancel_give_way_to_the_left(tmp_path, speechlike, name):
    left = speechlike(0.5)
    soundfile.write(tmp_path / name, np.stack([left, -left], 1), 16000)
    found = io.read(tmp_path / name)
    assert np.abs(found.samples - left).max() < 1e-3 and found.notes == ("channels cancel; using the left",)
    assert np.array_equal(np.concatenate(list(io.stream(tmp_path / name, 0.1))), found.samples)
    assert io.notes_on(tmp_path / name) == found.notes


def test_row_57_channels_that_do_not_cancel_are_averaged(tmp_path, speechlike):
    left = speechlike(0.5)
    for right in (left, 0 * left, -0.5 * left, np.roll(left, 40)):
        soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 16000, subtype="FLOAT")
        found = io.read(tmp_path / "a.wav")
        assert np.allclose(found.samples, (left + right) / 2, atol=1e-6) and "2 channels averaged" in found.notes


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
def test_row_63_what_is_above_full_scale_is_made_quieter_as_a_whole(tmp_path, caplog, name):
    samples = (2.5 * np.sin(np.arange(48000) / 20) * np.linspace(0.1, 1, 48000)).astype(np.float32)
    assert io.write(tmp_path / name, samples, 48000) == int((np.abs(samples) > 1).sum())
    assert "the whole is 8.1 dB quieter" in caplog.text
    found = io.read(tmp_path / name).samples[:48000]
    scale = float(found @ samples) / float(samples @ samples)
    assert 20 * np.log10(scale) == pytest.approx(-8.06, abs=0.1)
    assert np.abs(found - scale * samples).max() < (0.06 if name == "a.ogg" else 1e-3)  # no sample was limited
    caplog.clear()
    io.write(tmp_path / "f.wav", samples, 48000, "FLOAT")
    assert np.array_equal(io.read(tmp_path / "f.wav").samples, samples) and not caplog.text


@pytest.mark.parametrize("peak", [0.01, 1.0, 3.0])
def test_row_63_normalise_brings_every_peak_to_the_same_height(tmp_path, peak):
    samples = peak * np.sin(np.arange(16000) / 20)
    io.write_blocks(tmp_path / "a.wav", np.split(samples, 10), 16000, 16000, normalise=True)
    assert 20 * np.log10(np.abs(io.read(tmp_path / "a.wav").samples).max()) == pytest.approx(-1.0, abs=0.01)


def test_row_11_what_would_clip_is_counted_and_does_not_wrap(tmp_path, caplog):
    assert io.write(tmp_path / "a.wav", np.array([0.0, 1.5, -3.0, 0.5]), 16000) == 2
    assert "2 of 4 samples were beyond full scale" in caplog.text and "FLOAT" in caplog.text
    found = io.read(tmp_path / "a.wav").samples
    assert np.sign(found).tolist() == [0.0, 1.0, -1.0, 1.0] and np.abs(found).max() < 1.0
