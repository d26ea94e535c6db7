"""Recordings of any length: pieces together are the whole, cut where it is quiet, held one at a time."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.audio import io
from vqvc.errors import AudioError
from vqvc.synthesis import long

RATE = 16000


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch):
    monkeypatch.setattr(long, "PIECE_S", 1.0)
    monkeypatch.setattr(long, "SEARCH_S", 0.4)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40000), max_size=8), st.integers(0, 5))
def test_pieces_together_are_the_blocks(lengths, seed):
    rng = np.random.default_rng(seed)
    blocks = [rng.standard_normal(length).astype(np.float32) for length in lengths]
    found = list(long.pieces(blocks, RATE))
    assert np.array_equal(np.concatenate([np.zeros(0), *found]), np.concatenate([np.zeros(0), *blocks]))
    assert all(0 < len(piece) <= 1.4 * RATE for piece in found)
    assert all(len(piece) >= 0.4 * RATE for piece in found[-1:] if len(found) > 1)  # no crumb at the end


def test_pieces_end_where_it_is_quiet(speechlike):
    samples = np.concatenate([speechlike(0.7, seed=n, silence_s=0.1) for n in range(6)])
    cuts = np.cumsum([len(piece) for piece in long.pieces([samples], RATE)])[:-1]
    assert len(cuts) >= 4
    for cut in cuts:
        assert np.abs(samples[cut : cut + 320]).max() < 0.01  # the frame that was found quiet


@pytest.mark.parametrize(("rate", "out_hz"), [(16000, None), (44100, None), (8000, 48000), (48000, 16000)])
def test_output_is_exactly_as_long_and_nothing_is_moved(tmp_path, speechlike, rate, out_hz):
    samples = np.concatenate([speechlike(0.9, rate, seed=n) for n in range(4)])[:-13]
    io.write(tmp_path / "a.wav", samples, rate)
    said = long.convert_file(tmp_path / "a.wav", tmp_path / "b.wav", lambda piece: -piece, RATE, out_hz)
    found = io.read(tmp_path / "b.wav")
    assert found.sample_rate == (out_hz or rate)
    assert len(found.samples) == round(len(samples) * found.sample_rate / rate)
    assert abs(said - len(samples) * RATE / rate) <= 2
    expected = -io.read(tmp_path / "a.wav", found.sample_rate).samples
    assert np.abs(found.samples - expected).max() < (0.002 if rate == RATE == found.sample_rate else 0.06)
    assert np.corrcoef(found.samples, expected)[0, 1] > 0.999


def test_silent_pieces_stay_silent_and_all_silent_is_refused(tmp_path, speechlike):
    def convert(piece):
        if np.abs(piece).max() < 1e-4:
            raise AudioError("digital silence")
        return piece

    quiet = np.zeros(5 * RATE, np.float32)
    io.write(tmp_path / "a.wav", np.concatenate([speechlike(1.2), quiet, speechlike(1.2)]), RATE)
    long.convert_file(tmp_path / "a.wav", tmp_path / "b.wav", convert, RATE)
    found = io.read(tmp_path / "b.wav").samples
    assert np.abs(found - io.read(tmp_path / "a.wav").samples).max() < 1e-3
    io.write(tmp_path / "q.wav", quiet, RATE)
    with pytest.raises(AudioError, match="silence"):
        long.convert_file(tmp_path / "q.wav", tmp_path / "c.wav", convert, RATE)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "b.wav", "q.wav"]  # nothing half-made


def test_memory_does_not_grow_with_the_recording(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "BLOCK_S", 1.0)
    monkeypatch.setattr(io.stream, "__defaults__", (1.0,))
    peaks = []
    for seconds in (10, 100):
        io.write(tmp_path / f"{seconds}.flac", 0.1 * np.sin(np.arange(seconds * RATE) / 9).astype(np.float32), RATE)
        tracemalloc.start()
        long.convert_file(tmp_path / f"{seconds}.flac", tmp_path / f"{seconds}.wav", np.copy, RATE)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(io.read(tmp_path / f"{seconds}.wav").samples) == seconds * RATE
    assert peaks[1] < 1.2 * peaks[0]
