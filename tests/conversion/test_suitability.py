"""What can be enrolled: enough speech, of one person, and nothing else."""

import numpy as np
import pytest

from vqvc.audio.resample import resample
from vqvc.conversion import suitability
from vqvc.errors import AudioError

RATE = 16000


def notes() -> np.ndarray:
    """Twelve seconds of a tune of plucked strings."""
    rng, time_s = np.random.default_rng(0), np.arange(6000) / RATE
    pitches_hz = 110 * 2 ** (rng.integers(0, 24, 32) / 12)
    plucked = [
        sum(np.sin(2 * np.pi * f * k * time_s) / k for k in range(1, 7)) * np.exp(-3 * time_s) for f in pitches_hz
    ]
    return (0.1 * np.concatenate(plucked)).astype(np.float32)


def with_breath(speech: np.ndarray) -> np.ndarray:
    """Speech (T,) with noise at all frequencies, which the buzz of ``speechlike`` lacks: alone it lies in a telephone's band."""
    return speech + 1e-3 * np.random.default_rng(0).standard_normal(len(speech)).astype(np.float32)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda speech: np.zeros(12 * RATE, np.float32), "silence"),
        (lambda speech: speech(2.0), "too little"),
        (lambda speech: 0.05 * np.random.default_rng(0).standard_normal(12 * RATE).astype(np.float32), "noise"),
        (lambda speech: notes(), "music"),
    ],
    ids=["silence", "short", "noise", "music"],
)
def test_what_is_no_half_minute_of_speech_is_refused_in_a_sentence(mel_converter, speechlike, make, reason):
    with pytest.raises(AudioError, match=reason):
        mel_converter.enroll(make(speechlike))


def test_little_speech_is_enrolled_with_a_warning(speechlike):
    assert "few" in suitability.assess([speechlike(6.0)], RATE).warnings[0]
    assert suitability.assess([with_breath(speechlike(14.0))], RATE).warnings == ()


def test_recordings_in_a_telephones_band_are_enrolled_with_a_warning(speechlike):
    wide = with_breath(speechlike(14.0))
    narrow = resample(resample(wide, RATE, 8000), 8000, RATE)
    in_16_bits = (narrow * 32767).round() / 32767
    for recordings, warns in (([wide], 0), ([narrow], 1), ([in_16_bits.astype(np.float32)], 1), ([narrow, wide], 0)):
        warnings = suitability.assess(recordings, RATE).warnings
        assert len(warnings) == warns and all("nothing above 4 kHz" in warning for warning in warnings)
    assert (
        suitability.assess([speechlike(14.0, rate=8000)], 8000).warnings == ()
    )  # a model of 8 kHz has no more than that


def test_two_groups_of_pitch_are_two_voices_and_one_is_one():
    rng = np.random.default_rng(0)
    low, high = (rng.normal(np.log2(hz), 0.15, (20, 100)) for hz in (110, 200))
    assert suitability.two_voices(np.concatenate([low, high]).ravel(), 100) == pytest.approx(
        np.log2(200 / 110), abs=0.05
    )
    assert suitability.two_voices(low.ravel(), 100) is None
    expressive = rng.normal(np.log2(150), 0.12, (40, 1)) + rng.normal(
        0, 0.3, (40, 100)
    )  # one reader whose pitch moves much
    assert suitability.two_voices(expressive.ravel(), 100) is None
    assert suitability.two_voices(low.ravel()[:150], 100) is None  # too short to know
