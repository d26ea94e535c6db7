"""Conditioning of the WaveNet: code vectors and speaker, repeated to conditioning frames and smoothed by convolutions.

Transposed convolutions would leave a pattern with the period of their stride (Odena et al. 2016).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqvc.nn.adaptation import Adaptation
from vqvc.nn.convolution import Convolution

TAPS = 3  # of the smoothing convolutions


class Conditioner(nn.Module):
    """Code vectors (B, D, T) and speakers -> conditioning frames (B, T * repeat, C).

    Each code vector is repeated ``repeat`` times and concatenated with the speaker's vector. Residual convolutions of
    ``TAPS`` taps with dilations 1, 2, 4, 1, 2, 4, ... follow, so a frame depends on neighbouring codes too.

    The speaker is an index (B,) int64 into the speaker table, or a vector (B, speaker_dim) float in the table's space.
    An adaptation applies to the whole batch.
    """

    DILATIONS = (1, 2, 4)

    def __init__(self, codebook_dim: int, speakers: int, speaker_dim: int, channels: int, layers: int, repeat: int):
        super().__init__()
        self.repeat = repeat
        self.speaker = nn.Embedding(speakers, speaker_dim)
        self.enter = Convolution(codebook_dim + speaker_dim, channels)
        self.blocks = nn.ModuleList(
            Convolution(channels, channels, taps=TAPS, dilation=self.DILATIONS[i % len(self.DILATIONS)])
            for i in range(layers)
        )

    @property
    def context_frames(self) -> int:
        """How many frames on either side influence a frame."""
        return sum(block.reach for block in self.blocks)

    def forward(self, z_q: Tensor, speaker: Tensor, adaptation: Adaptation | None = None) -> Tensor:
        x = self.join(z_q, speaker if speaker.is_floating_point() else self.speaker(speaker))
        for block in self.adapted(adaptation):
            x = x + block(torch.relu(x))
        return x

    def adapted(self, adaptation: Adaptation | None) -> Sequence[Convolution]:
        """The smoothing convolutions, changed by ``adaptation`` if there is one."""
        return self.blocks if adaptation is None else adaptation.blocks(self.blocks)

    def new_adaptation(self, rank: int, generator: torch.Generator) -> Adaptation:
        """An adaptation that changes nothing yet, on the conditioner's device; where fine-tuning to a voice starts."""
        layers, channels, device = len(self.blocks), len(self.enter.weight), self.enter.weight.device
        return Adaptation.start(layers, channels, TAPS * channels, rank, generator).to(device)

    def join(self, z_q: Tensor, vector: Tensor) -> Tensor:
        """Frames (B, T * repeat, C) before smoothing. z_q: (B, D, T), code vectors. vector: (B, speaker_dim)."""
        frames = z_q.transpose(1, 2).repeat_interleave(self.repeat, dim=1)
        speakers = vector[:, None].expand(-1, frames.shape[1], -1)
        return self.enter(torch.cat([frames, speakers], dim=2))
