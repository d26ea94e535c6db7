"""What the WaveNet is told: codes and speaker, spread to conditioning frames and smoothed (no transposed convolutions)."""

import torch
from torch import Tensor, nn


class Conditioning(nn.Module):
    """Codes' vectors (B, D, T) and speaker indices (B,) -> frames (B, C, T * repeat).

    Codes are repeated, joined with the speaker's vector, and smoothed by residual convolutions of three taps with
    dilations 1, 2, 4, 1, 2, 4, ...; a frame therefore also sees neighbouring codes.
    """

    DILATIONS = (1, 2, 4)

    def __init__(self, codebook_dim: int, speakers: int, speaker_dim: int, channels: int, layers: int, repeat: int):
        super().__init__()
        self.repeat = repeat
        self.speaker = nn.Embedding(speakers, speaker_dim)
        self.enter = nn.Conv1d(codebook_dim + speaker_dim, channels, 1)
        self.blocks = nn.ModuleList(
            nn.Conv1d(channels, channels, 3, padding=self._dilation(i), dilation=self._dilation(i)) for i in range(layers)
        )

    @classmethod
    def _dilation(cls, layer: int) -> int:
        return cls.DILATIONS[layer % len(cls.DILATIONS)]

    @property
    def context_frames(self) -> int:
        """Frames on either side that can influence a frame."""
        return sum(self._dilation(i) for i in range(len(self.blocks)))

    def forward(self, z_q: Tensor, speaker: Tensor) -> Tensor:
        frames = z_q.repeat_interleave(self.repeat, dim=2)
        voice = self.speaker(speaker)[:, :, None].expand(-1, -1, frames.shape[2])
        x = self.enter(torch.cat([frames, voice], dim=1))
        for block in self.blocks:
            x = x + block(torch.relu(x))
        return x
