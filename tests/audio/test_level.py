"""Levels: the loudness is what was asked, silence around changes nothing, and what was done can be undone."""

import numpy as np
import pytest

from vqvc.audio.level import MARGIN_S, PEAK_LIMIT, normalise
from vqvc.errors import AudioError


def _rms(samples):
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


@pytest.mark.parametrize("scale", [0.01, 0.3, 3.0])
def test_loudness_is_what_was_asked_whatever_came_in(speechlike, scale):
    made = normalise(scale * speechlike(1.0), 16000, 0.06)
    assert _rms(made.samples) == pytest.approx(0.06, rel=1e-4) and not made.limited


def test_silence_around_changes_nothing_but_the_trim(speechlike):
    speech = speechlike(1.0, silence_s=0.2)
    more = np.concatenate([np.zeros(8000, np.float32), speech, np.zeros(3000, np.float32)])
    one, two = normalise(speech, 16000), normalise(more, 16000)
    assert two.trim_start_samples - one.trim_start_samples == 8000
    assert two.trim_end_samples - one.trim_end_samples == 3000
    assert np.abs(one.samples - two.samples).max() < 1e-4


def test_speech_is_kept_with_its_margin(speechlike):
    silence_s = 0.5
    made = normalise(speechlike(1.0, silence_s=silence_s), 16000)
    assert silence_s - MARGIN_S - 0.03 <= made.trim_start_samples / 16000 <= silence_s - MARGIN_S + 0.03
    assert 1.0 <= len(made.samples) / 16000 <= 1.0 + 2 * MARGIN_S + 0.06


def test_a_click_is_not_speech(speechlike):
    samples = speechlike(1.0, silence_s=0.5)
    clicked = samples.copy()
    clicked[1000:1016] = 0.3
    assert abs(normalise(clicked, 16000).trim_start_samples - normalise(samples, 16000).trim_start_samples) <= 160


def test_noisy_recordings_are_trimmed_too(speechlike):
    noise = 0.004 * np.random.default_rng(1).standard_normal(32000).astype(np.float32)
    made = normalise(speechlike(1.0, silence_s=0.5) + noise[: len(speechlike(1.0, silence_s=0.5))], 16000)
    assert made.trim_start_samples > 0.3 * 16000


def test_conversion_keeps_every_sample_and_the_way_back(speechlike):
    samples = speechlike(1.0) + 0.05
    made = normalise(samples, 16000, trim=False)
    assert len(made.samples) == len(samples) and made.trim_start_samples == made.trim_end_samples == 0
    restored = made.samples / 10 ** (made.gain_db / 20) + made.dc
    assert np.abs(restored - samples).max() < 1e-5


def test_training_and_conversion_level_alike(speechlike):
    samples = speechlike(1.0)
    trimmed, whole = normalise(samples, 16000), normalise(samples, 16000, trim=False)
    start = trimmed.trim_start_samples
    assert np.allclose(trimmed.samples, whole.samples[start : start + len(trimmed.samples)], atol=1e-7)


def test_a_peak_lowers_the_level_and_is_not_clipped(speechlike):
    samples = speechlike(1.0)
    samples[8000] = 5.0
    made = normalise(samples, 16000)
    assert made.limited and np.abs(made.samples).max() <= PEAK_LIMIT + 1e-6 and _rms(made.samples) < 0.06


@pytest.mark.parametrize(
    ("samples", "message"),
    [([], "no samples"), ([0.0] * 5000, "digital silence"), ([0.3] * 5000, "digital silence"), ([0.0, np.nan] * 5000, "non-finite at sample 1")],
)  # fmt: skip
def test_what_has_no_level_is_refused(samples, message):
    with pytest.raises(AudioError, match=message):
        normalise(np.array(samples, np.float32), 16000)
