"""Changes to the conditioner that belong to one voice: a low-rank matrix and a bias for each of its convolutions (Hu et al. 2021, LoRA).

A speaker's vector adds the same to every frame. How a voice differs from others also depends on the sound, and a vector that
was fitted afterwards can only choose among what the training speakers taught. The weights of convolution l become

    weight[l] + up[l] down[l]        bias[l] + offset[l]

of which ``up`` and ``offset`` begin at zero, so that nothing is changed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vqvc.nn.convolution import Convolution

PARTS = ("up", "down", "offset")


@dataclass(frozen=True, eq=False)
class Adaptation:
    """Of L convolutions with C channels and K taps, of rank R. up: (L, C, R); down: (L, R, K * C); offset: (L, C); all float."""

    up: Tensor
    down: Tensor
    offset: Tensor

    @classmethod
    def start(cls, layers: int, channels: int, inputs: int, rank: int, generator: torch.Generator) -> "Adaptation":
        """One of so many convolutions (channels, inputs), which changes nothing, on the CPU; ``down`` is drawn."""
        down = torch.randn(layers, rank, inputs, generator=generator) / math.sqrt(inputs)
        return cls(torch.zeros(layers, channels, rank), down, torch.zeros(layers, channels))

    def to(self, device: torch.device) -> "Adaptation":
        """The same on a device."""
        return Adaptation(*(part.to(device) for part in self.parts().values()))

    def parts(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {name: getattr(self, name) for name in PARTS}

    def fits(self, layers: int, channels: int, inputs: int) -> bool:
        """Whether it is one of so many convolutions (channels, inputs)."""
        rank = self.up.shape[-1] if self.up.ndim else 0
        wanted = (layers, channels, rank), (layers, rank, inputs), (layers, channels)
        return tuple(tuple(part.shape) for part in self.parts().values()) == wanted

    def blocks(self, blocks: Sequence[Convolution]) -> list[Convolution]:
        """The convolutions with their weights changed; gradients flow to both."""
        changed = []
        for layer, block in enumerate(blocks):
            up, down, offset = (part[layer].to(block.weight) for part in self.parts().values())
            changed.append(block.with_weights(block.weight + up @ down, block.bias + offset))
        return changed
