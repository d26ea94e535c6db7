"""The WaveNet's hand-written passes equal autograd through the textbook's dilated causal convolutions."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from vqvc.nn import wavenet
from vqvc.nn.wavenet import ResidualStack, WaveNet

HOP = 3


def textbook(stack: ResidualStack, x: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """The same sum of skips from x (T, B, R) and frames (F, B, C), by F.conv1d on (B, C, T)."""
    x, total = x.permute(1, 2, 0), 0
    conditioning = (
        (frames @ stack.frame + stack.frame_bias).permute(1, 2, 0).repeat_interleave(x.shape[2] // len(frames), 2)
    )
    for layer, (dilation, part) in enumerate(zip(stack.dilations, conditioning.chunk(len(stack.dilations), dim=1))):
        past = F.pad(x, ((stack.kernel - 1) * dilation, 0))
        a = F.conv1d(past, stack.tap[layer].permute(2, 1, 0), dilation=dilation) + part
        filtered, gate = a.chunk(2, dim=1)
        z = torch.tanh(filtered) * torch.sigmoid(gate)
        total = total + F.conv1d(z, stack.skip[layer].T[..., None])
        x = x + F.conv1d(z, stack.residual[layer].T[..., None], stack.residual_bias[layer])
    return total.permute(2, 0, 1) + stack.skip_bias


def _stack(layers=4, cycle=3, kernel=2, dtype=torch.float32, seed=0) -> ResidualStack:
    torch.manual_seed(seed)
    stack = ResidualStack(layers, cycle, kernel, 4, 6, 5, 3)
    for parameter in (stack.frame_bias, stack.residual_bias, stack.skip_bias):
        torch.nn.init.normal_(parameter)
    return stack.to(dtype)


def _inputs(batch, frames, dtype=torch.float32, hop=HOP):
    g = torch.Generator().manual_seed(batch * 100 + frames)
    x = torch.randn(frames * hop, batch, 4, generator=g).to(dtype).requires_grad_()
    return x, torch.randn(frames, batch, 3, generator=g).to(dtype).requires_grad_()


def _gradients(stack, output, *inputs) -> dict:
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output.dtype)
    names = [name for name, _ in stack.named_parameters()] + ["x", "frames"]
    inputs = [*stack.parameters(), *inputs]
    return dict(zip(names, torch.autograd.grad((output * weight).sum(), inputs, materialize_grads=True)))


def _assert_close(found: dict, expected: dict, tolerance: float):
    for name in expected:
        scale = expected[name].abs().max() + 1e-12
        assert (found[name] - expected[name]).abs().max() <= tolerance * scale, name


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.integers(1, 5), st.integers(1, 9))
def test_output_and_every_gradient_equal_the_textbook(layers, cycle, kernel, batch, frames):
    stack, (x, conditioning) = _stack(layers, cycle, kernel, torch.float64), _inputs(batch, frames, torch.float64)
    ours, theirs = stack(x, conditioning), textbook(stack, x, conditioning)
    assert torch.allclose(ours, theirs, atol=1e-12)
    # sums over time are kept in float32
    _assert_close(_gradients(stack, ours, x, conditioning), _gradients(stack, theirs, x, conditioning), 1e-5)


def test_one_sample_to_a_frame_leaves_the_frames_alone():
    stack, (x, conditioning) = _stack(), _inputs(2, 9, hop=1)
    ours, theirs = stack(x, conditioning), textbook(stack, x, conditioning)
    assert torch.allclose(ours, theirs, atol=1e-5)
    _assert_close(_gradients(stack, ours, x, conditioning), _gradients(stack, theirs, x, conditioning), 1e-4)


def test_weights_that_do_not_learn_leave_the_other_gradients_as_they_are():
    stack, (x, conditioning) = _stack(), _inputs(5, 8)
    output = stack(x, conditioning)
    expected = torch.autograd.grad(output.square().sum(), [x, conditioning])
    found = torch.autograd.grad(stack.requires_grad_(False)(x, conditioning).square().sum(), [x, conditioning])
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize("rows", [1, 50, 10**9])
def test_splitting_into_cached_groups_changes_nothing(monkeypatch, rows):
    stack, (x, conditioning) = _stack(), _inputs(5, 8)
    expected = textbook(stack, x, conditioning)
    monkeypatch.setattr(wavenet, "CACHED_ROWS", rows)
    found = stack(x, conditioning)
    assert torch.allclose(found, expected, atol=1e-5)
    _assert_close(_gradients(stack, found, x, conditioning), _gradients(stack, expected, x, conditioning), 1e-4)


def test_bfloat16_stays_near_and_hands_float32_gradients_to_the_weights():
    stack, (x, conditioning) = _stack(), _inputs(4, 20)
    found, expected = stack(x.bfloat16(), conditioning.bfloat16()), textbook(stack, x, conditioning)
    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).square().mean() < 1e-3 * expected.square().mean()
    found, expected = _gradients(stack, found, x, conditioning), _gradients(stack, expected, x, conditioning)
    assert all(gradient.dtype == torch.float32 for gradient in found.values())
    _assert_close(found, expected, 0.1)


def test_output_depends_on_the_receptive_field_and_on_nothing_later():
    stack, t = _stack(layers=5, cycle=3, kernel=3), 45
    x, conditioning = _inputs(1, 20)
    assert stack.receptive_field == 1 + 2 * (1 + 2 + 4 + 1 + 2)
    grad = torch.autograd.grad(stack(x, conditioning)[t].sum(), x)[0]
    seen = grad.abs().sum((1, 2)).nonzero()[:, 0]
    assert (int(seen.min()), int(seen.max())) == (t - stack.receptive_field + 1, t)


def test_sequences_do_not_depend_on_each_other():
    stack, (x, conditioning) = _stack(), _inputs(3, 8)
    together = stack(x, conditioning)
    alone = stack(x[:, 1:2], conditioning[:, 1:2])
    assert torch.allclose(together[:, 1:2], alone, atol=1e-6)


@pytest.mark.parametrize("lpc_inputs", [0, 2])
def test_the_whole_wavenet_is_causal_in_its_inputs(lpc_inputs):
    torch.manual_seed(0)
    net = WaveNet(_stack(), classes=256, lpc_inputs=lpc_inputs, out_channels=7)
    torch.nn.init.normal_(net.out.weight)
    previous, frames = torch.randint(256, (2, 12)), torch.randn(2, 4, 3)
    given = torch.randn(2, 12, lpc_inputs) if lpc_inputs else None
    plain = net(previous, given, frames, torch.float32)
    other = previous.clone()
    other[:, 7] += 1 - 2 * (other[:, 7] == 255).long()
    changed = net(other, given, frames, torch.float32)
    assert plain.shape == (12, 2, 7)
    assert torch.equal(plain[:7], changed[:7]) and not torch.equal(plain[7], changed[7])


def test_threads_side_by_side_give_what_one_gives(monkeypatch):
    stack, (x, conditioning) = _stack(), _inputs(5, 8)
    monkeypatch.setattr(wavenet, "CACHED_ROWS", 1)
    found, threads = [], torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            output = stack(x, conditioning)
            found.append((output, _gradients(stack, output, x, conditioning)))
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(found[0][1][name], found[1][1][name]) for name in found[0][1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_frames_that_do_not_divide_the_time_are_refused(dtype):
    stack, (x, conditioning) = _stack(dtype=dtype), _inputs(2, 4, dtype)
    with pytest.raises(ValueError, match="4 frames do not divide 11 samples"):
        stack(x[:11], conditioning)
