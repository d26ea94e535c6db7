"""Synthesis of speech from codes as a target speaker, for one utterance or many at a time."""

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
# Warm-up of a stream that begins from silence. After it, the output distribution of the released model differs by
# 0.0005 nats from that with the whole past (by 0.0021 nats after 35 ms), although the receptive field is longer. A test
# keeps the difference below 0.002 nats.
WARM_UP_S = 0.04
SHORTEST_PART = 4  # smallest length of a part, in warm-ups


@dataclass(frozen=True)
class Request:
    """A request to synthesize codes as a speaker.

    codes: (T,) int64. speaker: an index in the model's table, or an enrolled voice. seed: of the random draws.
    loudness: (T,) of the source at each code, on any scale, for choosing quiet places to cut; the predicted gain when
        None.
    f0_contour: (3, T) of the source, see ``nn.pitch.F0Conditioner``; with None the decoder chooses F0.
    first, last: synthesize codes [first, last), to the end when last is None. The other codes are context of the
        conditioning.
    position: of the first code in its recording, in samples; draws depend on the position.
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
        """A request for all codes of a source, or for those that ``place`` (first, last, position) selects."""
        return cls(source.codes, speaker, seed, source.loudness, source.f0_contour, **place)

    @property
    def span(self) -> slice:
        """The codes to synthesize."""
        return slice(self.first, len(self.codes) if self.last is None else self.last)


@dataclass(frozen=True)
class Plan:
    """How a request is synthesized: one job for each part, in order of time.

    predicted_mel: (F, bands) log-mel frames for the post-filter; None for a model without the auxiliary head.
    """

    parts: list[Part]
    jobs: list[Job]
    predicted_mel: torch.Tensor | None


@torch.inference_mode()
def plan(model: VQVAE, sampler: Engine, requests: Sequence[Request], folding: str = "auto") -> list[Plan]:
    """Plan the synthesis of requests that share the engine's streams: where each is cut, and what conditions its parts.

    folding: see ``synthesize``. Raises UsageError for another value than those of ``FOLDS``.
    """
    if folding not in FOLDS:
        raise UsageError(f"fold {folding!r} is not one of {', '.join(FOLDS)}")
    repeat = model.hop_length // sampler.hop
    warm_up = warm_up_frames(model, sampler)
    total = sum(len(request.codes[request.span]) for request in requests) * repeat
    part_frames = max(SHORTEST_PART * warm_up, total / sampler.streams)
    plans: list[Plan] = []
    for request in requests:
        conditioning = _condition(model, request)
        frame_span = slice(request.span.start * repeat, request.span.stop * repeat)
        frames = conditioning.frames[0, frame_span].float().cpu().numpy()
        predictor = gain = None
        if conditioning.predictor is not None:
            predictor = conditioning.predictor[0, frame_span].cpu().numpy()
            gain = conditioning.log_gain[0, frame_span].exp().cpu().numpy()
        if folding == "off":
            parts = [Part(0, 0, len(frames))]
        else:
            loudness = gain
            if request.loudness is not None:
                loudness = np.repeat(request.loudness[request.span], repeat)
            count = max(1, round(len(frames) / part_frames))
            parts = fold(loudness if loudness is not None else np.zeros(len(frames)), count, warm_up)
        jobs = []
        for part in parts:
            span = slice(part.start, part.end)
            jobs.append(
                Job(
                    frames[span],
                    predictor[span] if predictor is not None else None,
                    gain[span] if gain is not None else None,
                    request.seed,
                    request.position + (frame_span.start + part.start) * sampler.hop,
                )
            )
        predicted_mel = model.predicted_mel(conditioning)[0, frame_span] if model.has_mel else None
        plans.append(Plan(parts, jobs, predicted_mel))
    return plans


def _condition(model: VQVAE, request: Request) -> Conditioning:
    """The conditioning of all codes of a request, on the model's device."""
    device = device_of(model)
    codes = torch.from_numpy(np.asarray(request.codes, np.int64))[None].to(device)
    contour = torch.from_numpy(request.f0_contour)[None].to(device) if request.f0_contour is not None else None
    if isinstance(request.speaker, int):
        speaker, adaptation = torch.tensor([request.speaker]), None
    else:
        speaker, adaptation = request.speaker.vector[None], request.speaker.adaptation
    return model.condition(model.quantizer.lookup(codes), speaker.to(device), contour, adaptation)


def warm_up_frames(model: VQVAE, sampler: Engine) -> int:
    """How many frames a stream generates before its part begins; the last of them are crossfaded."""
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
    """Run the decoder for all plans, and join the parts of each. Amplitudes are at the level of training.

    progress: called with the number of samples that were just generated.
    """
    jobs = [job for request_plan in plans for job in request_plan.jobs]
    classes = iter(sampler.run(jobs, temperature, progress=progress))
    results = []
    for request_plan in plans:
        pieces = [mulaw.decode(next(classes).astype(np.int64)) for _ in request_plan.parts]
        results.append(join(pieces, request_plan.parts, sampler.hop, sample_rate))
    return results


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
    """Synthesize all requests; returns amplitudes (T * hop,) float32 at the level of training, for T codes each.

    temperature: of the draws, above 0; 1 samples from the model's own distribution.
    folding: "auto" cuts utterances into parts, so that all streams of the engine have work; "off" leaves each whole.
    postfilter: apply ``conversion.postfilter``; a model without the auxiliary log-mel head has none.
    progress: called with the number of samples that were just generated.

    Raises UsageError for a temperature or folding that is not allowed.
    """
    plans = plan(model, sampler, requests, folding)
    joined = sample(sampler, plans, model.config.audio.sample_rate, temperature, progress)
    if not (postfilter and model.has_mel):
        return [speech.samples for speech in joined]
    apply_filter = PostFilter(model)
    return [
        apply_filter(speech.samples, request_plan.predicted_mel, request.speaker)
        for speech, request_plan, request in zip(joined, plans, requests)
    ]
