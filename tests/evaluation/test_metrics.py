"""Metrics against answers that are known beforehand."""

import numpy as np
import pytest

from vqvc.errors import AudioError, CorpusError
from vqvc.evaluation.judges.recognisers import plain_words
from vqvc.evaluation.metrics import pitch, spectrum
from vqvc.evaluation.metrics.words import count_errors

RATE = 16000


def noise(seconds=1.0, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, int(RATE * seconds))


def test_distortion_of_equal_frames_is_zero_and_one_step_is_counted_by_hand():
    one = np.zeros((3, 24))
    other = np.zeros((3, 24))
    other[:, 0] = 0.5
    assert spectrum.cepstral_distortion(one, one) == 0
    assert spectrum.cepstral_distortion(one, other) == pytest.approx(10 / np.log(10) * np.sqrt(2 * 0.25))


def test_distortion_ignores_pace():
    frames = np.random.default_rng(0).normal(size=(20, 24))
    assert spectrum.cepstral_distortion(np.repeat(frames, 3, axis=0), frames) == pytest.approx(0)


def test_distortion_ignores_level_but_not_the_filter():
    x = noise()
    plain = spectrum.mel_cepstra(x, RATE)
    assert spectrum.cepstral_distortion(plain, spectrum.mel_cepstra(0.1 * x, RATE)) < 0.02
    filtered = spectrum.mel_cepstra(np.convolve(x, [1, -0.9], "same"), RATE)
    assert spectrum.cepstral_distortion(plain, filtered) > 2


def test_a_planted_cosine_in_the_spectrum_is_found_in_its_coefficient():
    """log amplitude bent by 0.3 cos(2 w) on the mel scale: c2 grows by 0.3, and the distortion is its mean in dB."""
    bands = (np.arange(spectrum.MCD_BANDS) + 0.5) / spectrum.MCD_BANDS * np.pi
    from scipy.fft import dct

    bent = dct(0.3 * np.cos(2 * bands), type=2)[1:25] / spectrum.MCD_BANDS
    assert bent == pytest.approx([0, 0.3] + [0] * 22, abs=1e-9)
    rms_db = 20 / np.log(10) * np.sqrt(np.mean((0.3 * np.cos(2 * bands)) ** 2))
    assert spectrum.cepstral_distortion(np.zeros((1, 24)), bent[None]) == pytest.approx(rms_db)


def test_warp_equals_brute_force():
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(5, 2)), rng.normal(size=(4, 2))
    cost = np.linalg.norm(one[:, None] - other, axis=2)

    def cheapest(i, j):
        if i == j == 0:
            return cost[0, 0]
        return cost[i, j] + min(cheapest(i - a, j - b) for a, b in ((1, 1), (1, 0), (0, 1)) if i >= a and j >= b)

    left, right = spectrum.warp(one, other)
    assert cost[left, right].sum() == pytest.approx(cheapest(4, 3))
    assert (left[0], right[0], left[-1], right[-1]) == (0, 0, 4, 3)


@pytest.mark.parametrize("samples", [np.zeros(RATE), np.zeros(0), noise(0.01)])
def test_silence_and_scraps_are_refused(samples):
    with pytest.raises(AudioError, match="needs sound"):
        spectrum.mel_cepstra(samples, RATE)


def test_shifted_pitch_is_measured():
    times = np.arange(200) * 0.01
    f0 = 120 * 2 ** (np.sin(times * 6) / 12)
    f0[50:80] = np.nan
    found = pitch.compare_pitch(times, f0, times, f0 * 2 ** (7 / 12))
    assert found.shift_semitones == pytest.approx(7)
    assert found.correlation == pytest.approx(1)
    assert found.rmse_semitones == pytest.approx(0, abs=1e-9)
    assert found.voicing_error == 0
    other = f0.copy()
    other[:20] = np.nan
    assert pitch.compare_pitch(times, f0, times, other).voicing_error == pytest.approx(0.1)
    upside_down = 120**2 / f0
    assert pitch.compare_pitch(times, f0, times, upside_down).correlation == pytest.approx(-1)


def test_pitch_of_another_frame_rate_is_read_at_the_nearest_time():
    times = np.arange(100) * 0.01
    f0 = 100 + 50 * times
    sparse = np.arange(50) * 0.02
    found = pitch.compare_pitch(times, f0, sparse, 100 + 50 * sparse)
    assert found.rmse_semitones < 0.1 and found.correlation > 0.999


def test_no_voiced_frame_gives_nan_and_not_an_error():
    nothing = np.full(30, np.nan)
    found = pitch.compare_pitch(np.arange(30), nothing, np.arange(30), nothing)
    assert np.isnan(found.correlation) and found.voicing_error == 0
    assert np.isnan(pitch.pitch_summary(nothing).median_hz)
    assert np.isnan(pitch.compare_pitch(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0)).voicing_error)


def test_range_of_an_octave_is_twelve_semitones():
    sweep = 100 * 2 ** np.linspace(-1 / 0.9 * 0.05, 1 + 1 / 0.9 * 0.05, 10001)
    found = pitch.pitch_summary(sweep)
    assert found.range_semitones == pytest.approx(12, abs=0.01)
    assert found.voiced_share == 1


def test_pace_counts_bursts():
    times = np.arange(4 * RATE) / RATE
    bursts = np.sin(2 * np.pi * 800 * times) * np.maximum(0, np.sin(2 * np.pi * 2.5 * times)) ** 2
    assert pitch.nuclei_per_second(bursts, RATE) == pytest.approx(2.5, abs=0.3)
    assert np.isnan(pitch.nuclei_per_second(bursts[:100], RATE))


def test_words_are_counted_as_by_hand():
    found = count_errors(["Please call Stella.", "", "Ask her!"], ["please tall stella now", "x", "ask"])
    assert found.edits.tolist() == [2, 1] and found.lengths.tolist() == [3, 2]
    assert found.rate == pytest.approx(3 / 5)
    assert count_errors(["abc"], ["abd"], "character").rate == pytest.approx(1 / 3)


def test_words_without_case_and_punctuation():
    assert plain_words("She\u2019s -- \u2018NOT\u2019 here, 'really'.") == "she's not here really"


def test_no_transcripts_are_refused():
    with pytest.raises(CorpusError, match="needs transcripts"):
        count_errors(["", "..."], ["a", "b"])
