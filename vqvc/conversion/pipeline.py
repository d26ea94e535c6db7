"""From recordings to codes and from codes to speech, for one utterance or many at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vqvc.audio import level, mulaw
from vqvc.conversion.encoding import encode_blocks
from vqvc.conversion.postfilter import PostFilter
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.engine.cpu.sampler import Job
from vqvc.engine.fold import OVERLAP_S, Joined, Part, fold, join
from vqvc.engine.protocol import Engine
from vqvc.errors import UsageError
from vqvc.nn.vqvae import VQVAE

FOLDS = ("auto", "off")
# After so much speech what a cold network says next lies less than 0.002 nats from what one with all its past says (0.0008 to
# 0.0013; 0.005 after 25 ms; the model of the package): a WaveNet remembers less than it could see. tests/synthesis hold it to it.
WARM_UP_S = 0.030
SHORTEST_PART = 4  # a part is at least so many times its warm-up


@dataclass(frozen=True)
class Request:
    """Something to say: codes (T,) int64, the index of the speaker, the seed of the draws.

    loudness: (T,) of the source at each code, on any scale, tells where to cut; None takes what the codes tell.
    f0_contour: (3, T) of the source, see ``nn.pitch.F0Conditioner``; None leaves it to the model.
    first, last: the codes to say, all when None; those on either side are context that the conditioning looks at.
    position: of the first code in its recording, in samples: draws belong to places.
    voice: an enrolled voice, which takes the place of the speaker of the table.
    """

    codes: np.ndarray
    speaker_index: int
    seed: int = 0
    loudness: np.ndarray | None = None
    f0_contour: np.ndarray | None = None
    first: int = 0
    last: int | None = None
    position: int = 0
    voice: EnrolledVoice | None = None

    @property
    def speaker(self) -> torch.Tensor:
        """What ``VQVAE.condition`` takes: (1,) index, or (1, speaker_dim) vector."""
        return torch.tensor([self.speaker_index]) if self.voice is None else self.voice.vector[None]

    @property
    def span(self) -> slice:
        """The codes to say."""
        return slice(self.first, len(self.codes) if self.last is None else self.last)


def encode(model: VQVAE, samples: np.ndarray) -> np.ndarray:
    """Codes (ceil(T / hop),) int64 of samples (T,) float32 at the model's rate and level, padded with silence.

    Raises AudioError for fewer samples than one code stands for.
    """
    return np.concatenate(list(encode_blocks(model, [samples])))


@torch.inference_mode()
def f0_contour(model: VQVAE, samples: np.ndarray, centre: float | None = None) -> np.ndarray | None:
    """The melody (3, ceil(T / hop)) of samples (T,) that ``Request`` takes; None for a model that is not told any.

    centre: mean pitch (log2 of Hz) of the recording that the samples are a part of; their own when None.
    """
    if model.f0_conditioner is None:
        return None
    padded = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % model.hop_length))
    mean = None if centre is None else torch.tensor([centre], dtype=torch.float32)
    return model.f0_conditioner(torch.from_numpy(padded)[None], mean)[0].numpy()


@torch.inference_mode()
def pitch_sums(model: VQVAE, samples: np.ndarray, first: int, last: int) -> tuple[float, float]:
    """Of codes first to last of samples (T,): the sum of log2 pitch in Hz times voicing, and the sum of voicing.

    The first by the second is the ``centre`` of ``f0_contour``; 0, 0 for a model that is not told any.
    """
    if model.f0_conditioner is None:
        return 0.0, 0.0
    padded = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % model.hop_length))
    pitch, voicing = (
        rows[0, first:last].double() for rows in model.f0_conditioner.track(torch.from_numpy(padded)[None])
    )
    return float((pitch * voicing).sum()), float(voicing.sum())


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
    """How a request is said: ``jobs`` stand for ``parts``, in order. predicted_mel: what the post-filter takes, if it can."""

    parts: list[Part]
    jobs: list[Job]
    predicted_mel: torch.Tensor | None


@torch.inference_mode()
def plan(model: VQVAE, sampler: Engine, requests: Sequence[Request], folding: str = "auto") -> list[Plan]:
    """What ``synthesize`` does for every request when it says them together: where each is cut, and what each stream is told."""
    if folding not in FOLDS:
        raise UsageError(f"fold {folding!r} is not one of {', '.join(FOLDS)}")
    repeat = model.hop_length // sampler.hop
    warm_up = warm_up_frames(model, sampler)
    total = sum(len(request.codes[request.span]) for request in requests) * repeat
    part_frames = max(SHORTEST_PART * warm_up, total / sampler.streams)
    plans: list[Plan] = []
    for request in requests:
        codes = torch.from_numpy(np.asarray(request.codes, np.int64))[None]
        f0_contour_of = torch.from_numpy(request.f0_contour)[None] if request.f0_contour is not None else None
        conditioning = model.condition(model.quantizer.lookup(codes), request.speaker, f0_contour_of)
        said = slice(request.span.start * repeat, request.span.stop * repeat)  # frames
        frames = conditioning.frames[0, said].float().numpy()
        predictor = conditioning.predictor[0, said].numpy() if conditioning.predictor is not None else None
        gain = conditioning.log_gain[0, said].exp().numpy() if conditioning.log_gain is not None else None
        if folding == "off":
            parts = [Part(0, 0, len(frames))]
        else:
            quiet = np.repeat(request.loudness[request.span], repeat) if request.loudness is not None else gain
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
                    request.position + (said.start + part.start) * sampler.hop,
                )
            )
        plans.append(Plan(parts, jobs, model.predicted_mel(conditioning)[0, said] if model.has_mel else None))
    return plans


def warm_up_frames(model: VQVAE, sampler: Engine) -> int:
    """Frames that a stream says before its part begins; the end of them fades in."""
    rate = model.config.audio.sample_rate
    past = min(sampler.receptive_field, int(WARM_UP_S * rate))
    return -(-(past + int(OVERLAP_S * rate)) // sampler.hop)


def spoken(
    sampler: Engine,
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
def synthesize(
    model: VQVAE,
    sampler: Engine,
    requests: Sequence[Request],
    temperature: float = 1.0,
    folding: str = "auto",
    postfilter: bool = True,
    progress: Callable[[int], None] = lambda samples: None,
) -> list[np.ndarray]:
    """Amplitudes (T * hop,) float32 at the level of training, for the T codes that every request says.

    All requests share the streams. folding "auto" cuts them so that every lane of every core has work; "off" keeps
    each in one stream. postfilter: see ``synthesis.postfilter``; a model without the auxiliary log-mel head has none.
    """
    plans = plan(model, sampler, requests, folding)
    joined = [one.samples for one in spoken(sampler, plans, model.config.audio.sample_rate, temperature, progress)]
    if not (postfilter and model.has_mel):
        return joined
    shape = PostFilter(model)
    return [
        shape(
            said, one.predicted_mel, request.speaker_index if request.voice is None else request.voice.global_variance
        )
        for said, one, request in zip(joined, plans, requests)
    ]
