"""Reading and writing: every format comes to the same mono float samples, parts are parts, blocks are the whole."""

import tracemalloc

import numpy as np
import pytest
import soundfile

from vqvc.audio import io
from vqvc.errors import AudioError, UsageError


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_16", 1e-4), ("a.wav", "PCM_24", 1e-6), ("a.wav", "FLOAT", 1e-7), ("a.wav", "ULAW", 0.02), ("a.flac", "PCM_16", 1e-4),
        ("a.aiff", "PCM_16", 1e-4), ("a.au", "PCM_16", 1e-4), ("a.w64", "PCM_16", 1e-4), ("a.rf64", "PCM_16", 1e-4), ("a.caf", "PCM_16", 1e-4),
    ],
)  # fmt: skip
def test_lossless_formats_hold_the_same_samples(tmp_path, speechlike, name, subtype, tolerance):
    samples = speechlike(0.3)
    soundfile.write(tmp_path / name, samples, 16000, subtype=subtype)
    got = io.read(tmp_path / name)
    assert got.samples.dtype == np.float32 and got.sample_rate == 16000
    assert np.abs(got.samples - samples).max() <= tolerance


@pytest.mark.parametrize(("name", "subtype"), [("a.mp3", "MPEG_LAYER_III"), ("a.ogg", "VORBIS"), ("a.opus", "OPUS")])
def test_lossy_formats_hold_nearly_the_same(tmp_path, speechlike, name, subtype):
    samples = speechlike(1.0, 48000)
    kind = {"a.mp3": "MP3"}.get(name, "OGG")
    soundfile.write(tmp_path / name, samples, 48000, format=kind, subtype=subtype)
    got = io.read(tmp_path / name)
    assert abs(len(got.samples) - len(samples)) <= 2304
    assert np.isclose(np.std(got.samples), np.std(samples), rtol=0.1)
    assert any("read as float" in note for note in got.notes)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000, 96000])
def test_any_rate_becomes_16_khz_of_exact_length_with_a_note(tmp_path, rate):
    length = rate + 7
    soundfile.write(tmp_path / "a.wav", 0.1 * np.ones((length, 2)), rate)
    got = io.read(tmp_path / "a.wav", 16000)
    assert len(got.samples) == int(np.floor(length * 16000 / rate + 0.5))
    assert got.notes == ("2 channels averaged", f"{rate} Hz resampled to 16000 Hz")


def test_channels_are_averaged(tmp_path):
    both = np.stack([np.full(500, 0.5), np.full(500, -0.25)], 1)
    soundfile.write(tmp_path / "a.wav", both, 16000)
    assert np.allclose(io.read(tmp_path / "a.wav").samples, 0.125, atol=1e-4)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_part_is_the_slice_of_the_whole(tmp_path, speechlike, name):
    io.write(tmp_path / name, speechlike(1.0), 16000)
    whole = io.read(tmp_path / name).samples
    part = io.read(tmp_path / name, start_s=0.25, end_s=0.75).samples
    assert np.array_equal(part, whole[4000:12000])
    with pytest.raises(AudioError, match="is no part of"):
        io.read(tmp_path / name, start_s=1.0, end_s=9.0)


def test_blocks_together_are_the_whole(tmp_path, speechlike):
    io.write(tmp_path / "a.flac", speechlike(1.0), 16000)
    blocks = list(io.stream(tmp_path / "a.flac", 0.11))
    assert len(blocks) > 10 and np.array_equal(np.concatenate(blocks), io.read(tmp_path / "a.flac").samples)


def test_memory_of_a_stream_does_not_grow_with_the_file(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(8000 * 600, np.int16), 8000)
    tracemalloc.start()
    total = sum(len(block) for block in io.stream(tmp_path / "long.wav", 1.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 8000 * 600 and peak < 500_000


def test_writing_above_full_scale_makes_the_whole_quieter_and_an_error_leaves_the_old_file(tmp_path, caplog):
    path = tmp_path / "a.wav"
    assert io.write(path, np.array([0.0, 1.5, -3.0, 0.5]), 16000) == 2
    assert "2 of 4 samples" in caplog.text
    got = io.read(path).samples
    assert np.allclose(got / np.abs(got).max(), np.array([0.0, 0.5, -1.0, 1 / 6]), atol=1e-4)  # its shape stays
    assert 0.98 < np.abs(got).max() < 1.0  # no wrap-around
    before = path.read_bytes()
    with pytest.raises(AudioError, match="non-finite at sample 1"):
        io.write(path, np.array([0.0, np.inf]), 16000)
    with pytest.raises(UsageError, match="suffix"):
        io.write(tmp_path / "a.xyz", np.zeros(4), 16000)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.wav"]


def test_the_length_is_read_from_the_header_alone(tmp_path, speechlike):
    io.write(tmp_path / "a.flac", speechlike(0.5), 16000)
    facts = io.info(tmp_path / "a.flac")
    assert (facts.sample_rate, facts.channels, facts.length_samples) == (16000, 1, len(speechlike(0.5)))
    assert facts.duration_s == facts.length_samples / 16000
