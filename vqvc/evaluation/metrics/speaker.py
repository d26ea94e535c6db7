"""Speaker similarity by a pretrained speaker encoder: cosine similarity, identification and equal error rates.

Conversions, reconstructions and copies of the source are compared with natural speech.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation import metric
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind, order_of, with_copies
from vqvc.evaluation.judges.speaker_encoders import SpeakerEncoder, centre
from vqvc.evaluation.metric import ByKind, Groups, Metric, by_name

ENROLLED = 15  # natural utterances per speaker whose embeddings are averaged to its centre, at most
KEPT_ASIDE = 8  # other natural utterances per speaker for the reference, at most; held-out sentences are preferred


@dataclass(frozen=True)
class Embedded:
    """The embedding of a recording.

    embedding: (D,), of unit length. target: the speaker that it should sound like. speaker, utt_id: of its source.
    source: (D,), the embedding of the source recording; None for natural speech.
    """

    embedding: np.ndarray
    target: str
    speaker: str
    utt_id: str
    source: np.ndarray | None = None


@dataclass(frozen=True)
class EnrolledSpeakers:
    """Natural speech of the speakers among which recordings are identified.

    centres: {speaker: (D,)}, of enrolled utterances. natural: other natural utterances of these speakers, as reference.
    """

    centres: Mapping[str, np.ndarray]
    natural: Sequence[Embedded]

    @classmethod
    def of(cls, enrolled: Mapping[str, Sequence[np.ndarray]], natural: Sequence[Embedded]) -> "EnrolledSpeakers":
        """Compute the centres from the embeddings (D,) of the enrolled utterances of each speaker."""
        return cls({name: centre(embeddings) for name, embeddings in enrolled.items()}, natural)

    @property
    def names(self) -> tuple[str, ...]:
        """The speakers, in the order of ``scores``."""
        return tuple(self.centres)

    def among(self, names: Sequence[str]) -> "EnrolledSpeakers":
        """Select some of the speakers."""
        selected = set(names)
        return EnrolledSpeakers(
            {name: vector for name, vector in self.centres.items() if name in selected},
            [item for item in self.natural if item.target in selected],
        )

    def scores(self, items: Sequence[Embedded]) -> np.ndarray:
        """Cosine of N recordings with the centres of V speakers, (N, V)."""
        return np.stack([item.embedding for item in items]) @ np.stack(list(self.centres.values())).T

    def own(self, items: Sequence[Embedded]) -> np.ndarray:
        """Cosine of N recordings with the centre of their target speaker, (N,)."""
        return np.array([item.embedding @ self.centres[item.target] for item in items])

    def named(self, items: Sequence[Embedded]) -> list[str]:
        """Identify each recording: the speaker whose centre has the highest cosine."""
        return [self.names[index] for index in self.scores(items).argmax(axis=1)]


def named_target(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> Metric:
    """The share of recordings that are identified as their target."""
    is_target = [name == item.target for name, item in zip(speakers.named(items), items, strict=True)]
    return metric.share(
        "named_target",
        is_target,
        Groups.of(items),
        definition=f"recordings nearest to the target speaker's centre among {len(speakers.names)} speakers",
        judge=judge,
        seed=seed,
    )


def similarity_to_target(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> Metric:
    """Speaker encoder cosine similarity (SECS): cosine with the centre of the target speaker."""
    return metric.mean(
        "similarity_to_target",
        speakers.own(items),
        Groups.of(items),
        unit="-1 to 1",
        definition="cosine with the centre of the target speaker's natural speech",
        judge=judge,
        seed=seed,
    )


def similarity_to_source(items: Sequence[Embedded], judge: str, seed: int = 0) -> Metric:
    """Cosine with the source recording; lower is better for a conversion."""
    cosines = [item.embedding @ item.source for item in items]
    return metric.mean(
        "similarity_to_source",
        cosines,
        Groups.of(items),
        unit="-1 to 1",
        definition="cosine with the source's own recording, lower is better for a conversion",
        judge=judge,
        seed=seed,
    )


def similarity_to_others(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> Metric:
    """Mean cosine with the centres of the other speakers, a reference for the similarity of different speakers."""
    names = np.array(speakers.names)
    cosines = [np.mean(row[names != item.target]) for row, item in zip(speakers.scores(items), items, strict=True)]
    return metric.mean(
        "similarity_to_others",
        cosines,
        Groups.of(items),
        unit="-1 to 1",
        definition="mean cosine with the centres of the other speakers",
        judge=judge,
        seed=seed,
    )


def equal_error(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> Metric:
    """Speaker verification: equal error rate of the target speaker's centre against all other centres (impostors)."""
    scores, names = speakers.scores(items), np.array(speakers.names)
    is_target = np.array([item.target for item in items])[:, None] == names

    def compute(index: np.ndarray) -> float:
        return 100 * equal_error_rate(scores[index][is_target[index]], scores[index][~is_target[index]])

    return metric.statistic(
        "equal_error",
        compute,
        Groups.of(items),
        unit="%",
        definition="equal error rate of the cosine with the target speaker's centre against the other speakers' "
        "centres, 0 best, 50 chance",
        judge=judge,
        seed=seed,
    )


def equal_error_against_natural(
    items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0
) -> Metric:
    """Equal error rate of natural speech of the targets against ``items``; 50 % if they cannot be told apart."""
    scores, natural = speakers.own(items), speakers.own(speakers.natural)

    def compute(index: np.ndarray) -> float:
        return 100 * equal_error_rate(natural, scores[index])

    return metric.statistic(
        "equal_error_against_natural",
        compute,
        Groups.of(items),
        unit="%",
        definition="equal error rate of natural speech of the target speakers against these recordings by the "
        "cosine with the target speaker's centre; 50 or more: as natural speech",
        judge=judge,
        seed=seed,
    )


def way_to_target(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> Metric:
    """Position between the source recording (0 %) and the centre of the target (100 %), projected on the line between.

    A third speaker at equal distances from both is at 50 %.
    """
    positions = []
    for item in items:
        line = speakers.centres[item.target] - item.source
        positions.append((item.embedding - item.source) @ line / max(float(line @ line), 1e-12))
    return metric.mean(
        "way_to_target",
        positions,
        Groups.of(items),
        unit="%",
        scale=100.0,
        definition="share of the way from the source's own recording to the centre of the target speaker, along the "
        "line between them; any third speaker has about 50",
        judge=judge,
        seed=seed,
    )


def conversion_metrics(
    items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0
) -> list[Metric]:
    """All metrics of conversions."""
    return [
        named_target(items, speakers, judge, seed),
        similarity_to_target(items, speakers, judge, seed),
        similarity_to_source(items, judge, seed),
        way_to_target(items, speakers, judge, seed),
        equal_error(items, speakers, judge, seed),
        equal_error_against_natural(items, speakers, judge, seed),
    ]


def reconstruction_metrics(
    items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0
) -> list[Metric]:
    """All metrics of reconstructions: those of conversions without ``way_to_target``, which needs another speaker."""
    return [item for item in conversion_metrics(items, speakers, judge, seed) if item.name != "way_to_target"]


def natural_metrics(speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> list[Metric]:
    """All metrics of natural utterances that were not enrolled, as reference."""
    items = list(speakers.natural)
    return [
        named_target(items, speakers, judge, seed),
        similarity_to_target(items, speakers, judge, seed),
        similarity_to_others(items, speakers, judge, seed),
        equal_error(items, speakers, judge, seed),
    ]


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """The equal error rate, at which misses and false alarms are equally frequent: 0 is perfect, 0.5 is chance.

    same, different: scores of pairs of the same and of different speakers; ``same`` should be higher. The rate is
    interpolated between thresholds. Raises CorpusError if either is empty.
    """
    same, different = np.sort(np.asarray(same, float)), np.sort(np.asarray(different, float))
    if not len(same) or not len(different):
        raise CorpusError("an equal error rate needs at least two classes: pairs of the same and of different speakers")
    thresholds = np.unique(np.concatenate([same, different, [np.inf]]))
    misses = np.searchsorted(same, thresholds, side="left") / len(same)
    alarms = 1 - np.searchsorted(different, thresholds, side="left") / len(different)
    after = int(np.argmax(misses >= alarms))
    if after == 0 or misses[after] == alarms[after]:
        return float((misses[after] + alarms[after]) / 2)
    gap_before, gap_after = alarms[after - 1] - misses[after - 1], misses[after] - alarms[after]
    weight = gap_before / (gap_before + gap_after)
    return float(misses[after - 1] + weight * (misses[after] - misses[after - 1]))


def embed(clips: Sequence[EvaluationClip], encoder: SpeakerEncoder, sample_rate: int) -> None:
    """Store the embedding of every clip by ``encoder`` in ``measured``, unless it is there already."""
    waiting = [clip for clip in clips if encoder.name not in clip.measured.get("embeddings", {})]
    if waiting:
        for clip, row in zip(waiting, encoder.embed([clip.samples for clip in waiting], sample_rate), strict=True):
            clip.measured.setdefault("embeddings", {})[encoder.name] = row


def embedding(clip: EvaluationClip, encoder: SpeakerEncoder) -> np.ndarray:
    """The embedding (D,) of a clip that ``embed`` stored."""
    return clip.measured["embeddings"][encoder.name]


def enrol(store, names: Sequence[str], used: Sequence[str], encoder: SpeakerEncoder, seed: int = 0) -> EnrolledSpeakers:
    """Compute the centres and natural references of the speakers ``names``, without the utterances ``used`` (utt_ids).

    A speaker with fewer than two other utterances is left out. Raises CorpusError if fewer than two speakers are left.
    """
    speakers, excluded, available = set(names), set(used), defaultdict(list)
    for item in sorted(store.utterances, key=lambda item: order_of(item.utt_id, seed)):
        if item.speaker in speakers and item.utt_id not in excluded:
            available[item.speaker].append(item)
    enrolled, natural = {}, []
    for name in names:
        utterances = available[name]
        held_out_first = sorted(utterances, key=lambda item: item.subset == "train")
        reference = held_out_first[: min(KEPT_ASIDE, len(utterances) // 2)]
        for_centre = [item for item in utterances if item not in reference][:ENROLLED]
        if reference and for_centre:
            vectors = encoder.embed([store.waveform(item) for item in for_centre + reference], store.sample_rate)
            enrolled[name] = list(vectors[: len(for_centre)])
            for vector, item in zip(vectors[len(for_centre) :], reference, strict=True):
                natural.append(Embedded(vector, name, name, item.utt_id))
    if len(enrolled) < 2:
        raise CorpusError(
            "the speaker encoder needs at least two speakers with two natural utterances each that are not converted"
        )
    return EnrolledSpeakers.of(enrolled, natural)


def measure(
    clips: Sequence[EvaluationClip],
    speakers: EnrolledSpeakers,
    encoder: SpeakerEncoder,
    sample_rate: int,
    seed: int = 0,
) -> ByKind:
    """All metrics of a speaker encoder, for each kind of recording. Raises CorpusError if there are none.

    Recordings whose target has more than a handful of sentences are identified among such speakers, the others among
    all speakers. The kind ``copy`` is the source itself, as the baseline of converting nothing.
    """
    embed(clips, encoder, sample_rate)
    sources = {clip.utt_id: embedding(clip, encoder) for clip in clips if clip.kind == "source"}
    few = {clip.target for clip in clips if clip.few}
    plenty = speakers.among([name for name in speakers.names if name not in few])
    result: ByKind = {}
    if len(plenty.names) > 1:
        result["natural"] = by_name(natural_metrics(plenty, encoder.recipe, seed))
    if few & set(speakers.names):
        result["natural_of_few"] = by_name(natural_metrics(reference_of(speakers, few), encoder.recipe, seed))
    for kind, group in by_kind(with_copies(clips)).items():
        among = speakers if kind.endswith("_into_few") else plenty
        items = [
            Embedded(embedding(clip, encoder), clip.target, clip.speaker, clip.utt_id, sources[clip.utt_id])
            for clip in group
            if clip.target in among.names
        ]
        if kind in ("source", "natural") or not items or len(among.names) < 2:
            continue
        metrics_of = reconstruction_metrics if kind == "reconstruction" else conversion_metrics
        enrolled = among if kind != "conversion_into_few" else reference_of(speakers, few)
        result[kind] = by_name(metrics_of(items, enrolled, encoder.recipe, seed))
    if not result:
        raise CorpusError("the speaker encoder needs conversions into speakers with natural speech, and there are none")
    return result


def reference_of(speakers: EnrolledSpeakers, names: set[str]) -> EnrolledSpeakers:
    """All centres, but natural references of the speakers ``names`` only."""
    return EnrolledSpeakers(speakers.centres, [item for item in speakers.natural if item.target in names])
