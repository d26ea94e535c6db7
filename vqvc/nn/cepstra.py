"""Cepstra of log-mel frames, and their global variance (Toda & Tokuda 2007)."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from vqvc.nn.features import LogMel, cosines

COEFFICIENTS = 30  # enough for the spectral envelope
LOUD_DB = 35.0  # frames whose level is within this range of the loudest count as speech


class Cepstra(nn.Module):
    """Log-mel frames (F, bands) of ``LogMel`` -> (F, COEFFICIENTS), the first of an orthonormal cosine transform."""

    def __init__(self, bands: int):
        super().__init__()
        basis = cosines(min(COEFFICIENTS, bands), bands)
        basis[0] /= math.sqrt(2)
        self.register_buffer("basis", basis, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        return frames @ self.basis.T

    def frames(self, cepstra: Tensor) -> Tensor:
        """The inverse, for a smooth envelope: (F, COEFFICIENTS) -> (F, bands)."""
        return cepstra @ self.basis

    def loud(self, cepstra: Tensor) -> Tensor:
        """Which frames have a mean log power within LOUD_DB of the loudest frame: (F,) bool, for cepstra (F, C)."""
        mean_db = cepstra[:, 0] / math.sqrt(self.basis.shape[1]) * LogMel.SCALE * 10 / math.log(10)
        return mean_db > mean_db.max() - LOUD_DB

    def variance(self, cepstra: Tensor) -> Tensor:
        """Variance (C,) of cepstra (F, C) over the loud frames."""
        return cepstra[self.loud(cepstra)].var(0, unbiased=False)


@torch.inference_mode()
def global_variance(mel: LogMel, recordings: Iterable[np.ndarray]) -> Tensor | None:
    """Global variance (coefficients,) of a speaker: the variance of each coefficient, averaged over recordings.

    recordings: (T,) float32 each, at the level of training. None if there are no recordings.
    """
    device = mel.filters.device
    cepstra = Cepstra(mel.filters.shape[0]).to(device)
    variances = []
    for samples in recordings:
        padded = np.pad(samples, (0, -len(samples) % mel.hop))
        frames = mel(torch.from_numpy(padded)[None].to(device))[0].T
        variances.append(cepstra.variance(cepstra(frames)))
    return torch.stack(variances).mean(0) if variances else None
