"""Distillation (Hinton et al. 2015) of the conditioning frames of a trained model.

Codes, speaker and F0 reach the WaveNet only through the conditioning frames. If a new encoder reproduces the frames of
the model that it started from, it works with that model's WaveNet. Most training steps then need not run the WaveNet.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vqvc.nn.vqvae import VQVAE
from vqvc.training import distributed


@dataclass(frozen=True)
class Teacher:
    """A trained model in evaluation mode.

    rows: (S,) int64, the row of each of the student's S speakers in the model's speaker table; -1 if it has none.
    """

    model: VQVAE
    rows: Tensor

    @classmethod
    def of(cls, model: VQVAE, speakers: tuple[str, ...], names: tuple[str, ...]) -> "Teacher":
        """A teacher for a student with speaker table ``speakers``. names: the speaker table of ``model``."""
        row_of = {name: row for row, name in enumerate(names)}
        device = next(model.parameters()).device
        rows = torch.tensor([row_of.get(name, -1) for name in speakers], device=device)
        return cls(model.eval().requires_grad_(False), rows)

    def error(
        self, frames: Tensor, waveform: Tensor, speaker: Tensor, f0_contour: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        """Squared error of the student's frames (B, F, C), relative to the power of the teacher's frames: a scalar.

        waveform: (B, T), the original. speaker: (B,) int64, rows of the student's table; crops of speakers that the
        teacher does not know do not count. f0_contour: (B, 3, T / hop), as the student had it, or None. dtype: of the
        layers. With several workers the mean over workers is the error of the whole batch.
        """
        rows = self.rows[speaker]
        known = (rows >= 0).float()[:, None, None]
        with torch.no_grad(), torch.autocast(waveform.device.type, dtype, enabled=dtype != torch.float32):
            z_q = self.model.quantizer.lookup(self.model.encode(waveform))
            target = self.model.condition(z_q, rows.clamp(min=0), f0_contour).frames.float()
        power = distributed.mean_over_workers((target.square() * known).sum()).clamp(min=1e-6)
        return ((frames.float() - target).square() * known).sum() / power
