"""The long-term spectrum: the channel of a recording, and nothing else."""

import numpy as np
import pytest
from channels import RATE, speech, tilted

from vqvc.audio import long_term_spectrum
from vqvc.audio.long_term_spectrum import BANDS, SpectrumMeter, measure


def test_the_spectrum_of_blocks_is_that_of_the_whole():
    samples, rng = speech(11.0), np.random.default_rng(0)
    meter, begin = SpectrumMeter(RATE), 0
    while begin < len(samples):
        size = int(rng.integers(1, 30000))
        meter.add(samples[begin : begin + size])
        begin += size
    whole, parts = measure(samples, RATE), meter.result()
    assert np.array_equal(parts.bands_db, whole.bands_db) and np.array_equal(parts.power, whole.power)
    assert parts.seconds == whole.seconds


def test_level_offset_and_pauses_do_not_matter():
    samples = speech(3.0)
    whole = measure(samples, RATE)
    assert whole.power.sum() == pytest.approx(1.0)
    pause = 1e-4 * np.random.default_rng(1).standard_normal(2 * RATE).astype(np.float32)
    for other in (0.01 * samples, 3 * samples, samples + np.float32(0.2), np.concatenate([pause, samples, pause])):
        assert np.abs(measure(other, RATE).bands_db - whole.bands_db).max() < 0.3


def test_a_channel_shows_in_the_bands_as_it_is():
    samples = speech(3.0)
    found = measure(tilted(samples, 3.0), RATE).bands_db - measure(samples, RATE).bands_db
    octaves = np.log2(long_term_spectrum.centres_hz(RATE))
    assert np.polyfit(octaves[1:-1], found[1:-1], 1)[0] == pytest.approx(3.0, abs=0.3)


def test_seconds_are_those_of_the_louder_frames():
    samples = speech(2.0)
    assert 0.9 < measure(samples, RATE).seconds < 1.5
    with_silence = np.concatenate([np.zeros(8 * RATE, np.float32), samples])
    assert 0.9 < measure(with_silence, RATE).seconds < 2.1


@pytest.mark.parametrize("length", [0, 1, 400, 513])
def test_short_and_silent_recordings(length):
    assert measure(np.zeros(length, np.float32), RATE) is None
    noise = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    found = measure(noise, RATE)
    assert (found is None) == (length <= 1) or np.isfinite(found.bands_db).all()


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
def test_every_rate_has_the_same_number_of_bands_and_white_noise_is_flat_in_them(rate):
    found = measure(np.random.default_rng(0).standard_normal(4 * rate).astype(np.float32), rate)
    assert found.bands_db.shape == (BANDS,) and np.ptp(found.bands_db) < 3.0
    bands = np.arange(BANDS, dtype=float)
    size = long_term_spectrum.frame_samples(rate)
    over_bins = long_term_spectrum.over_bins(bands, rate, size)
    assert over_bins[0] == 0 and over_bins[-1] == BANDS - 1 and (np.diff(over_bins) >= 0).all()
