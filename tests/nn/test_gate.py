"""The compiled gate equals PyTorch's, forward and back, in every layout that the WaveNet hands it."""

import pytest
import torch

from vqvc.nn import gate as gate_module
from vqvc.nn.gate import gate, gate_gradient

TOLERANCE = {torch.float32: 1e-6, torch.bfloat16: 2**-7}


def _case(dtype, frames=3, batch=2, half=20, hop=5):
    g = torch.Generator().manual_seed(half)
    rows = frames * batch * hop
    a = (4 * torch.randn(rows, 2 * half, generator=g)).to(dtype)
    terms = torch.randn(frames, batch, 2 * half, generator=g).to(dtype)
    wide = torch.full((rows, 3 * half), 7.0, dtype=dtype)  # z is a slice of all layers' outputs
    return a, terms, wide, torch.randn(rows, half, generator=g).to(dtype)


def _both_ways(case, half=20):
    a, terms, wide, gz = (tensor.clone() for tensor in case)
    gate(a, terms, wide[:, half : 2 * half])
    ga, g_terms = torch.empty_like(a), torch.empty_like(terms)
    gate_gradient(gz, a, ga, g_terms)
    return a, wide, ga, g_terms


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_equals_pytorch(dtype, monkeypatch):
    case = _case(dtype)
    found = _both_ways(case)
    monkeypatch.setattr(gate_module, "COMPILED", ())
    for ours, theirs in zip(found, _both_ways(case)):
        scale = theirs.float().abs().max()
        assert (ours.float() - theirs.float()).abs().max() <= TOLERANCE[dtype] * scale


def test_gradient_is_that_of_the_formula():
    a, terms, _, gz = _case(torch.float32)
    a_in, terms_in = a.clone().requires_grad_(), terms.clone().requires_grad_()
    frames, batch, gates = terms.shape
    total = a_in + terms_in[:, None].expand(frames, len(a) // (frames * batch), batch, gates).reshape(len(a), gates)
    first, second = total.chunk(2, dim=1)
    z = torch.tanh(first) * torch.sigmoid(second)
    expected = torch.autograd.grad((z * gz).sum(), (a_in, terms_in))
    _, wide, ga, g_terms = _both_ways((a, terms, *_case(torch.float32)[2:]))
    assert torch.allclose(wide[:, 20:40], z, atol=1e-6)
    assert (wide[:, :20] == 7).all() and (wide[:, 40:] == 7).all()
    for ours, theirs in zip((ga, g_terms), expected):
        assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("value", [-1e4, -30.0, 0.0, 30.0, 1e4])
def test_saturates_without_overflow(value):
    a, z = torch.full((4, 8), value), torch.empty(4, 4)
    gate(a, torch.zeros(2, 1, 8), z)
    assert torch.allclose(z, torch.tanh(torch.tensor(value)) * torch.sigmoid(torch.tensor(value)), atol=1e-6)
