"""An encoder that is found in the speech, not learned by gradient: nearness to acoustic units, without labels.

Cepstra over 0.2 s, a linear discriminant of their own clusters (Heck, Sakti, Nakamura 2016), many small units in that
space, and a vector for each unit, such that units which follow one another in speech lie near one another: the parts of
one phone, whoever the speaker is. ``vqvc.training.units`` finds all of it before the first step of training.
"""

import torch
from torch import Tensor, nn

from vqvc.nn.features import LogMel, cosines

COEFFICIENTS = 20  # cepstra of a frame
OFFSETS = tuple(range(-9, 10, 2))  # frames of 10 ms around each that it is judged by
DISCRIMINANTS = 40  # numbers that are left of them
QUIET = 0.3  # share of frames that the normalisation leaves out: pauses carry nothing of the speaker
AT_A_TIME = 4096  # frames


class AcousticUnits(nn.Module):
    """waveform (B, T), T a multiple of the hop -> z_e (B, dim, T / hop) float32, without a gradient.

    units: how many there are. hop: samples per code, a multiple of 10 ms.
    """

    def __init__(self, sample_rate: int, hop: int, n_mels: int, units: int, dim: int):
        super().__init__()
        frame = sample_rate // 100
        self.frames_per_code = hop // frame
        self.log_mel = LogMel(sample_rate, frame, n_mels)
        self.register_buffer("basis", cosines(COEFFICIENTS, n_mels), persistent=False)
        self.register_buffer("discriminant", torch.zeros(len(OFFSETS) * COEFFICIENTS, DISCRIMINANTS))
        self.register_buffer("units", torch.zeros(units, DISCRIMINANTS))
        self.register_buffer("spread", torch.ones(()))  # variance of a frame around its unit, in each direction
        self.register_buffer("embedding", torch.zeros(units, dim))

    @property
    def hop(self) -> int:
        """Samples per code."""
        return self.frames_per_code * self.log_mel.hop

    def windows(self, waveform: Tensor) -> Tensor:
        """(B, T) -> (B, F, len(OFFSETS) * COEFFICIENTS), one row for each 10 ms; loudness and much of the speaker are removed."""
        cepstra = (self.basis @ self.log_mel(waveform)).mT
        loud = (cepstra[..., :1] >= cepstra[..., :1].quantile(QUIET, dim=1, keepdim=True)).float()
        mean = (cepstra * loud).sum(1, keepdim=True) / loud.sum(1, keepdim=True)
        variance = ((cepstra - mean).square() * loud).sum(1, keepdim=True) / loud.sum(1, keepdim=True)
        cepstra = (cepstra - mean) * torch.rsqrt(variance + 1e-5)
        reach, frames = max(OFFSETS), cepstra.shape[1]
        padded = nn.functional.pad(cepstra.mT, (reach, reach), mode="replicate").mT
        return torch.cat([padded[:, reach + offset : reach + offset + frames] for offset in OFFSETS], dim=-1)

    def place(self, seen: Tensor) -> Tensor:
        """Discriminants (N, DISCRIMINANTS) -> (N, dim): the mean of the units' vectors, the nearest ones counting most."""
        placed = []
        for part in seen.split(AT_A_TIME):
            nearness = (part @ self.units.T - self.units.square().sum(1) / 2) / self.spread
            placed.append(nearness.softmax(-1) @ self.embedding)
        return torch.cat(placed)

    @torch.no_grad()
    def forward(self, waveform: Tensor) -> Tensor:
        with torch.autocast(waveform.device.type, enabled=False):
            seen = self.windows(waveform.float()) @ self.discriminant
            placed = self.place(seen.flatten(0, 1)).view(*seen.shape[:2], -1).mT
            half = self.frames_per_code // 2
            padded = nn.functional.pad(placed, (half, self.frames_per_code - half), mode="replicate")
            return nn.functional.avg_pool1d(padded, 2 * self.frames_per_code, self.frames_per_code)
