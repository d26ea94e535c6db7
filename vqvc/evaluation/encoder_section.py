"""The evaluation's section on voices by a speaker encoder: conversions, reconstructions and copies beside natural speech."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind, order_of, with_copies
from vqvc.evaluation.judges.speaker_encoders import SpeakerEncoder
from vqvc.evaluation.metric import as_figures
from vqvc.evaluation.speaker_similarity import (
    Embedded,
    Voices,
    conversion_metrics,
    natural_metrics,
    reconstruction_metrics,
)

ENROLLED = 15  # natural utterances of training per voice from which its centre is made
KEPT_ASIDE = 8  # others per voice, of unseen sentences first, that are the natural reference


def embed(clips: Sequence[EvaluationClip], encoder: SpeakerEncoder, sample_rate: int) -> None:
    """Give every clip its embedding, once."""
    waiting = [clip for clip in clips if "embedding" not in clip.measured]
    if waiting:
        for clip, row in zip(waiting, encoder.embed([clip.samples for clip in waiting], sample_rate), strict=True):
            clip.measured["embedding"] = row


def enrol(store, names: Sequence[str], used: Sequence[str], encoder: SpeakerEncoder, seed: int = 0) -> Voices:
    """Centres and natural references of the voices ``names``, of utterances that are not in ``used`` (utt_ids).

    A voice with fewer than two such utterances is left out. Raises CorpusError when fewer than two voices are left.
    """
    forbidden, own = set(used), defaultdict(list)
    for item in sorted(store.utterances, key=lambda item: order_of(item.utt_id, seed)):
        if item.speaker in set(names) and item.utt_id not in forbidden:
            own[item.speaker].append(item)
    enrolled, natural = {}, []
    for name in names:
        aside = sorted(own[name], key=lambda item: item.subset == "train")[: min(KEPT_ASIDE, len(own[name]) // 2)]
        kept = [item for item in own[name] if item not in aside][:ENROLLED]
        if aside and kept:
            vectors = encoder.embed([store.waveform(item) for item in kept + aside], store.sample_rate)
            enrolled[name] = list(vectors[: len(kept)])
            natural += [
                Embedded(row, name, name, item.utt_id) for row, item in zip(vectors[len(kept) :], aside, strict=True)
            ]
    if len(enrolled) < 2:
        raise CorpusError(
            "the speaker encoder needs at least two voices with two natural utterances each that are not converted"
        )
    return Voices.enrol(enrolled, natural)


def encoder_figures(
    clips: Sequence[EvaluationClip], voices: Voices, encoder: SpeakerEncoder, sample_rate: int, seed: int = 0
) -> dict:
    """By kind: who is named, similarity to target and source, the way between them, equal errors.

    Voices with plenty of speech are named among themselves, those with a handful of sentences among all. ``copy`` is
    the source left as it is: what doing nothing gets.
    """
    embed(clips, encoder, sample_rate)
    sources = {clip.utt_id: clip.measured["embedding"] for clip in clips if clip.kind == "source"}
    few = {clip.voice for clip in clips if clip.few}
    plenty = voices.among([name for name in voices.names if name not in few])
    result = {}
    if len(plenty.names) > 1:
        result["natural"] = as_figures(natural_metrics(plenty, encoder.recipe, seed))
    if few & set(voices.names):
        result["natural_of_few"] = as_figures(natural_metrics(voices_of(voices, few), encoder.recipe, seed))
    for kind, group in by_kind(with_copies(clips)).items():
        among = voices if kind.endswith("_into_few") else plenty
        items = [item for item in map(lambda clip: _embedded(clip, sources), group) if item.voice in among.names]
        if kind in ("source", "natural") or not items or len(among.names) < 2:
            continue
        measure = reconstruction_metrics if kind == "reconstruction" else conversion_metrics
        near = among if kind != "conversion_into_few" else voices_of(voices, few)
        result[kind] = as_figures(measure(items, near, encoder.recipe, seed))
    if not result:
        raise CorpusError("the speaker encoder needs conversions into voices with natural speech, and there are none")
    return result


def voices_of(voices: Voices, names: set[str]) -> Voices:
    """All centres, natural references of ``names`` alone."""
    return Voices(voices.centres, [item for item in voices.natural if item.voice in names])


def _embedded(clip: EvaluationClip, sources: dict[str, np.ndarray]) -> Embedded:
    return Embedded(clip.measured["embedding"], clip.voice, clip.speaker, clip.utt_id, sources[clip.utt_id])
