"""Averaged (Polyak) weights: what validation, conversion and the released file use."""

import copy

import torch
from torch import nn


class AveragedModel:
    """A copy of a model whose weights follow it slowly: a <- d a + (1 - d) w with d rising to ``decay``.

    Buffers (the codebook, running statistics) are copied as they are.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.module = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after ``step`` steps."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, weights = list(self.module.parameters()), list(model.parameters())
        torch._foreach_lerp_(averages, weights, 1 - decay)
        for mine, theirs in zip(self.module.buffers(), model.buffers()):
            mine.copy_(theirs)
