"""Ancestral sampling: draws follow the prior, the opening is continued, the seed decides."""

import numpy as np
import pytest
from tiny_prior import SIZE, in_integers, random_prior

from vqvc.codec.draw import draw, probabilities
from vqvc.codec.integer_prior import LOGIT_BITS, TOTAL
from vqvc.errors import UsageError


@pytest.fixture(scope="module")
def prior():
    return in_integers(random_prior())


def test_first_codes_are_drawn_with_the_prior_s_probabilities(prior):
    rng = np.random.default_rng(0)
    drawn = np.bincount([draw(prior, 1, rng=rng)[0] for _ in range(3000)], minlength=SIZE) / 3000
    expected = prior.frequencies(prior.stepper().logits) / TOTAL
    assert np.abs(drawn - expected).max() < 4 * np.sqrt(0.25 / 3000)


def test_draws_cost_what_the_prior_expects(prior):
    """Mean negative log-likelihood of drawn codes = mean entropy of the distributions that they were drawn from."""
    codes = draw(prior, 2000, rng=np.random.default_rng(1))
    shares = prior.frequencies(prior.logits(codes)) / TOTAL
    lpc_residual = -np.log2(shares[np.arange(2000), codes])
    entropy = -(shares * np.log2(shares)).sum(-1)
    assert abs(lpc_residual.mean() - entropy.mean()) < 4 * lpc_residual.std() / np.sqrt(2000)


def test_the_seed_decides_and_an_opening_conditions_what_follows(prior):
    same = [draw(prior, 30, rng=np.random.default_rng(7)) for _ in range(2)]
    assert np.array_equal(*same)
    assert not np.array_equal(same[0], draw(prior, 30, rng=np.random.default_rng(8)))
    rest = draw(prior, 20, opening=same[0][:10], temperature=1e-6, rng=np.random.default_rng(0))
    likeliest = same[0][:10]
    for _ in range(20):
        likeliest = np.append(likeliest, prior.logits(np.append(likeliest, 0))[-1].argmax())
    assert np.array_equal(rest, likeliest[10:])


def test_top_p_keeps_the_smallest_set_that_holds_the_share():
    logits = np.log([0.5, 0.05, 0.3, 0.15]) * (1 << LOGIT_BITS)
    assert np.allclose(probabilities(logits), [0.5, 0.05, 0.3, 0.15])
    assert np.allclose(probabilities(logits, top_p=0.75), [0.625, 0, 0.375, 0])
    assert np.allclose(probabilities(logits, top_p=0.4), [1, 0, 0, 0])
    assert np.allclose(probabilities(logits, temperature=0.5)[0], 0.25 / (0.25 + 0.0025 + 0.09 + 0.0225))


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"temperature": 9.0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_settings_out_of_range_are_refused(prior, wrong):
    with pytest.raises(UsageError, match="must be above 0"):
        draw(prior, 1, rng=np.random.default_rng(0), **wrong)
