"""Cepstra of log-mel frames, and their global variance (Toda & Tokuda 2007)."""

import math
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from vqvc.nn.features import LogMel, cosines

COEFFICIENTS = 30  # of the spectral envelope
LOUD_DB = 35.0  # frames within so much of the loudest are speech


class Cepstra(nn.Module):
    """Frames (F, bands) as ``LogMel`` scales them -> (F, COEFFICIENTS): an orthonormal discrete cosine transform, cut short."""

    def __init__(self, bands: int):
        super().__init__()
        basis = cosines(min(COEFFICIENTS, bands), bands)
        basis[0] /= math.sqrt(2)
        self.register_buffer("basis", basis, persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        return frames @ self.basis.T

    def frames(self, cepstra: Tensor) -> Tensor:
        """(F, COEFFICIENTS) -> (F, bands)."""
        return cepstra @ self.basis

    def loud(self, cepstra: Tensor) -> Tensor:
        """(F,) bool: frames whose mean log power is within LOUD_DB of the loudest frame's."""
        mean_db = cepstra[:, 0] / math.sqrt(self.basis.shape[1]) * LogMel.SCALE * 10 / math.log(10)
        return mean_db > mean_db.max() - LOUD_DB

    def variance(self, cepstra: Tensor) -> Tensor:
        """(COEFFICIENTS,): variance over an utterance's loud frames."""
        return cepstra[self.loud(cepstra)].var(0, unbiased=False)


@torch.inference_mode()
def global_variance(mel: LogMel, recordings: Iterable[np.ndarray]) -> Tensor | None:
    """(coefficients,): mean over recordings (T,) float32, at the level of training, of the variance of each coefficient.

    None for no recordings.
    """
    device = mel.filters.device
    cepstra = Cepstra(mel.filters.shape[0]).to(device)
    found = []
    for samples in recordings:
        padded = np.pad(samples, (0, -len(samples) % mel.hop))
        found.append(cepstra.variance(cepstra(mel(torch.from_numpy(padded)[None].to(device))[0].T)))
    return torch.stack(found).mean(0) if found else None
