"""Pitch: what was put in is found, in low and high voices, and nothing is found where there is none."""

import numpy as np
import pytest

from vqvc.audio.pitch import f0
from vqvc.errors import AudioError

pytest.importorskip("parselmouth")


def _buzz(pitch_hz, seconds=1.0, rate=16000):
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(pitch_hz, int(seconds * rate))) / rate
    return (0.05 * sum(np.sin(k * phase) / k for k in range(1, 15))).astype(np.float32)


@pytest.mark.parametrize("pitch_hz", [80.0, 150.0, 240.0, 400.0])
def test_the_pitch_that_was_put_in_is_found(pitch_hz):
    times_s, found_hz = f0(_buzz(pitch_hz), 16000)
    assert np.isfinite(found_hz).mean() > 0.85 and np.nanmax(np.abs(found_hz / pitch_hz - 1)) < 0.01
    assert np.allclose(np.diff(times_s), 0.01) and 0 < times_s[0] and times_s[-1] < 1.0


def test_a_glide_is_followed():
    wanted = np.linspace(120, 200, 16000)
    times_s, found_hz = f0(_buzz(wanted), 16000)
    assert np.nanmax(np.abs(found_hz - wanted[(times_s * 16000).astype(int)])) < 3


def test_row_12_silence_noise_and_snippets_are_unvoiced():
    noise = np.random.default_rng(0).standard_normal(16000).astype(np.float32) * 0.05
    assert np.isfinite(f0(noise, 16000)[1]).mean() < 0.1
    for samples in (np.zeros(8000), np.zeros(0), _buzz(100.0)[:300]):
        times_s, found_hz = f0(samples, 16000)
        assert len(times_s) == len(found_hz) >= 1 and np.isnan(found_hz).all()


def test_non_finite_input_is_refused():
    with pytest.raises(AudioError, match="non-finite at sample 3"):
        f0(np.array([0, 0, 0, np.inf] + [0] * 9000), 16000)
