"""Which part of the source's speaker is in the codes, and which in the F0 contour? Conversions with four contours.

The contours are that of the source, that of the target, a flat one and none.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation.evaluation_set import EvaluationClip, order_of
from vqvc.evaluation.judges.speaker_encoders import SpeakerEncoder
from vqvc.evaluation.metric import ByKind, Metric, by_name
from vqvc.evaluation.metrics.speaker import (
    Embedded,
    EnrolledSpeakers,
    embed,
    embedding,
    similarity_to_source,
    similarity_to_target,
    way_to_target,
)

HEIGHT, VOICING = 0, 1  # rows of a contour, see ``nn.pitch.F0Conditioner``


def make(
    converter, clips: Sequence[EvaluationClip], store, count: int, seed: int = 0, options: Mapping | None = None
) -> list[EvaluationClip]:
    """Repeat ``count`` of the conversions among ``clips`` with each of four contours, which is the kind of the results.

    Raises CorpusError if the model is not conditioned on F0, and if there are no conversions.
    """
    if not count:
        raise CorpusError("--contours is 0")
    chosen = [clip for clip in clips if clip.kind == "conversion" and not clip.few]
    chosen = sorted(chosen, key=lambda clip: order_of(clip.file, seed))[:count]
    if not chosen:
        raise CorpusError("no conversion into a speaker with natural speech was made")
    sources = {clip.utt_id: clip for clip in clips if clip.kind == "source"}
    synthesis = dict(options or {})
    equalizer = synthesis.pop("equalizer", True)
    analyses = {clip.utt_id: converter.analyse(sources[clip.utt_id].samples, equalizer=equalizer) for clip in chosen}
    if any(item.f0_contour is None for item in analyses.values()):
        raise CorpusError("the model's decoder is not conditioned on an F0 contour")
    own = _target_contours(converter, store, {clip.target for clip in chosen}, {clip.utt_id for clip in clips}, seed)
    chosen = [clip for clip in chosen if clip.target in own]
    contours: dict[str, Callable[[np.ndarray, str], np.ndarray | None]] = {
        "contour_of_source": lambda contour, target: contour,
        "contour_of_target": lambda contour, target: with_height_of(contour, own[target]),
        "contour_flat": lambda contour, target: flat(contour),
        "contour_none": lambda contour, target: None,
    }
    result = []
    for kind, contour in contours.items():
        pairs = []
        for clip in chosen:
            analysis = analyses[clip.utt_id]
            new_contour = contour(analysis.f0_contour, clip.target)
            pairs.append((dataclasses.replace(analysis, f0_contour=new_contour), clip.target))
        outputs = converter.synthesize(pairs, seed=seed, **synthesis)
        for clip, samples in zip(chosen, outputs, strict=True):
            result.append(dataclasses.replace(clip, kind=kind, samples=samples, measured={}))
    return result


def measure(
    made: Sequence[EvaluationClip],
    clips: Sequence[EvaluationClip],
    speakers: EnrolledSpeakers,
    encoder: SpeakerEncoder,
    sample_rate: int,
    seed: int = 0,
) -> ByKind:
    """Similarity to target and source, and the way between them, for each contour.

    made: from ``make``. clips: recordings that include the sources. The similarity to the source with another contour
    is due to the codes; what the source's contour adds to it is due to the contour.
    """
    made = [clip for clip in made if clip.target in speakers.names]
    used = {clip.utt_id for clip in made}
    sources = {clip.utt_id: clip for clip in clips if clip.kind == "source" and clip.utt_id in used}
    embed([*made, *sources.values()], encoder, sample_rate)
    items: dict[str, list[Embedded]] = {}
    for clip in made:
        source = embedding(sources[clip.utt_id], encoder)
        item = Embedded(embedding(clip, encoder), clip.target, clip.speaker, clip.utt_id, source)
        items.setdefault(clip.kind, []).append(item)
    return {kind: by_name(leakage_metrics(group, speakers, encoder.recipe, seed)) for kind, group in items.items()}


def leakage_metrics(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> list[Metric]:
    """Similarity to target and source, and the way between them."""
    return [
        similarity_to_target(items, speakers, judge, seed),
        similarity_to_source(items, judge, seed),
        way_to_target(items, speakers, judge, seed),
    ]


def flat(contour: np.ndarray) -> np.ndarray:
    """A contour (3, T) with the speaker's mean F0 in every frame; voicing does not change."""
    result = np.array(contour)
    result[HEIGHT] = 0
    return result


def with_height_of(contour: np.ndarray, other: np.ndarray) -> np.ndarray:
    """``contour`` (3, T) with the F0 of ``other`` (3, U), repeated or cut to T frames; voicing does not change.

    The F0 of ``other`` is interpolated over its unvoiced frames, so that every voiced frame of ``contour`` has one.
    """
    voiced = np.flatnonzero(other[VOICING] > 0.5)
    result = np.array(contour)
    if not len(voiced):
        return flat(contour)
    heights = np.interp(np.arange(other.shape[1]), voiced, other[HEIGHT, voiced] / other[VOICING, voiced])
    result[HEIGHT] = np.resize(heights, contour.shape[1]) * contour[VOICING]
    return result


def _target_contours(converter, store, names: set[str], used: set[str], seed: int) -> dict[str, np.ndarray]:
    """The contour of one natural utterance of each target, which is not among the utterances ``used``."""
    contours: dict[str, np.ndarray] = {}
    for item in sorted(store.utterances, key=lambda item: order_of(item.utt_id, seed)):
        if item.speaker in names and item.speaker not in contours and item.utt_id not in used:
            contour = converter.analyse(store.waveform(item)).f0_contour
            if contour is not None:
                contours[item.speaker] = contour
    return contours
