"""The contract of samples and codes: code i stands for samples [i * hop, (i + 1) * hop)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.nn.encoder import Encoder, Normalise, sliding_normalise

PAPER = (2, 2, 2, 2, 2, 2)


def _encoder(strides=PAPER, context_layers=0, channels=6, dim=4) -> Encoder:
    torch.manual_seed(0)
    return Encoder(1, (channels,) * len(strides), strides, context_layers, 3, (1, 2), dim).eval()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 40), st.sampled_from([PAPER, (2, 5), (4, 3), (2,) * 7 + (5,)]), st.integers(0, 2))
def test_there_is_exactly_one_code_for_every_hop(codes, strides, context_layers):
    encoder = _encoder(strides, context_layers)
    assert encoder(torch.zeros(2, 1, codes * math.prod(strides))).shape == (2, 4, codes)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 12 * 64 - 1))
def test_a_click_lands_in_the_code_of_its_sample(t):
    """With windows that weigh their middle most (a B-spline's) the strided layers answer strongest in code t // hop."""
    encoder = _encoder(channels=1)
    for layer in encoder.strided:
        layer.weight.data.copy_(torch.tensor([[0.25, 0.75, 0.75, 0.25]]))
        torch.nn.init.zeros_(layer.bias)
    x = torch.zeros(1, 12 * 64, 1)
    x[0, t] = 1.0
    for layer in encoder.strided:
        x = torch.relu(layer(x))
    answer = x[0, :, 0]
    assert int(answer.argmax()) == t // 64
    assert (answer >= answer.max()).sum() == 1


@pytest.mark.parametrize("strides", [PAPER, (2, 2, 5), (4, 4)])
def test_the_papers_code_depends_on_its_own_samples_and_as_much_on_either_side(strides):
    encoder, hop, i = _encoder(strides), math.prod(strides), 4
    x = torch.randn(1, 1, 9 * hop, generator=torch.Generator().manual_seed(0)).requires_grad_()
    encoder(x)[0, :, i].sum().backward()
    reached = x.grad[0, 0].nonzero()[:, 0]
    first, last = int(reached.min()), int(reached.max())
    low, high = i, i
    for stride in reversed(strides):
        low, high = low * stride - stride // 2, high * stride + 2 * stride - 1 - stride // 2
    assert low <= first <= i * hop and (i + 1) * hop - 1 <= last <= high
    if strides == PAPER:  # 190 samples, as the paper's encoder has
        assert (first, last) == (i * hop - 63, (i + 1) * hop + 62)


@pytest.mark.parametrize("context_layers", [1, 3])
def test_context_reaches_as_far_as_stated(context_layers):
    encoder, hop, i, codes = _encoder((2, 2), context_layers), 4, 12, 25
    x = torch.randn(1, 1, codes * hop, generator=torch.Generator().manual_seed(0)).requires_grad_()
    encoder(x)[0, :, i].sum().backward()
    touched = (x.grad[0, 0].view(codes, hop).abs().sum(1) > 0).nonzero()[:, 0]
    reach = encoder.context_codes + 1  # the strided layers themselves touch a neighbour on either side
    assert (int(touched.min()), int(touched.max())) == (i - reach, i + reach)


def test_normalised_over_batch_and_time_while_training():
    z = 3 + 5 * torch.randn(4, 6, 50, generator=torch.Generator().manual_seed(0))
    out = Normalise(6).train()(z)
    assert torch.allclose(out.mean((0, 2)), torch.zeros(6), atol=1e-5)
    assert torch.allclose(out.var((0, 2), unbiased=False), torch.ones(6), atol=1e-4)


def test_running_averages_are_plain_at_first_and_serve_evaluation():
    layer, batches = Normalise(2).train(), [i + torch.randn(3, 2, 40) for i in range(5)]
    for z in batches:
        layer(z)
    moments = torch.stack([torch.stack([z.mean((0, 2)), z.var((0, 2), unbiased=False)]) for z in batches]).mean(0)
    assert torch.allclose(layer.mean, moments[0], atol=1e-5) and torch.allclose(layer.variance, moments[1], atol=1e-5)
    before = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    z = torch.randn(3, 2, 40)
    expected = (z - moments[0][:, None]) / (moments[1][:, None] + 1e-5).sqrt()
    assert torch.allclose(layer.eval()(z), expected, atol=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())


def test_a_constant_dimension_stays_finite():
    assert torch.isfinite(Normalise(2).train()(torch.full((2, 2, 5), 7.0))).all()


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 50))
def test_sliding_normalisation_is_that_of_the_frames_around(time, reach):
    x = 3 + 2 * torch.randn(2, time, 3, generator=torch.Generator().manual_seed(time))
    out = sliding_normalise(x, reach)
    for t in range(time):
        window = x[:, max(0, t - reach) : t + reach + 1]
        deviation = (window.var(1, unbiased=False) + 1e-4).sqrt()
        assert torch.allclose(out[:, t], (x[:, t] - window.mean(1)) / deviation, atol=1e-3)


def test_sliding_normalisation_far_into_a_recording_is_that_of_a_crop():
    """Sums over an hour would lose a crop's digits in float32."""
    x = 5 + torch.randn(1, 90_000, 2, generator=torch.Generator().manual_seed(0))
    crop = slice(89_000, 89_200)
    assert torch.allclose(
        sliding_normalise(x, 50)[:, crop][:, 50:150], sliding_normalise(x[:, crop], 50)[:, 50:150], atol=1e-5
    )


def test_a_gain_and_an_offset_that_stay_are_not_reached():
    x = torch.randn(1, 60, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(sliding_normalise(7 + 3 * x, 20), sliding_normalise(x, 20), atol=1e-3)
