"""Learning the conditioning frames of a trained model: what its WaveNet can already synthesize (Hinton et al. 2015).

The WaveNet sees codes, speaker and F0 through the conditioning frames alone. A new encoder whose frames are those of the model
that it began from can be trained with that model's WaveNet, most of the time without running it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vqvc.nn.vqvae import VQVAE
from vqvc.training import distributed


@dataclass(frozen=True)
class Teacher:
    """A trained model, in evaluation mode, and the rows (S,) int64 of its speaker table for a student's; -1 where it has none."""

    model: VQVAE
    rows: Tensor

    @classmethod
    def of(cls, model: VQVAE, speakers: tuple[str, ...], names: tuple[str, ...]) -> "Teacher":
        """model: with speaker table ``names``; speakers: of the student."""
        known = {name: row for row, name in enumerate(names)}
        device = next(model.parameters()).device
        return cls(
            model.eval().requires_grad_(False), torch.tensor([known.get(name, -1) for name in speakers], device=device)
        )

    def error(
        self, frames: Tensor, waveform: Tensor, speaker: Tensor, f0_contour: Tensor | None, dtype: torch.dtype
    ) -> Tensor:
        """Mean squared difference of frames (B, F, C) from the teacher's own for the original waveform (B, T), over their power.

        speaker: (B,), the student's indices; crops of speakers that the teacher does not know do not count. f0_contour: as the
        student had it. Over several workers the mean of what they return is the error of the whole batch.
        """
        rows = self.rows[speaker]
        known = (rows >= 0).float()[:, None, None]
        with torch.no_grad(), torch.autocast(waveform.device.type, dtype, enabled=dtype != torch.float32):
            z_q = self.model.quantizer.lookup(self.model.encode(waveform))
            target = self.model.condition(z_q, rows.clamp(min=0), f0_contour).frames.float()
        power = distributed.mean_over_workers((target.square() * known).sum()).clamp(min=1e-6)
        return ((frames.float() - target).square() * known).sum() / power
