"""Features: frames where the contract puts them, and nothing lost at the ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.audio import features
from vqvc.errors import AudioError


@given(st.integers(1, 4000), st.sampled_from([64, 160, 640]))
@settings(max_examples=40, deadline=None)
def test_there_are_as_many_frames_as_codes(length, hop):
    frames = features.log_mel(np.ones(length, np.float32), 16000, hop_length=hop)
    assert frames.shape == (80, -(-length // hop)) and np.isfinite(frames).all()


@pytest.mark.parametrize("hop", [160, 320, 640])
def test_a_click_is_loudest_in_the_frame_of_its_code(hop):
    for click in (0, 1000, 1601, 3199):
        samples = np.zeros(3200, np.float32)
        samples[click] = 1.0
        loudness = features.spectrum(samples, n_fft=2048, hop_length=hop, win_length=2 * hop).sum(0)
        assert loudness.argmax() == click // hop


def test_frame_i_is_centred_on_the_middle_of_code_i():
    samples = np.zeros(1600, np.float32)
    samples[5 * 160 + 80] = 1.0
    spectrum = features.spectrum(samples, n_fft=512, hop_length=160, win_length=400)
    assert np.allclose(spectrum[:, 5], 1.0, atol=1e-3)  # the window is 1 there
    assert np.allclose(spectrum[:, 4], spectrum[:, 6], atol=1e-3)


@pytest.mark.parametrize(("n_fft", "hop", "window"), [(1024, 160, 400), (512, 640, None), (256, 100, 128)])
def test_spectra_are_magnitudes_of_windowed_frames(n_fft, hop, window):
    """Against NumPy, frame by frame: hops below and above the window's length, and silence beyond the ends."""
    samples = np.random.default_rng(0).standard_normal(3001).astype(np.float32)
    found, width = features.spectrum(samples, n_fft=n_fft, hop_length=hop, win_length=window), window or n_fft
    hann = np.pad(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(width) / width), (n_fft - width) // 2)
    around = np.pad(samples, n_fft)
    for i in range(found.shape[1]):
        start = n_fft + i * hop + hop // 2 - n_fft // 2
        expected = np.abs(np.fft.rfft(hann * around[start : start + n_fft]))
        assert np.allclose(found[:, i], expected, atol=1e-4)


def test_differences_are_slopes_of_a_regression_with_edges_repeated():
    frames = np.random.default_rng(0).standard_normal((3, 20))
    steps, padded = np.arange(-4, 5), np.pad(frames, ((0, 0), (4, 4)), mode="edge")
    expected = [[np.polyfit(steps, row[i : i + 9], 1)[0] for i in range(20)] for row in padded]
    assert np.allclose(features.deltas(frames), expected, atol=1e-6)


def test_cepstra_are_the_orthonormal_cosine_transform_of_the_mel():
    noise = np.random.default_rng(0).standard_normal(8000).astype(np.float32) * 0.1
    mel = features.log_mel(noise, 16000, n_mels=40)
    n, k = np.arange(40), np.arange(13)[:, None]
    basis = np.cos(np.pi * (n + 0.5) * k / 40) * np.where(k == 0, np.sqrt(1 / 40), np.sqrt(2 / 40))
    assert np.allclose(features.mfcc(noise, 16000), basis @ mel, atol=1e-3)


def test_empty_and_stereo_input_is_refused():
    for wrong in (np.zeros(0), np.zeros((2, 100))):
        with pytest.raises(AudioError, match="mono waveform"):
            features.log_mel(wrong, 16000)
