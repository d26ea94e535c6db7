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
    def start(cls, blocks: Sequence[Convolution], rank: int, generator: torch.Generator) -> "Adaptation":
        """One that changes nothing; ``down`` is drawn."""
        channels, inputs = blocks[0].weight.shape
        down = torch.randn(len(blocks), rank, inputs, generator=generator) / math.sqrt(inputs)
        parts = torch.zeros(len(blocks), channels, rank), down, torch.zeros(len(blocks), channels)
        return cls(*(part.to(blocks[0].weight.device) for part in parts))

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
        up, down, offset = (part.to(blocks[0].weight) for part in self.parts().values())
        return [
            block.with_weights(block.weight + up[layer] @ down[layer], block.bias + offset[layer])
            for layer, block in enumerate(blocks)
        ]
