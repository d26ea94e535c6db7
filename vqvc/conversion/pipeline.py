"""From codes to speech as another speaker, for one utterance or many at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vqvc.audio import mulaw
from vqvc.conversion.analysis import Analysis
from vqvc.conversion.encoding import device_of
from vqvc.conversion.postfilter import PostFilter
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.engine.fold import OVERLAP_S, Joined, Part, fold, join
from vqvc.engine.protocol import Engine, Job
from vqvc.errors import UsageError
from vqvc.nn.vqvae import VQVAE, Conditioning

FOLDS = ("auto", "off")
# After so much speech the output of a network that started cold lies less than 0.002 nats from that of one with all its past
# (0.0005; 0.0021 after 35 ms; the released model): a WaveNet remembers less than its receptive field. A test holds it.
WARM_UP_S = 0.04
SHORTEST_PART = 4  # a part is at least so many times its warm-up


@dataclass(frozen=True)
class Request:
    """What is to be synthesized: codes (T,) int64, the speaker (an index in the table, or an enrolled voice), the seed of the draws.

    loudness: (T,) of the source at each code, on any scale, by which cuts are placed; None takes the predicted gain.
    f0_contour: (3, T) of the source, see ``nn.pitch.F0Conditioner``; None leaves it to the model.
    first, last: the codes to synthesize, all when None; those on either side are context of the conditioning.
    position: of the first code in its recording, in samples: draws belong to places.
    """

    codes: np.ndarray
    speaker: int | EnrolledVoice
    seed: int = 0
    loudness: np.ndarray | None = None
    f0_contour: np.ndarray | None = None
    first: int = 0
    last: int | None = None
    position: int = 0

    @classmethod
    def of(cls, source: Analysis, speaker: int | EnrolledVoice, seed: int = 0, **place: int) -> "Request":
        """All of a source, or the codes that ``place`` (first, last, position) names, as another speaker."""
        return cls(source.codes, speaker, seed, source.loudness, source.f0_contour, **place)

    @property
    def span(self) -> slice:
        """The codes to synthesize."""
        return slice(self.first, len(self.codes) if self.last is None else self.last)


@dataclass(frozen=True)
class Plan:
    """How a request is synthesized: ``jobs`` stand for ``parts``, in order. predicted_mel: (F, bands) for the post-filter, or None."""

    parts: list[Part]
    jobs: list[Job]
    predicted_mel: torch.Tensor | None


@torch.inference_mode()
def plan(model: VQVAE, sampler: Engine, requests: Sequence[Request], folding: str = "auto") -> list[Plan]:
    """What ``synthesize`` does with every request when they share the streams: where each is cut, what conditions each stream."""
    if folding not in FOLDS:
        raise UsageError(f"fold {folding!r} is not one of {', '.join(FOLDS)}")
    repeat = model.hop_length // sampler.hop
    warm_up = warm_up_frames(model, sampler)
    total = sum(len(request.codes[request.span]) for request in requests) * repeat
    part_frames = max(SHORTEST_PART * warm_up, total / sampler.streams)
    plans: list[Plan] = []
    for request in requests:
        conditioning = _condition(model, request)
        wanted = slice(request.span.start * repeat, request.span.stop * repeat)  # frames
        frames = conditioning.frames[0, wanted].float().cpu().numpy()
        predictor = conditioning.predictor[0, wanted].cpu().numpy() if conditioning.predictor is not None else None
        gain = conditioning.log_gain[0, wanted].exp().cpu().numpy() if conditioning.log_gain is not None else None
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
                    request.position + (wanted.start + part.start) * sampler.hop,
                )
            )
        plans.append(Plan(parts, jobs, model.predicted_mel(conditioning)[0, wanted] if model.has_mel else None))
    return plans


def _condition(model: VQVAE, request: Request) -> Conditioning:
    """All frames of a request, on the model's device."""
    device = device_of(model)
    codes = torch.from_numpy(np.asarray(request.codes, np.int64))[None].to(device)
    contour = torch.from_numpy(request.f0_contour)[None].to(device) if request.f0_contour is not None else None
    known = isinstance(request.speaker, int)
    speaker = torch.tensor([request.speaker]) if known else request.speaker.vector[None]
    adaptation = None if known else request.speaker.adaptation
    return model.condition(model.quantizer.lookup(codes), speaker.to(device), contour, adaptation)


def warm_up_frames(model: VQVAE, sampler: Engine) -> int:
    """Frames that a stream synthesizes before its part begins; the end of them fades in."""
    rate = model.config.audio.sample_rate
    past = min(sampler.receptive_field, int(WARM_UP_S * rate))
    return -(-(past + int(OVERLAP_S * rate)) // sampler.hop)


def sample(
    sampler: Engine,
    plans: Sequence[Plan],
    sample_rate: int,
    temperature: float = 1.0,
    progress: Callable[[int], None] = lambda samples: None,
) -> list[Joined]:
    """The decoder's output for every plan, its streams joined, at the level of training."""
    classes = iter(sampler.run([job for one in plans for job in one.jobs], temperature, progress=progress))
    return [
        join([mulaw.decode(next(classes).astype(np.int64)) for _ in one.parts], one.parts, sampler.hop, sample_rate)
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
    """Amplitudes (T * hop,) float32 at the level of training, for the T codes that every request asks for.

    All requests share the streams. folding "auto" cuts them so that every lane of every core has work; "off" keeps
    each in one stream. postfilter: see ``conversion.postfilter``; a model without the auxiliary log-mel head has none.
    """
    plans = plan(model, sampler, requests, folding)
    joined = [one.samples for one in sample(sampler, plans, model.config.audio.sample_rate, temperature, progress)]
    if not (postfilter and model.has_mel):
        return joined
    shape = PostFilter(model)
    return [
        shape(samples, one.predicted_mel, request.speaker) for samples, one, request in zip(joined, plans, requests)
    ]
