"""Contrastive predictive coding (CPC): an auxiliary loss that predicts z_e a short time later, and earlier, from z_e.

The loss is InfoNCE (van den Oord, Li, Vinyals 2018, equation 4). As in VQ-CPC (van Niekerk, Nortje, Kamper 2020), which
reads the codes instead of z_e, the negatives are the other vectors of the same crop. They have the same speaker, level
and room, so that only the phonetic content distinguishes them. This makes the codebook separate phonetic content.
"""

import torch
from torch import Tensor, nn

from vqvc.nn.convolution import Convolution

DISTANCES_S = (0.085, 0.125, 0.165)  # longer than the encoder's strided window, shorter than one or two phones
DILATIONS = (1, 2, 4)
TEMPERATURE = 0.1


class ContrastivePrediction(nn.Module):
    """z_e (B, D, T) -> scalar: mean InfoNCE in nats over the distances, in both directions of time."""

    def __init__(self, dim: int, rate_hz: float, width: int = 128):
        super().__init__()
        self.distances = tuple(max(1, round(seconds * rate_hz)) for seconds in DISTANCES_S)
        self.enter = Convolution(dim, width)
        self.before = nn.ModuleList(Convolution(width, width, taps=3, dilation=dilation) for dilation in DILATIONS)
        self.norm = nn.LayerNorm(width)
        self.guess = nn.ModuleList(nn.Linear(width, dim * len(self.distances)) for _ in ("later", "earlier"))
        self.target = nn.Linear(dim, dim)

    def forward(self, z_e: Tensor) -> Tensor:
        z = z_e.transpose(1, 2)
        targets = nn.functional.normalize(self.target(z).float(), dim=-1)
        return (self._one_way(z, targets, 0) + self._one_way(z.flip(1), targets.flip(1), 1)) / 2

    def _one_way(self, z: Tensor, targets: Tensor, way: int) -> Tensor:
        """InfoNCE in one direction of time: z (B, T, D) up to a step predicts the targets (B, T, D) after it.

        way: which predictor is used, 0 for later and 1 for earlier; z and targets are reversed in time for the latter.
        """
        batch, time, dim = targets.shape
        x = self.enter(z)
        for block in self.before:
            # the convolution is centred; shifting its input by its reach makes it causal
            past = nn.functional.pad(torch.relu(x), (0, 0, block.reach, 0))[:, :time]
            x = x + block(past)
        guesses = self.guess[way](self.norm(x)).view(batch, time, len(self.distances), dim).float()
        guesses = nn.functional.normalize(guesses, dim=-1) / TEMPERATURE
        losses = []
        for number, distance in enumerate(d for d in self.distances if d < time):
            scores = guesses[:, :-distance, number] @ targets.transpose(1, 2)  # (B, T - distance, T)
            positives = torch.arange(distance, time, device=scores.device).expand(batch, -1)
            losses.append(nn.functional.cross_entropy(scores.flatten(0, 1), positives.flatten()))
        return torch.stack(losses).mean() if losses else z.new_zeros(())
