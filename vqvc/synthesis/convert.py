"""From recordings to codes and from codes to speech, for one utterance or many at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vqvc.audio import level, mulaw
from vqvc.errors import AudioError, UsageError
from vqvc.nn.precision import working_dtype
from vqvc.nn.vqvae import VQVAE
from vqvc.synthesis.fold import OVERLAP_S, Joined, Part, fold, join
from vqvc.synthesis.gpu import GpuSampler
from vqvc.synthesis.postfilter import PostFilter
from vqvc.synthesis.sampler import Job, Sampler

FOLDS = ("auto", "off")
# After so much speech what a cold network says next lies less than 0.002 nats from what one with all its past says (0.0008 to
# 0.0013; 0.005 after 25 ms; the model of the package): a WaveNet remembers less than it could see. tests/synthesis hold it to it.
WARM_UP_S = 0.030
SHORTEST_PART = 4  # a part is at least so many times its warm-up


@dataclass(frozen=True)
class Request:
    """Something to say: codes (T,) int64, the index of the speaker, the seed of the draws.

    loudness: (T,) of the source at each code, on any scale, tells where to cut; None takes what the codes tell.
    melody: (3, T) of the source, see ``nn.pitch.Intonation``; None leaves it to the model.
    """

    codes: np.ndarray
    speaker_index: int
    seed: int = 0
    loudness: np.ndarray | None = None
    melody: np.ndarray | None = None


def listening_precision(model: VQVAE):
    """Context in which the encoder runs as it was trained: bfloat16 where the processor has it, else float32."""
    dtype = working_dtype(model.config.training.precision, "cpu")
    return torch.autocast("cpu", dtype, enabled=dtype == torch.bfloat16)


@torch.inference_mode()
def encode(model: VQVAE, samples: np.ndarray) -> np.ndarray:
    """Codes (ceil(T / hop),) int64 of samples (T,) float32 at the model's rate and level, padded with silence.

    Raises AudioError for fewer samples than one code stands for.
    """
    hop = model.hop_length
    if len(samples) < hop:
        rate = model.config.audio.sample_rate
        raise AudioError(f"{len(samples)} samples are shorter than one code: at least {hop} ({1000 * hop / rate:.0f} ms) are needed")
    padded = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % hop))
    with listening_precision(model):
        return model.encode(torch.from_numpy(padded)[None])[0].numpy()


@torch.inference_mode()
def melody(model: VQVAE, samples: np.ndarray) -> np.ndarray | None:
    """The melody (3, ceil(T / hop)) of samples (T,) that ``Request`` takes; None for a model that is not told any."""
    padded = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % model.hop_length))
    told = model.melody(torch.from_numpy(padded)[None])
    return told[0].numpy() if told is not None else None


def levelled(model: VQVAE, samples: np.ndarray) -> level.Levelled:
    """Samples (T,) at the level of training, their length kept; raises AudioError for silence."""
    settings = model.config.audio
    return level.normalise(samples, settings.sample_rate, settings.level_rms, trim=False)


def loudness(samples: np.ndarray, hop: int) -> np.ndarray:
    """Energy (ceil(T / hop),) of each code's samples, smoothed over five codes."""
    padded = np.pad(samples, (0, -len(samples) % hop)).reshape(-1, hop)
    return np.convolve((padded**2).mean(1), np.ones(5) / 5)[2:-2]  # mode "same" would make five of fewer


@dataclass(frozen=True)
class Plan:
    """How a request is said: ``jobs`` stand for ``parts``, in order. told_mel: what the post-filter takes, if it can."""

    parts: list[Part]
    jobs: list[Job]
    told_mel: torch.Tensor | None


@torch.inference_mode()
def plan(
    model: VQVAE, sampler: Sampler | GpuSampler, requests: Sequence[Request], folding: str = "auto"
) -> list[Plan]:
    """What ``say`` does for every request when it says them together: where each is cut, and what each stream is told."""
    if folding not in FOLDS:
        raise UsageError(f"fold {folding!r} is not one of {', '.join(FOLDS)}")
    repeat = model.hop_length // sampler.hop
    rate = model.config.audio.sample_rate
    past = min(sampler.receptive_field, int(WARM_UP_S * rate))
    warm_up = -(-(past + int(OVERLAP_S * rate)) // sampler.hop)  # over before it fades in
    total = sum(len(request.codes) for request in requests) * repeat
    part_frames = max(SHORTEST_PART * warm_up, total / sampler.streams)
    plans: list[Plan] = []
    for request in requests:
        codes = torch.from_numpy(np.asarray(request.codes, np.int64))[None]
        told_melody = torch.from_numpy(request.melody)[None] if request.melody is not None else None
        told = model.tell(model.quantizer.lookup(codes), torch.tensor([request.speaker_index]), told_melody)
        frames = told.frames[0].float().numpy()
        predictor = told.predictor[0].numpy() if told.predictor is not None else None
        gain = told.log_gain[0].exp().numpy() if told.log_gain is not None else None
        if folding == "off":
            parts = [Part(0, 0, len(frames))]
        else:
            quiet = np.repeat(request.loudness, repeat) if request.loudness is not None else gain
            count = max(1, round(len(frames) / part_frames))
            parts = fold(quiet if quiet is not None else np.zeros(len(frames)), count, warm_up)
        jobs = []
        for part in parts:
            span = slice(part.start, part.end)
            jobs.append(
                Job(
                    frames[span],
                    predictor[span] if predictor is not None else None,
                    gain[span] if gain is not None else None,
                    request.seed,
                    part.start * sampler.hop,
                )
            )
        plans.append(Plan(parts, jobs, model.told_mel(told)[0] if model.has_mel else None))
    return plans


def spoken(
    sampler: Sampler | GpuSampler,
    plans: Sequence[Plan],
    sample_rate: int,
    temperature: float = 1.0,
    progress: Callable[[int], None] = lambda samples: None,
) -> list[Joined]:
    """What the decoder says for every plan, its streams joined, at the level of training."""
    said = iter(sampler.run([job for one in plans for job in one.jobs], temperature, progress=progress))
    return [
        join([mulaw.decode(next(said).astype(np.int64)) for _ in one.parts], one.parts, sampler.hop, sample_rate)
        for one in plans
    ]


@torch.inference_mode()
def say(
    model: VQVAE,
    sampler: Sampler | GpuSampler,
    requests: Sequence[Request],
    temperature: float = 1.0,
    folding: str = "auto",
    postfilter: bool = True,
    progress: Callable[[int], None] = lambda samples: None,
) -> list[np.ndarray]:
    """Amplitudes (T * hop,) float32 at the level of training, for every request.

    All requests share the streams. folding "auto" cuts them so that every lane of every core has work; "off" keeps
    each in one stream. postfilter: see ``synthesis.postfilter``; a model without the auxiliary log-mel head has none.
    """
    plans = plan(model, sampler, requests, folding)
    joined = [one.samples for one in spoken(sampler, plans, model.config.audio.sample_rate, temperature, progress)]
    if not (postfilter and model.has_mel):
        return joined
    shape = PostFilter(model)
    return [shape(said, one.told_mel, request.speaker_index) for said, one, request in zip(joined, plans, requests)]
