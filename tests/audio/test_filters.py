"""Minimum-phase filters: the same whatever the parts, and as their magnitude says."""

import numpy as np
import pytest

from vqvc.audio.filters import BLOCK_SAMPLES, CausalFilter, minimum_phase


def _response(taps: int = 64) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(taps) * 0.9 ** np.arange(taps)


@pytest.mark.parametrize("sizes", [[1], [7, 64, 1000], [10**6]])
def test_the_parts_are_the_filtered_whole(sizes):
    samples = np.random.default_rng(1).standard_normal(BLOCK_SAMPLES + 300).astype(np.float32)
    causal, made, begin, turn = CausalFilter(_response()), [], 0, 0
    while begin < len(samples):
        made.append(causal.push(samples[begin : begin + sizes[turn % len(sizes)]]))
        begin, turn = begin + sizes[turn % len(sizes)], turn + 1
    made = np.concatenate(made)
    wanted = np.convolve(samples.astype(np.float64), _response())[: len(samples)]
    assert made.dtype == np.float32 and np.abs(made - wanted).max() < 1e-6
    assert len(causal.push(np.zeros(0, np.float32))) == 0


def test_a_filter_that_follows_another_goes_on_from_its_past():
    samples = np.random.default_rng(2).standard_normal(500).astype(np.float32)
    first = CausalFilter(_response())
    first.push(samples[:300])
    made = CausalFilter(-_response(), first.held).push(samples[300:])
    assert np.allclose(made, -np.convolve(samples, _response())[300:500], atol=1e-5)


def test_a_flat_response_leaves_samples_as_they_are_bit_for_bit():
    samples = np.random.default_rng(3).standard_normal(1000).astype(np.float32)
    assert np.array_equal(CausalFilter(np.eye(1, 64)[0]).push(samples), samples)


def test_a_response_of_minimum_phase_has_its_magnitude():
    nepers = 0.5 * np.cos(np.linspace(0, np.pi, 129))[None]
    assert np.allclose(np.log(np.abs(np.fft.rfft(minimum_phase(nepers)[0]))), nepers[0], atol=1e-6)
