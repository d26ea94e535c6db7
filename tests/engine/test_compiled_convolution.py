"""Compiled convolutions: PyTorch's, for any shape and however few the frames."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vqvc.engine.cpu.blocks import HAS_BFLOAT16
from vqvc.engine.cpu.convolution import CompiledConvolution, compiled
from vqvc.nn.conditioning import Conditioner
from vqvc.nn.convolution import Convolution

layers = st.one_of(
    st.builds(Convolution, st.integers(1, 40), st.integers(1, 70), stride=st.integers(2, 5)),
    st.builds(
        Convolution, st.integers(1, 40), st.integers(1, 70), taps=st.sampled_from([1, 3, 5]), dilation=st.integers(1, 4)
    ),
)


@settings(max_examples=60, deadline=None)
@given(layers, st.integers(0, 60))
@torch.inference_mode()
def test_a_compiled_convolution_is_the_convolution(layer, length):
    x = torch.randn(1, length, layer.weight.shape[1] // layer.taps)
    fast = CompiledConvolution(layer, torch.float32)
    wanted, found = layer.valid(x), fast.valid(x)
    assert found.shape == wanted.shape and torch.allclose(found, wanted, atol=1e-4)
    other = [torch.randn_like(layer.weight), torch.randn_like(layer.bias)]
    wanted, found = (one.with_weights(*other).valid(x) for one in (layer, fast))
    assert torch.allclose(found, wanted, atol=1e-4)


@torch.inference_mode()
def test_in_bfloat16_inputs_and_weights_are_rounded_and_sums_are_not():
    layer = Convolution(64, 64, taps=3, dilation=2)
    x = torch.randn(1, 9, 64)
    found = CompiledConvolution(layer, torch.bfloat16).valid(x)
    rounded = layer.with_weights(layer.weight.bfloat16().float(), layer.bias)
    wanted = rounded.valid(x.bfloat16().float()) if HAS_BFLOAT16 else layer.valid(x)
    assert torch.allclose(found, wanted, atol=1e-5)


@torch.inference_mode()
def test_a_row_does_not_depend_on_the_rows_beside_it():
    fast, x = CompiledConvolution(Convolution(32, 32, taps=3), torch.float32), torch.randn(1, 40, 32)
    whole = fast.valid(x)
    for count in (1, 2, 3, 5, 8):
        assert torch.equal(fast.valid(x[:, 10 : 12 + count]), whole[:, 10 : 10 + count])


@torch.inference_mode()
def test_a_compiled_module_is_the_module_with_other_layers():
    module = Conditioner(8, speakers=2, speaker_dim=4, channels=12, layers=4, repeat=2)
    fast = compiled(module, torch.float32)
    z_q, speaker = torch.randn(1, 8, 7), torch.tensor([1])
    assert torch.allclose(fast(z_q, speaker), module(z_q, speaker), atol=1e-5)
    assert not any(isinstance(part, CompiledConvolution) for part in module.modules())
    linear = nn.Linear(10, 3)
    x = torch.randn(1, 5, 10)
    assert torch.allclose(compiled(linear, torch.float32)(x), linear(x), atol=1e-5)


@pytest.mark.parametrize("taps", [1, 3])
@torch.inference_mode()
def test_the_padding_of_forward_is_the_same(taps):
    layer, x = Convolution(6, 6, taps=taps), torch.randn(1, 11, 6)
    assert torch.allclose(CompiledConvolution(layer, torch.float32)(x), layer(x), atol=1e-5)
