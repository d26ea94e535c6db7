"""A speaker classifier behind a gradient reversal layer: an auxiliary loss that removes the speaker from the codes.

The classifier learns to recognise the speaker from z_q. The gradient reversal layer (Ganin et al. 2016, equation 18)
makes the encoder learn the opposite. Chou et al. 2018 train a voice conversion model with a speaker classifier too.
"""

import torch
from torch import Tensor, nn

from vqvc.nn.convolution import Convolution

DILATIONS = (1, 2, 4)


class SpeakerAdversary(nn.Module):
    """z_q (B, D, T) and speakers (B,) int64 -> scalar: mean cross entropy of the crops' speakers in nats."""

    def __init__(self, dim: int, speakers: int, width: int = 256):
        super().__init__()
        self.enter = Convolution(dim, width)
        self.blocks = nn.ModuleList(Convolution(width, width, taps=3, dilation=dilation) for dilation in DILATIONS)
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Linear(2 * width, speakers)

    def forward(self, z_q: Tensor, speaker: Tensor) -> Tensor:
        x = self.enter(_Reversed.apply(z_q).transpose(1, 2))
        for block in self.blocks:
            x = x + block(torch.relu(x))
        x = torch.relu(self.norm(x).float())
        pooled = torch.cat([x.mean(1), x.std(1, correction=0)], dim=1)
        return nn.functional.cross_entropy(self.classify(pooled).float(), speaker)


class _Reversed(torch.autograd.Function):
    """The gradient reversal layer: the identity forward, a change of sign backward."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return -gradient
