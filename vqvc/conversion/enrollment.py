"""Enrollment: the voice of a person whom the model was never trained on, fitted to half a minute of that person's speech.

The model stays as it is. The voice is a vector in the space of the speaker table and an ``Adaptation`` of the conditioner: a vector
alone reaches what the training speakers span, and a conversion to it is nearer to them than to the person. Both learn by gradient
from what training used, the auxiliary log-mel loss and then the likelihood of the samples under the WaveNet as well:

    loss = mean |predicted - log_mel| + mean -log p(sample) + RIDGE / seconds * mean(u^2)    vector = mean + L u,  L L^T = covariance

over the table's rows, so that ten seconds do not pull the vector to where no voice has been. Loud frames count, pauses do not.

The codes are those of copies of the recordings with other formants, pitch and rooms, as in training (``corpus.perturbation``): in a
conversion the codes come from other people, and what codes of the person's own carry of the voice, the fit would leave to them.

Compare Arik et al. 2018 (Neural Voice Cloning with a Few Samples), Chen et al. 2021 (AdaSpeech: few parameters for each voice).
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from vqvc import __version__
from vqvc.audio import level
from vqvc.conversion import analysis, suitability
from vqvc.conversion.encoding import device_of, encode
from vqvc.conversion.source import Given, Source
from vqvc.conversion.voice_file import EnrolledVoice, require_name
from vqvc.corpus.perturbation import perturb
from vqvc.errors import AudioError, UsageError
from vqvc.nn.adaptation import Adaptation
from vqvc.nn.cepstra import Cepstra, global_variance
from vqvc.nn.features import mulaw_encode
from vqvc.nn.precision import working_dtype
from vqvc.nn.vqvae import VQVAE, Conditioning

CROP_S = 1.28  # of speech that is fitted as one sequence
LONGEST_S = 120.0  # of speech that is used: more takes longer and changes nothing
COPIES = 3  # of the recordings, whose codes are used
RANK = 8  # of the adaptation
BATCH = 6  # crops a step
MEL_STEPS, LIKELIHOOD_STEPS = 40, 60  # by the log-mel loss alone, which is quick, and by both losses
LIKELIHOOD_CROPS, LIKELIHOOD_S = 4, 0.24  # of a step's crops, and of each, that the WaveNet predicts
LIKELIHOOD_COST = 6  # times that of a step without it, about; for the bar
VECTOR_RATE, ADAPTATION_RATE = 0.2, 5e-3  # of Adam at the first step, the vector's in standard deviations of the table
LAST_RATE = 0.1  # of the first, at the last step
RIDGE = 1.0  # of the pull towards the table: log-mel error times seconds
SHRINKAGE = 0.1  # share of the covariance that is made isotropic, as a table of few speakers needs


@dataclass(frozen=True)
class Crops:
    """Sequences of C codes, F frames each: z_q (N, D, C), f0_contour (N, 3, C) or None, log_mel (N, F, bands), classes (N, T), counted (N, F).

    classes: int64, what the WaveNet predicts. counted: 1 for the frames that are scored, which are loud and see no edge of the
    crop; 0 for the others.
    """

    z_q: Tensor
    f0_contour: Tensor | None
    log_mel: Tensor
    classes: Tensor
    counted: Tensor

    def __len__(self) -> int:
        return len(self.z_q)

    def __getitem__(self, rows: Tensor | slice) -> "Crops":
        parts = (getattr(self, field.name) for field in fields(self))
        return Crops(*(None if part is None else part[rows] for part in parts))

    @classmethod
    def together(cls, several: Sequence["Crops"]) -> "Crops":
        """All of them, one after the other."""
        parts = ([getattr(crops, field.name) for crops in several] for field in fields(cls))
        return cls(*(None if part[0] is None else torch.cat(part) for part in parts))


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

    checksum: of the model file; seed: of the copies, of the order of the crops and of the adaptation's start; progress: called with the share that is done.
    Raises UsageError for a model without the auxiliary log-mel head and AudioError for recordings that hold too little speech,
    noise or music; what is doubtful stands in ``provenance["warnings"]``.
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
    used, rng = list(_first(levelled, round(LONGEST_S * settings.sample_rate))), np.random.default_rng(seed)
    crops = Crops.together(
        [
            make_crops(model, used, found.f0[0], [_copy(samples, settings.sample_rate, rng) for samples in used])
            for _ in range(COPIES)
        ]
    )
    vector, adaptation = fit(model, crops, copies=COPIES, seed=seed, progress=progress)
    with torch.no_grad():
        error = float(mel_error(model, crops, vector.to(device_of(model)), adaptation))
    provenance = {
        "recordings": sources,
        "seconds": round(seconds, 3),
        "speech_s": round(found.speech_s, 3),
        "mel_error": round(error, 5),
        "seed": seed,
        "warnings": list(found.warnings),
        "vqvc": __version__,
    }
    variance = global_variance(model.mel, levelled)
    return EnrolledVoice(name, vector, variance.cpu(), found.f0, checksum, provenance, adaptation)


def _copy(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    with warnings.catch_warnings():  # Praat's, of recordings without a voiced sound, which keep their pitch
        warnings.simplefilter("ignore")
        return perturb(samples, sample_rate, rng)


def _first(recordings: Sequence[np.ndarray], samples: int) -> Iterable[np.ndarray]:
    """The first so many samples of recordings (T,)."""
    for one in recordings:
        if samples > 0:
            yield one[:samples]
        samples -= len(one)


@torch.no_grad()
def make_crops(
    model: VQVAE, recordings: Sequence[np.ndarray], centre: float, encoded: Sequence[np.ndarray] | None = None
) -> Crops:
    """Crops of recordings (T,) float32 at the model's rate and level, which are put one after the other.

    centre: log2 of Hz, what F0 contours are relative to; the median, since a mean over a noisy recording lies up to half an octave
    off, and the vector would take that for the voice's pitch. encoded: copies of the recordings, which the codes are those of;
    themselves when None. Raises AudioError where no frame can be scored.
    """
    config = model.config
    per_code = config.hop_length // config.decoder.conditioning_hop
    length = max(1, round(CROP_S * config.code_rate_hz))
    device = device_of(model)
    cepstra = Cepstra(model.mel.filters.shape[0]).to(device)
    z_q, contours, mels, classes, counted = [], [], [], [], []
    for samples, copy in zip(recordings, recordings if encoded is None else encoded):
        padded, copy = (np.pad(one, (0, -len(one) % config.hop_length)) for one in (samples, copy))
        codes = torch.from_numpy(encode(model, copy)).to(device)
        waveform = torch.from_numpy(padded)[None].to(device)
        log_mel = model.mel(waveform)[0].T
        contour = analysis.f0_contour(model, padded, centre)
        z_q.append(model.quantizer.lookup(codes[None])[0])
        contours.append(torch.from_numpy(contour).to(device) if contour is not None else None)
        mels.append(log_mel)
        classes.append(mulaw_encode(waveform)[0])
        counted.append(cepstra.loud(cepstra(log_mel)).float())
    together = torch.cat(z_q, dim=1)
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
        torch.cat(classes)[: codes * config.hop_length].view(count, -1),
        score,
    )


def mel_error(model: VQVAE, crops: Crops, vector: Tensor, adaptation: Adaptation | None = None) -> Tensor:
    """Mean absolute error, a scalar, of the log-mel frames that codes and a voice predict; vector: (speaker_dim,)."""
    return _mel_error(model, crops, _condition(model, crops, vector, adaptation))


def _condition(model: VQVAE, crops: Crops, vector: Tensor, adaptation: Adaptation | None) -> Conditioning:
    with _mixed(model):
        return model.condition(crops.z_q, vector.expand(len(crops), -1), crops.f0_contour, adaptation)


def _mel_error(model: VQVAE, crops: Crops, conditioning: Conditioning) -> Tensor:
    with _mixed(model):
        predicted = model.predicted_mel(conditioning)
    error = (predicted - crops.log_mel).abs().mean(2) * crops.counted
    return error.sum() / crops.counted.sum().clamp(min=1)


def _negative_log_likelihood(model: VQVAE, crops: Crops, conditioning: Conditioning, first: int, count: int) -> Tensor:
    """Mean -log p, a scalar, of the samples of ``count`` frames from ``first`` on, without those that see too little before them."""
    hop = model.config.decoder.conditioning_hop
    span = slice(first, first + count)
    samples = slice(first * hop, (first + count) * hop)
    history = crops.classes[:, max(samples.start - hop, 0) : samples.start] if first else None
    dtype = working_dtype(model.config.precision, device_of(model))
    nll = model.negative_log_likelihood(crops.classes[:, samples], conditioning[:, span], history, dtype)
    counted = crops.counted[:, span].repeat_interleave(hop, dim=1)
    counted[:, : min(model.wavenet.stack.receptive_field, counted.shape[1] // 2)] = 0
    return (nll * counted).sum() / counted.sum().clamp(min=1)


@contextmanager
def _frozen(model: VQVAE) -> Iterator[None]:
    """The model's weights without gradients: they stay as they are, and to find them takes as long as what is wanted."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_()


def _mixed(model: VQVAE) -> torch.autocast:
    device = device_of(model)
    dtype = working_dtype(model.config.precision, device)
    return torch.autocast(device.type, dtype, enabled=dtype == torch.bfloat16)


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
    copies: int = 1,
    ridge: float = RIDGE,
    mel_steps: int = MEL_STEPS,
    likelihood_steps: int = LIKELIHOOD_STEPS,
    seed: int = 0,
    progress: Callable[[float], object] | None = None,
) -> tuple[Tensor, Adaptation]:
    """The speaker vector (speaker_dim,) and the adaptation of a voice, on the CPU; the numbers of the adaptation are those of float16.

    copies: how many of the crops hold the same speech, with codes of different copies of it.
    """
    config, generator = model.config, torch.Generator().manual_seed(seed)
    frame_s = config.decoder.conditioning_hop / config.audio.sample_rate
    seconds = float(crops.counted.sum()) * frame_s / copies
    mean, factor = whitening(model.conditioning.speaker.weight)
    u = torch.zeros_like(mean).requires_grad_()
    adaptation = model.conditioning.new_adaptation(RANK, generator)
    parts = [part.requires_grad_() for part in adaptation.parts().values()]
    optimizer = torch.optim.Adam([{"params": [u], "lr": VECTOR_RATE}, {"params": parts, "lr": ADAPTATION_RATE}])
    steps, count = mel_steps + likelihood_steps, min(round(LIKELIHOOD_S / frame_s), crops.counted.shape[1])
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - (1 - LAST_RATE) * step / max(steps, 1))
    order, done = torch.zeros(0, dtype=torch.int64), 0
    with _frozen(model):
        for step in range(steps):
            if progress is not None:
                progress(done / (mel_steps + LIKELIHOOD_COST * likelihood_steps))
            if len(order) < min(BATCH, len(crops)):
                order = torch.cat([order, torch.randperm(len(crops), generator=generator)])
            batch, order = crops[order[:BATCH]], order[BATCH:]
            conditioning = _condition(model, batch, mean + factor @ u, adaptation)
            loss = _mel_error(model, batch, conditioning) + ridge / seconds * u.square().mean()
            if step >= mel_steps:
                first = int(torch.randint(batch.counted.shape[1] - count + 1, (), generator=generator))
                some = slice(LIKELIHOOD_CROPS)
                loss = loss + _negative_log_likelihood(model, batch[some], conditioning[some], first, count)
            for parameter, gradient in zip([u, *parts], torch.autograd.grad(loss, [u, *parts], materialize_grads=True)):
                parameter.grad = gradient
            optimizer.step()
            schedule.step()
            done += 1 if step < mel_steps else LIKELIHOOD_COST
    if progress is not None:
        progress(1.0)
    kept = (part.detach().half().float().cpu() for part in parts)
    return (mean + factor @ u.detach()).cpu(), Adaptation(*kept)
