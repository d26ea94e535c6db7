"""Resampling: lengths are exact, tones stay where they are, blocks give what the whole gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.audio.resample import resample, resample_blocks, resampled_length

RATES = st.sampled_from([8000, 16000, 22050, 44100, 48000, 96000])


@given(st.integers(0, 5000), RATES, RATES)
@settings(max_examples=60, deadline=None)
def test_length_is_the_nearest_whole_number(length, from_hz, to_hz):
    got = resample(np.ones(length, np.float32), from_hz, to_hz)
    assert len(got) == resampled_length(length, from_hz, to_hz)
    assert abs(len(got) - length * to_hz / from_hz) <= 0.5


@pytest.mark.parametrize("from_hz", [22050, 48000])
def test_a_tone_stays_and_what_cannot_be_held_goes(from_hz):
    def tone(frequency_hz, rate):
        return np.sin(2 * np.pi * frequency_hz * np.arange(rate) / rate).astype(np.float32)

    got = resample(tone(1000, from_hz), from_hz, 16000)[500:-500]
    assert np.abs(got - tone(1000, 16000)[500 : 500 + len(got)]).max() < 1e-3
    assert np.abs(resample(tone(9500, from_hz), from_hz, 16000)[500:-500]).max() < 1e-3


@pytest.mark.parametrize(("from_hz", "to_hz"), [(48000, 16000), (44100, 16000), (16000, 48000)])
def test_blocks_give_what_the_whole_gives(from_hz, to_hz):
    samples = np.random.default_rng(0).standard_normal(from_hz // 2 + 17).astype(np.float32) * 0.1
    blocks = (samples[n : n + 1000] for n in range(0, len(samples), 1000))
    joined = np.concatenate(list(resample_blocks(blocks, from_hz, to_hz)))
    whole = resample(samples, from_hz, to_hz)
    assert len(joined) == len(whole) and np.abs(joined - whole).max() < 1e-5
