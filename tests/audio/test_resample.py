"""Resampling: lengths are exact, tones stay where they are, blocks give what the whole gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.audio.resample import Resampler, resample, resample_blocks, resampled_length

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


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(48000, 16000), (16000, 48000), (44100, 16000), (16000, 44100), (11025, 16000)]
)
def test_the_resampler_of_streams_keeps_tones_in_place_whatever_the_blocks(from_hz, to_hz):
    tone = lambda rate: np.sin(2 * np.pi * 997 * np.arange(rate // 4) / rate + 0.3).astype(np.float32)  # noqa: E731
    samples, wanted = tone(from_hz), tone(to_hz)
    whole = Resampler(from_hz, to_hz).push(samples, last=True)
    stream, parts, begin = Resampler(from_hz, to_hz), [], 0
    for size in (1, 7, 480, 1001, 0, 10**6):
        block = samples[begin : begin + size]
        begin += len(block)
        parts.append(stream.push(block))
        assert sum(map(len, parts)) >= int((begin / from_hz - stream.delay_s) * to_hz)
    parts.append(stream.push(samples[:0], last=True))
    assert np.array_equal(np.concatenate(parts), whole) and len(whole) == -(-len(samples) * to_hz // from_hz)
    inner = slice(200, -200)
    assert np.abs(whole[: len(wanted)] - wanted)[inner].max() < 2e-4
    assert stream.delay_s < 0.0025


def test_the_resampler_of_streams_lets_nothing_through_from_above_the_band():
    above = np.sin(2 * np.pi * 9000 * np.arange(12000) / 48000).astype(np.float32)
    assert np.abs(Resampler(48000, 16000).push(above, last=True)[100:-100]).max() < 1e-3
