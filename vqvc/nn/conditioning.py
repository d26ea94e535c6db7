"""Conditioning of the WaveNet: codes and speaker, repeated to conditioning frames and smoothed (no transposed convolutions)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vqvc.nn.adaptation import Adaptation
from vqvc.nn.convolution import Convolution

TAPS = 3  # of the smoothing convolutions


class Conditioner(nn.Module):
    """Codes' vectors (B, D, T) and speakers -> frames (B, T * repeat, C).

    Speakers are indices (B,) int64 into the table, or vectors (B, speaker_dim) float in the table's space. With an adaptation
    all are speakers of the voice that it belongs to.
    Codes are repeated, joined with the speaker's vector, and smoothed by residual convolutions of ``TAPS`` taps with
    dilations 1, 2, 4, 1, 2, 4, ...; a frame therefore also sees neighbouring codes.
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
        """Frames on either side that can influence a frame."""
        return sum(block.reach for block in self.blocks)

    def forward(self, z_q: Tensor, speaker: Tensor, adaptation: Adaptation | None = None) -> Tensor:
        x = self.join(z_q, speaker if speaker.is_floating_point() else self.speaker(speaker))
        for block in self.adapted(adaptation):
            x = x + block(torch.relu(x))
        return x

    def adapted(self, adaptation: Adaptation | None) -> Sequence[Convolution]:
        """The smoothing convolutions, as a voice's adaptation changes them."""
        return self.blocks if adaptation is None else adaptation.blocks(self.blocks)

    def new_adaptation(self, rank: int, generator: torch.Generator) -> Adaptation:
        """One that changes nothing, for a voice to begin with, on the conditioner's device."""
        weight, layers = self.enter.weight, len(self.blocks)  # which may be none
        return Adaptation.start(layers, len(weight), TAPS * len(weight), rank, generator).to(weight.device)

    def join(self, z_q: Tensor, vector: Tensor) -> Tensor:
        """Frames (B, T * repeat, C) before they are smoothed, of codes' vectors (B, D, T) and speakers' (B, speaker_dim)."""
        frames = z_q.transpose(1, 2).repeat_interleave(self.repeat, dim=1)
        return self.enter(torch.cat([frames, vector[:, None].expand(-1, frames.shape[1], -1)], dim=2))
