"""Enrollment: the speaker vector of a voice that the model was never trained on, fitted to half a minute of its speech.

Everything but the vector stays as it is. The recordings are encoded to codes once; a gradient then moves the vector until codes,
F0 contour and vector predict the recordings' log-mel frames (the auxiliary head), pulled towards the voices of the table:

    loss = mean |predicted - log_mel| + RIDGE / seconds * mean(u^2)        vector = mean + L u,   L L^T = covariance

over the table's rows, so that ten seconds do not pull it to where no voice has been. Loud frames count, pauses do not. A part of
the recordings is held out and decides after how many steps to stop. Compare Arik et al. 2018 (Neural Voice Cloning with a Few
Samples): speaker adaptation of the embedding alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vqvc import __version__
from vqvc.audio import level
from vqvc.conversion import analysis, suitability
from vqvc.conversion.encoding import device_of, encode
from vqvc.conversion.source import Given, Source
from vqvc.conversion.voice_file import EnrolledVoice, require_name
from vqvc.errors import AudioError, UsageError
from vqvc.nn.cepstra import Cepstra, global_variance
from vqvc.nn.precision import working_dtype
from vqvc.nn.vqvae import VQVAE

CROP_S = 1.28  # of speech that is fitted as one sequence
LONGEST_S = 120.0  # of speech that is used: more takes longer and changes nothing
BATCH = 6  # crops a step
STEPS = 60
CHECK_EVERY = 10  # steps between two looks at the held-out crops
HELD_OUT = 5  # one crop in so many is held out
LEARNING_RATE = 0.2  # of Adam at the first step, in standard deviations of the table; falls to a tenth
RIDGE = 1.0  # of the pull towards the table: log-mel error times seconds
# How far the voice goes, seen from the table's mean; 1 is the fit, see ``enroll``. Six readers, 24 conversions, GE2E similarity to
# the person and to the source: 0.697, 0.691 at 1; 0.708, 0.678 at 1.3; 0.715, 0.675 at 1.8 (nearest speaker of the table 0.666, 0.720).
EXAGGERATION = 1.5
SHRINKAGE = 0.1  # share of the covariance that is made isotropic, as a table of few speakers needs


@dataclass(frozen=True)
class Crops:
    """Sequences of C codes, F frames each: z_q (N, D, C), f0_contour (N, 3, C) or None, log_mel (N, F, bands), counted (N, F).

    counted: 1 for the frames that are scored, which are loud and see no edge of the crop; 0 for the others.
    """

    z_q: Tensor
    f0_contour: Tensor | None
    log_mel: Tensor
    counted: Tensor

    def __len__(self) -> int:
        return len(self.z_q)

    def __getitem__(self, rows: Tensor) -> "Crops":
        f0_contour = None if self.f0_contour is None else self.f0_contour[rows]
        return Crops(self.z_q[rows], f0_contour, self.log_mel[rows], self.counted[rows])


def enroll(
    model: VQVAE,
    recordings: Sequence[Given],
    name: str,
    checksum: str,
    *,
    seed: int = 0,
    progress: Callable[[float], object] | None = None,
) -> EnrolledVoice:
    """The voice of recordings of one person.

    checksum: of the model file; seed: of the order of the crops; progress: called with the share that is done. Raises UsageError
    for a model without the auxiliary log-mel head and AudioError for recordings that hold too little speech, noise or music;
    what is doubtful stands in ``provenance["warnings"]``.

    The codes of the recordings carry a part of the voice, which the vector then need not explain, and codes of another person
    carry theirs: the fitted vector is moved away from the table's mean by ``EXAGGERATION``.
    """
    require_name(name)
    if not model.has_mel:
        raise UsageError(
            "enrollment fits the auxiliary log-mel head, which this model lacks (training.mel_weight is 0)"
        )
    settings = model.config.audio
    levelled, sources, seconds = [], [], 0.0
    for source in (Source.of(given, settings.sample_rate) for given in recordings):
        samples = source.read(settings.sample_rate).samples
        try:
            levelled.append(level.normalise(samples, settings.sample_rate, settings.level_rms).samples)
        except AudioError as error:
            raise AudioError(f"{source.name}: {error}") from None
        sources.append(source.name if source.path is None else source.path.name)
        seconds += len(samples) / settings.sample_rate
    found = suitability.assess(levelled, settings.sample_rate)
    crops = make_crops(model, levelled, found.f0[0])
    vector, error, steps = fit(model, crops, seed=seed, progress=progress)
    mean = model.conditioning.speaker.weight.detach().float().mean(0).cpu()
    vector = mean + EXAGGERATION * (vector - mean)
    provenance = {
        "recordings": sources,
        "seconds": round(seconds, 3),
        "speech_s": round(found.speech_s, 3),
        "held_out_mel_error": round(error, 5),
        "steps": steps,
        "warnings": list(found.warnings),
        "vqvc": __version__,
    }
    variance = global_variance(model.mel, levelled)
    return EnrolledVoice(name, vector, variance.cpu(), found.f0, checksum, provenance)


@torch.no_grad()
def make_crops(model: VQVAE, recordings: Sequence[np.ndarray], centre: float) -> Crops:
    """Crops of recordings (T,) float32 at the model's rate and level, which are put one after the other.

    centre: log2 of Hz, what F0 contours are relative to; the median, since a mean over a noisy recording lies up to half an octave
    off, and the vector would take that for the voice's pitch. Raises AudioError where no frame can be scored.
    """
    config = model.config
    per_code = config.hop_length // config.decoder.conditioning_hop
    length = max(1, round(CROP_S * config.code_rate_hz))
    longest = round(LONGEST_S * config.code_rate_hz)
    device = device_of(model)
    cepstra = Cepstra(model.mel.filters.shape[0]).to(device)
    z_q, contours, mels, counted = [], [], [], []
    for samples in recordings:
        padded = np.pad(samples, (0, -len(samples) % config.hop_length))
        codes = torch.from_numpy(encode(model, padded)).to(device)
        log_mel = model.mel(torch.from_numpy(padded)[None].to(device))[0].T
        contour = analysis.f0_contour(model, padded, centre)
        z_q.append(model.quantizer.lookup(codes[None])[0])
        contours.append(torch.from_numpy(contour).to(device) if contour is not None else None)
        mels.append(log_mel)
        counted.append(cepstra.loud(cepstra(log_mel)).float())
    together = torch.cat(z_q, dim=1)[:, :longest]
    length = min(length, together.shape[1])
    count = together.shape[1] // length
    codes, frames = count * length, count * length * per_code
    edge = min(model.conditioning.context_frames, length * per_code // 4)
    score = torch.cat(counted)[:frames].view(count, -1).clone()
    score[:, :edge] = score[:, score.shape[1] - edge :] = 0
    if not score.any():
        raise AudioError("too little speech to enroll; 30 s are good")
    contour = None
    if model.f0_conditioner is not None:
        contour = torch.cat(contours, dim=1)[:, :codes].unflatten(1, (count, length)).transpose(0, 1).contiguous()
    return Crops(
        together[:, :codes].unflatten(1, (count, length)).transpose(0, 1).contiguous(),
        contour,
        torch.cat(mels)[:frames].view(count, -1, mels[0].shape[1]),
        score,
    )


def mel_error(model: VQVAE, crops: Crops, vector: Tensor) -> Tensor:
    """Mean absolute error, a scalar, of the log-mel frames that codes and the speaker vector (speaker_dim,) predict."""
    device = device_of(model)
    dtype = working_dtype(model.config.precision, device)
    with torch.autocast(device.type, dtype, enabled=dtype == torch.bfloat16):
        conditioning = model.condition(crops.z_q, vector.expand(len(crops), -1), crops.f0_contour)
        predicted = model.predicted_mel(conditioning)
    error = (predicted - crops.log_mel).abs().mean(2) * crops.counted
    return error.sum() / crops.counted.sum().clamp(min=1)


def whitening(table: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (S,) and factor L (S, S) of the rows (N, S) of a speaker table: rows are mean + L u with u of about unit variance."""
    table = table.detach().float()
    mean, size = table.mean(0), table.shape[1]
    covariance = torch.cov(table.T) if len(table) > 1 else table.new_zeros(size, size)
    spread = covariance.diagonal().mean().clamp(min=1e-6)
    covariance = (1 - SHRINKAGE) * covariance.reshape(size, size) + SHRINKAGE * spread * torch.eye(
        size, device=table.device
    )
    return mean, torch.linalg.cholesky(covariance)


def fit(
    model: VQVAE,
    crops: Crops,
    *,
    ridge: float = RIDGE,
    steps: int = STEPS,
    seed: int = 0,
    progress: Callable[[float], object] | None = None,
) -> tuple[Tensor, float, int]:
    """The speaker vector (speaker_dim,), its mean absolute log-mel error on held-out crops, and the steps that gave it.

    With fewer than two crops nothing is held out and the last step counts.
    """
    held = torch.arange(len(crops)) % HELD_OUT == HELD_OUT // 2
    held &= torch.tensor(len(crops) >= HELD_OUT)
    rows, judged = torch.nonzero(~held)[:, 0], crops[torch.nonzero(held if held.any() else ~held)[:, 0]]
    seconds = float(crops[rows].counted.sum()) * model.config.decoder.conditioning_hop / model.config.audio.sample_rate
    mean, factor = whitening(model.conditioning.speaker.weight)
    u = torch.zeros_like(mean).requires_grad_()
    optimizer = torch.optim.Adam([u], lr=LEARNING_RATE)
    generator = torch.Generator().manual_seed(seed)
    best, best_error, best_step, order = u.detach().clone(), float("inf"), 0, rows[:0]
    for step in range(steps + 1):
        if step % CHECK_EVERY == 0 or step == steps:
            with torch.no_grad():
                error = float(mel_error(model, judged, mean + factor @ u))
            if error < best_error:
                best, best_error, best_step = u.detach().clone(), error, step
            if progress is not None:
                progress(step / max(steps, 1))
        if step == steps:
            break
        if len(order) < min(BATCH, len(rows)):
            order = torch.cat([order, rows[torch.randperm(len(rows), generator=generator)]])
        batch, order = order[:BATCH], order[BATCH:]
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - 0.9 * step / steps)
        loss = mel_error(model, crops[batch], mean + factor @ u) + ridge / seconds * u.square().mean()
        (u.grad,) = torch.autograd.grad(loss, [u])
        optimizer.step()
    return (mean + factor @ best).cpu(), best_error, best_step
