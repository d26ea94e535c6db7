"""The range coder: exact for any frequencies, and hardly longer than the entropy."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.codec import range_coder


def _decode(data: bytes, shares: list[tuple[int, int, int]]) -> bool:
    """Whether each target falls into the share that was written."""
    decoder = range_coder.Decoder(data)
    for start, frequency, total in shares:
        if not start <= decoder.target(total) < start + frequency:
            return False
        decoder.take(start, frequency, total)
    return True


@st.composite
def _share(draw):
    total = draw(st.integers(1, 1 << 24))
    start = draw(st.integers(0, total - 1))
    return start, draw(st.integers(1, total - start)), total


@given(st.lists(_share(), max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_shares_come_back_and_cost_their_entropy(shares):
    data = range_coder.encode(shares)
    assert _decode(data, shares)
    assert 8 * len(data) <= sum(math.log2(total / frequency) for _, frequency, total in shares) + 8.001


def test_extreme_shares_carry_through_long_runs():
    total = 1 << 24
    rng = np.random.default_rng(0)
    for kind in (
        (total - 1, 1, total),
        (0, 1, total),
        (0, total, total),
        (1, total - 1, total),
        (total // 3, 1, total),
    ):
        shares = [kind] * 500 + [(int(rng.integers(total)), 1, total) for _ in range(20)] + [kind] * 500
        assert _decode(range_coder.encode(shares), shares)


def test_nothing_is_no_bytes():
    assert range_coder.encode([]) == b""
