"""Usage, bitrates and mutual information against counts by hand and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.errors import CorpusError
from vqvc.evaluation.metrics import codes


def test_usage_by_hand():
    even = codes.usage(np.array([5, 5, 0, 5, 5]))
    assert (even.used, even.perplexity, even.entropy_bits) == (4, pytest.approx(4), pytest.approx(2))
    assert codes.usage(np.array([0, 7])).perplexity == 1
    with pytest.raises(CorpusError, match="no codes"):
        codes.usage(np.zeros(5))


def test_bitrates_by_hand():
    """0 0 1 1 | 0 0 1 1: entropy 1 bit; four runs of length 2, so 1 bit for a run's code, 0 for its length, half the rate."""
    rates = codes.bitrates(np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.array([0, 4, 8]), 16, 100.0)
    assert rates.fixed_bps == 400
    assert rates.entropy_bps == pytest.approx(100)
    assert rates.run_length_bps == pytest.approx(50)


def test_runs_do_not_cross_utterances():
    joined = codes.bitrates(np.array([1, 1, 1, 1]), np.array([0, 4]), 4, 10.0)
    cut = codes.bitrates(np.array([1, 1, 1, 1]), np.array([0, 2, 2, 4]), 4, 10.0)
    assert joined.run_length_bps == cut.run_length_bps == 0  # one kind of run each
    mixed = codes.bitrates(np.array([1, 1, 1, 0]), np.array([0, 2, 4]), 4, 10.0)
    assert mixed.run_length_bps > 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=60))
def test_mutual_information_equals_scikit_learn(pairs):
    from sklearn.metrics import normalized_mutual_info_score

    joint = np.zeros((6, 4))
    for code, phone in pairs:
        joint[code, phone] += 1
    one, other = zip(*pairs, strict=True)
    if len(set(one)) < 2 or len(set(other)) < 2:
        with pytest.raises(CorpusError, match="at least two classes|two classes of codes"):
            codes.normalised_mutual_information(joint)
    else:
        assert codes.normalised_mutual_information(joint) == pytest.approx(
            normalized_mutual_info_score(one, other), abs=1e-9
        )


def test_histograms_are_shares():
    rows = codes.histograms(np.array([0, 0, 2, 1]), np.array([0, 3, 3, 4]), 3)
    assert np.allclose(rows, [[2 / 3, 0, 1 / 3], [0, 0, 0], [0, 1, 0]])
