"""Analysis by synthesis: codes from which the decoder predicts the source's spectrum better than from the encoder's.

The encoder was trained to choose codes that restore speech on average. For one recording there are better ones, as speech coders find
them that compare what they would synthesize with the original (Schroeder & Atal 1985). What a conversion loses in words, it loses in the
log-mel frames that the auxiliary head predicts from the codes, so these are compared. Vectors z, one for each code, begin at the
encoder's z_e and descend the gradient, straight through the quantizer, of

    mean |predicted(e) - log_mel| + NEAR_CODE |z - e|^2 + NEAR_ENCODER |z - z_e|^2        e: the code nearest to z

where the norms are means over dimensions. The codes with the smallest first term are taken. The prediction needs a speaker, whom nobody names: a vector in the space of the
speaker table is fitted first, with the encoder's codes, so that better codes need not carry the voice.

The network and its weights stay as they are. A stream has no time for it.
"""

import numpy as np
import torch
from torch import Tensor

from vqvc.conversion.encoding import device_of
from vqvc.conversion.fitting import frozen, mixed, whitening
from vqvc.nn.vqvae import VQVAE

SPEAKER_STEPS, SPEAKER_RATE = 12, 0.3  # of Adam, in standard deviations of the speaker table
SPEAKER_S = 2.0  # of the middle of the recording, to which the vector is fitted
SPEAKER_RIDGE = 2e-3  # of the pull towards the mean of the table
STEPS, RATE = 10, 0.2  # of Adam for z, whose dimensions have unit variance
NEAR_CODE, NEAR_ENCODER = 0.25, 0.1
QUIET, QUIET_WEIGHT = (
    1.0,
    0.2,
)  # frames whose mean lies so far below the recording's, in units of ``LogMel``, count less


def is_possible(model: VQVAE) -> bool:
    """Whether a model has what refinement compares: the auxiliary log-mel head, and an encoder with vectors z_e."""
    return model.has_mel and model.config.encoder.input != "units"


def refine(model: VQVAE, samples: np.ndarray, codes: np.ndarray, f0_contour: np.ndarray | None) -> np.ndarray:
    """Better codes (T,) int64 of samples at the level of training, or ``codes`` if none are found.

    samples: (t,) float32, as the encoder reads them; T * hop of them, or fewer in the last code. codes: (T,), the encoder's. f0_contour: (3, T) of the samples, see
    ``nn.pitch.F0Conditioner``. A model for which ``is_possible`` is false keeps its codes.
    """
    if not is_possible(model):
        return codes
    with torch.inference_mode(False), torch.enable_grad(), frozen(model):
        source = _Source(model, samples, codes, f0_contour)
        return source.codes_for(source.speaker())


class _Source:
    """A recording of T codes and F conditioning frames: what its codes should predict."""

    def __init__(self, model: VQVAE, samples: np.ndarray, codes: np.ndarray, f0_contour: np.ndarray | None) -> None:
        self.model, self.encoded, device = model, codes, device_of(model)
        padded = np.pad(np.asarray(samples, np.float32), (0, len(codes) * model.hop_length - len(samples)))
        waveform = torch.from_numpy(padded)[None].to(device)
        with torch.no_grad():
            self.z_e = model.latents(waveform)
            self.log_mel = model.mel(waveform).mT
            self.z_q = model.quantizer.lookup(torch.from_numpy(np.asarray(codes, np.int64))[None].to(device))
        self.f0_contour = None if f0_contour is None else torch.from_numpy(f0_contour)[None].to(device)
        level = self.log_mel.mean(2)
        self.weight = torch.where(level > level.mean() - QUIET, 1.0, QUIET_WEIGHT)
        self.mean, self.factor = (part.to(device) for part in whitening(model.conditioning.speaker.weight))

    def speaker(self) -> Tensor:
        """The vector (speaker_dim,) with which the encoder's codes predict the middle of the recording best."""
        length = max(1, round(SPEAKER_S * self.model.config.code_rate_hz))
        first = max(0, (len(self.encoded) - length) // 2)
        u = torch.zeros_like(self.mean).requires_grad_()
        optimizer = torch.optim.Adam([u], SPEAKER_RATE, betas=(0.8, 0.95))
        for _ in range(SPEAKER_STEPS):
            span = slice(first, first + length)
            loss = self._error(self.z_q[:, :, span], self.mean + self.factor @ u, span)
            _step(optimizer, u, loss + SPEAKER_RIDGE * u.square().mean())
        return (self.mean + self.factor @ u).detach()

    def codes_for(self, speaker: Tensor) -> np.ndarray:
        """The best codes (T,) int64 that were found for a speaker's vector, the encoder's among them."""
        z = self.z_e.clone().requires_grad_()
        optimizer = torch.optim.Adam([z], RATE, betas=(0.5, 0.9))
        quantizer, least, best = self.model.quantizer, float("inf"), self.encoded
        for step in range(STEPS + 1):
            codes = quantizer.encode(z) if step else torch.from_numpy(self.encoded)[None].to(z.device)
            e = quantizer.lookup(codes)
            error = self._error(z + (e - z).detach(), speaker)
            if (found := float(error.detach())) < least:
                least, best = found, codes[0].cpu().numpy()
            if step < STEPS:
                near = NEAR_CODE * (z - e).square().mean(1).sum() + NEAR_ENCODER * (z - self.z_e).square().mean(1).sum()
                _step(optimizer, z, error * len(self.encoded) + near)
        return best

    def _error(self, z_q: Tensor, speaker: Tensor, span: slice = slice(None)) -> Tensor:  # noqa: B008 (constant)
        """Mean absolute error, a scalar, of the frames that code vectors (1, D, t) of the codes in ``span`` predict."""
        contour = None if self.f0_contour is None else self.f0_contour[:, :, span]
        with mixed(self.model):
            predicted = self.model.predicted_mel(self.model.condition(z_q, speaker[None], contour))
        repeat = self.log_mel.shape[1] // self.z_e.shape[2]
        frames = slice(*(None if one is None else one * repeat for one in (span.start, span.stop)))
        error = (predicted - self.log_mel[:, frames]).abs().mean(2) * self.weight[:, frames]
        return error.mean()


def _step(optimizer: torch.optim.Optimizer, learning: Tensor, loss: Tensor) -> None:
    """One step down the gradient of ``loss`` with respect to ``learning``."""
    (learning.grad,) = torch.autograd.grad(loss, [learning])
    optimizer.step()
