"""Convolution as one matrix product over windows, channels last: on a CPU many times faster than the library's."""

import math

import torch
from torch import Tensor, nn


class Convolution(nn.Module):
    """(B, T, C_in) -> (B, T / stride, C_out).

    With a stride s the window has 2 s samples and reaches half a stride to either side, so that T becomes exactly
    T / s (kernel 4, stride 2, padding 1 in the paper). Without one, ``taps`` samples at a ``dilation``, centred.
    """

    def __init__(self, in_channels: int, out_channels: int, *, stride: int = 1, taps: int = 1, dilation: int = 1):
        super().__init__()
        self.stride, self.dilation = stride, dilation
        self.taps = 2 * stride if stride > 1 else taps
        fan_in = self.taps * in_channels
        self.weight = nn.Parameter(torch.randn(out_channels, fan_in) * math.sqrt(1 / fan_in))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    @property
    def reach(self) -> int:
        """Input samples on either side of the centre that an output sees (without a stride)."""
        return self.dilation * (self.taps - 1) // 2

    def windows(self, x: Tensor) -> Tensor:
        """(B, T / stride, taps * C_in): what each output sees, oldest first."""
        batch, time, channels = x.shape
        if self.stride > 1:
            left = self.stride // 2
            padded = nn.functional.pad(x, (0, 0, left, self.stride - left))
            halves = padded.reshape(batch, time // self.stride + 1, self.stride * channels)
            return torch.cat([halves[:, :-1], halves[:, 1:]], dim=-1)
        if self.taps == 1:
            return x
        padded = nn.functional.pad(x, (0, 0, self.reach, self.reach))
        return torch.cat([padded[:, i * self.dilation : i * self.dilation + time] for i in range(self.taps)], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.windows(x), self.weight, self.bias)
