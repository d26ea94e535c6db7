"""Likelihoods: exact masses that sum to one, equal to an integral of the density, finite for whatever comes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from network import mixture_log_probabilities
from scipy.integrate import quad
from scipy.stats import logistic

from vqvc.nn import likelihood
from vqvc.nn.features import mulaw_edges


def _mixture(seed=0, batch=5, mixtures=3, spread=1.0):
    g = torch.Generator().manual_seed(seed)
    raw = spread * torch.randn(batch, 3 * mixtures, generator=g)
    return likelihood.mixture_parameters(raw, 0.3 * torch.randn(batch, generator=g), torch.full((batch,), -3.0))


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 1.0, 3.0]), st.integers(1, 8))
def test_the_probabilities_of_all_classes_sum_to_one(seed, spread, mixtures):
    total = mixture_log_probabilities(_mixture(seed, mixtures=mixtures, spread=spread)).exp().sum(-1)
    assert torch.allclose(total, torch.ones(5), atol=2e-3)


def test_a_mass_is_the_integral_of_the_density_over_its_class():
    log_weight, mean, log_scale = _mixture(3, batch=2)
    found = mixture_log_probabilities((log_weight, mean, log_scale)).exp()
    edges = mulaw_edges().double().numpy()

    def density(x, row):
        scale = log_scale[row].double().exp().numpy()
        return (log_weight[row].double().exp().numpy() * logistic.pdf(x, mean[row].double().numpy(), scale)).sum()

    for row in range(2):
        for c in (0, 1, 90, 127, 128, 129, 180, 254, 255):
            low, high = max(edges[c], -30), min(edges[c + 1], 30)
            integral = quad(density, low, high, args=(row,), limit=400, epsabs=1e-12)[0]
            assert float(found[row, c]) == pytest.approx(integral, rel=2e-3, abs=1e-7)


def test_silence_can_be_had_for_nearly_nothing():
    raw = torch.tensor([[0.0, 0.0, -20.0]])
    middle = mulaw_edges()[128:130].mean()
    parameters = likelihood.mixture_parameters(raw, middle[None], torch.full((1,), -4.0))
    assert likelihood.mixture_nll(parameters, torch.tensor([128])) < 0.02  # nats


def test_the_loss_is_minus_the_log_probability_of_the_class():
    parameters, classes = _mixture(5, batch=256), torch.arange(256)
    weight, mean, scale = (each.double() for each in (parameters[0].exp(), parameters[1], parameters[2].exp()))
    edges = mulaw_edges().double()
    below, above = (torch.sigmoid((edge[:, None] - mean) / scale) for edge in (edges[classes], edges[classes + 1]))
    expected = -(weight * (above - below)).sum(-1).log()
    assert torch.allclose(likelihood.mixture_nll(parameters, classes).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("logit", [0.0, 60.0, -60.0])
@pytest.mark.parametrize("offset", [0.0, 1e3, -1e3])
@pytest.mark.parametrize("log_scale", [-40.0, 0.0, 6.0])
def test_extreme_parameters_stay_finite_with_finite_gradients(logit, offset, log_scale):
    raw = torch.tensor([[logit, 0.0, offset, 0.1, log_scale, -1.0]]).expand(256, 6).clone().requires_grad_()
    gain = torch.full((256,), -4.0, requires_grad=True)
    parameters = likelihood.mixture_parameters(raw, torch.zeros(256), gain)
    nll = likelihood.mixture_nll(parameters, torch.arange(256))
    nll.sum().backward()
    assert torch.isfinite(nll).all() and (nll > -1e-3).all()
    assert torch.isfinite(raw.grad).all() and torch.isfinite(gain.grad).all()


def test_a_narrow_logistic_puts_its_mass_where_it_stands():
    for c in (1, 60, 127, 128, 129, 200, 254):
        middle = mulaw_edges()[c : c + 2].mean()
        parameters = likelihood.mixture_parameters(torch.tensor([0.0, 0.0, -20.0]), middle, torch.tensor(0.0))
        assert int(mixture_log_probabilities(parameters).argmax()) == c


def test_categorical_is_a_softmax_over_the_classes():
    logits = torch.randn(2, 7, 256, generator=torch.Generator().manual_seed(0))
    classes = torch.randint(256, (2, 7), generator=torch.Generator().manual_seed(1))
    expected = -logits.double().log_softmax(-1).gather(2, classes[..., None])[..., 0]
    assert torch.allclose(likelihood.categorical_nll(logits, classes).double(), expected, atol=1e-5)


def test_a_fair_choice_of_256_is_eight_bits():
    nats = likelihood.categorical_nll(torch.zeros(1, 256), torch.tensor([3]))
    assert likelihood.bits(float(nats)) == pytest.approx(8)
    assert np.isclose(likelihood.bits(np.log(2)), 1)
