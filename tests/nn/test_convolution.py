"""Convolutions as matrix products: equal to the library's, T / stride exactly."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from vqvc.nn.convolution import Convolution


def _library(layer: Convolution, x: torch.Tensor) -> torch.Tensor:
    """The same (B, T, C) -> (B, T', C') by F.conv1d."""
    weight = layer.weight.view(layer.weight.shape[0], layer.taps, -1).transpose(1, 2)
    x = x.transpose(1, 2)
    if layer.stride > 1:
        left = layer.stride // 2
        x = F.conv1d(F.pad(x, (left, layer.stride - left)), weight, layer.bias, layer.stride)
    else:
        x = F.conv1d(x, weight, layer.bias, padding=layer.reach, dilation=layer.dilation)
    return x.transpose(1, 2)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(2, 6), st.integers(1, 4))
def test_strided_layer_is_the_textbook_convolution(batch, codes, stride, channels):
    torch.manual_seed(0)
    layer = Convolution(channels, 5, stride=stride)
    torch.nn.init.normal_(layer.bias)
    x = torch.randn(batch, codes * stride, channels)
    out = layer(x)
    assert out.shape == (batch, codes, 5)
    assert torch.allclose(out, _library(layer, x), atol=1e-5)


@pytest.mark.parametrize("taps", [1, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 8])
def test_dilated_layer_is_the_textbook_convolution(taps, dilation):
    torch.manual_seed(0)
    layer = Convolution(3, 4, taps=taps, dilation=dilation)
    x = torch.randn(2, 7, 3)  # also shorter than the layer's reach
    assert torch.allclose(layer(x), _library(layer, x), atol=1e-5)


def test_kernel_4_stride_2_padding_1_is_the_papers_layer():
    torch.manual_seed(0)
    layer = Convolution(2, 3, stride=2)
    x = torch.randn(1, 10, 2)
    weight = layer.weight.view(3, 4, 2).transpose(1, 2)
    assert torch.allclose(layer(x).transpose(1, 2), F.conv1d(x.transpose(1, 2), weight, stride=2, padding=1), atol=1e-6)
