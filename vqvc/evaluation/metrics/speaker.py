"""Who is it, by a speaker encoder that knows nothing of this project: similarity, identification, equal error.

Conversions, reconstructions and copies of the source stand beside natural speech.
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

ENROLLED = 15  # natural utterances of training per speaker from which its centre is made
KEPT_ASIDE = 8  # others per speaker, of unseen sentences first, that are the natural reference


@dataclass(frozen=True)
class Embedded:
    """A recording in an encoder's space, all vectors (D,) of unit length.

    target: the speaker it should be; speaker, utt_id: of its source; source: the source's own recording, None for natural speech.
    """

    embedding: np.ndarray
    target: str
    speaker: str
    utt_id: str
    source: np.ndarray | None = None


@dataclass(frozen=True)
class EnrolledSpeakers:
    """Natural speech of the speakers that may be named.

    centres: {speaker: (D,)} of enrolled utterances; natural: other natural utterances of these speakers, the reference.
    """

    centres: Mapping[str, np.ndarray]
    natural: Sequence[Embedded]

    @classmethod
    def of(cls, enrolled: Mapping[str, Sequence[np.ndarray]], natural: Sequence[Embedded]) -> "EnrolledSpeakers":
        """enrolled: {speaker: embeddings (D,) of utterances}."""
        return cls({name: centre(found) for name, found in enrolled.items()}, natural)

    @property
    def names(self) -> tuple[str, ...]:
        """The speakers that may be named."""
        return tuple(self.centres)

    def among(self, names: Sequence[str]) -> "EnrolledSpeakers":
        """The same with some of the speakers only."""
        kept = set(names)
        return EnrolledSpeakers(
            {name: vector for name, vector in self.centres.items() if name in kept},
            [item for item in self.natural if item.target in kept],
        )

    def scores(self, items: Sequence[Embedded]) -> np.ndarray:
        """(N, V) cosine of every recording with every speaker's centre."""
        return np.stack([item.embedding for item in items]) @ np.stack(list(self.centres.values())).T

    def own(self, items: Sequence[Embedded]) -> np.ndarray:
        """(N,) cosine with the centre of the target speaker."""
        return np.array([item.embedding @ self.centres[item.target] for item in items])

    def named(self, items: Sequence[Embedded]) -> list[str]:
        """The speaker whose centre is nearest to each recording."""
        return [self.names[index] for index in self.scores(items).argmax(axis=1)]


def named_target(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> Metric:
    """How often the target is the nearest of all speakers."""
    right = [name == item.target for name, item in zip(speakers.named(items), items, strict=True)]
    return metric.share(
        "named_target", right, Groups.of(items), seed=seed, judge=judge,
        definition=f"recordings nearest to the target speaker's centre among {len(speakers.names)} speakers",
    )  # fmt: skip


def similarity_to_target(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> Metric:
    """SECS: cosine with the centre of the target speaker's natural speech."""
    return metric.mean(
        "similarity_to_target", speakers.own(items), Groups.of(items), unit="-1 to 1", seed=seed, judge=judge,
        definition="cosine with the centre of the target speaker's natural speech",
    )  # fmt: skip


def similarity_to_source(items: Sequence[Embedded], judge: str, seed: int = 0) -> Metric:
    """Cosine with the source's own recording: what a conversion should leave behind."""
    near = [item.embedding @ item.source for item in items]
    return metric.mean(
        "similarity_to_source", near, Groups.of(items), unit="-1 to 1", seed=seed, judge=judge,
        definition="cosine with the source's own recording, lower is better for a conversion",
    )  # fmt: skip


def similarity_to_others(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> Metric:
    """Cosine with the centres of the other speakers: what different speakers have."""
    scores, names = speakers.scores(items), speakers.names
    near = [
        np.mean([row[n] for n, name in enumerate(names) if name != item.target])
        for row, item in zip(scores, items, strict=True)
    ]
    return metric.mean(
        "similarity_to_others", near, Groups.of(items), unit="-1 to 1", seed=seed, judge=judge,
        definition="mean cosine with the centres of the other speakers",
    )  # fmt: skip


def equal_error(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> Metric:
    """Verification as an attacker sees it: the target speaker's centre against all others (impostors)."""
    scores, names = speakers.scores(items), np.array(speakers.names)
    wanted = np.array([item.target for item in items])[:, None] == names

    def compute(index: np.ndarray) -> float:
        return 100 * equal_error_rate(scores[index][wanted[index]], scores[index][~wanted[index]])

    return metric.statistic(
        "equal_error", compute, Groups.of(items), unit="%", seed=seed, judge=judge,
        definition="equal error rate of the cosine with the target speaker's centre against the other speakers' centres, 0 best, 50 chance",
    )  # fmt: skip


def equal_error_against_natural(
    items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0
) -> Metric:
    """Are they the target to the encoder? Equal error of natural speech of the target against ``items``: 50 is indistinguishable."""
    scores, natural = speakers.own(items), speakers.own(speakers.natural)

    def compute(index: np.ndarray) -> float:
        return 100 * equal_error_rate(natural, scores[index])

    return metric.statistic(
        "equal_error_against_natural", compute, Groups.of(items), unit="%", seed=seed, judge=judge,
        definition="equal error rate of natural speech of the target speakers against these recordings by the cosine with the "
        "target speaker's centre; 50 or more: as natural speech",
    )  # fmt: skip


def way_to_target(items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> Metric:
    """How far from the source to the target: 0 % the source's recording, 100 % the centre of the target.

    A third speaker, as far from either as they are from each other, is half the way.
    """
    done = []
    for item in items:
        step = speakers.centres[item.target] - item.source
        done.append((item.embedding - item.source) @ step / max(float(step @ step), 1e-12))
    return metric.mean(
        "way_to_target", done, Groups.of(items), unit="%", scale=100.0, seed=seed, judge=judge,
        definition="share of the way from the source's own recording to the centre of the target speaker, along the line between them; "
        "any third speaker has about 50",
    )  # fmt: skip


def conversion_metrics(
    items: Sequence[Embedded], speakers: EnrolledSpeakers, judge: str, seed: int = 0
) -> list[Metric]:
    """All measures of recordings that have a source and should be another speaker."""
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
    """The same for recordings that should be the source's own speaker: there is no way to go."""
    return [item for item in conversion_metrics(items, speakers, judge, seed) if item.name != "way_to_target"]


def natural_metrics(speakers: EnrolledSpeakers, judge: str, seed: int = 0) -> list[Metric]:
    """The reference: natural utterances of the speakers that were not enrolled."""
    items = list(speakers.natural)
    return [
        named_target(items, speakers, judge, seed),
        similarity_to_target(items, speakers, judge, seed),
        similarity_to_others(items, speakers, judge, seed),
        equal_error(items, speakers, judge, seed),
    ]


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Where misses equal false alarms: ``same`` scores should lie above ``different`` ones. 0 perfect, 0.5 chance.

    Raises CorpusError when either side is empty.
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
    share = gap_before / (gap_before + gap_after)
    return float(misses[after - 1] + share * (misses[after] - misses[after - 1]))


def embed(clips: Sequence[EvaluationClip], encoder: SpeakerEncoder, sample_rate: int) -> None:
    """Give every clip its embedding by ``encoder``, once."""
    waiting = [clip for clip in clips if encoder.name not in clip.measured.get("embeddings", {})]
    if waiting:
        for clip, row in zip(waiting, encoder.embed([clip.samples for clip in waiting], sample_rate), strict=True):
            clip.measured.setdefault("embeddings", {})[encoder.name] = row


def embedding(clip: EvaluationClip, encoder: SpeakerEncoder) -> np.ndarray:
    """(D,) what ``embed`` gave a clip."""
    return clip.measured["embeddings"][encoder.name]


def enrol(store, names: Sequence[str], used: Sequence[str], encoder: SpeakerEncoder, seed: int = 0) -> EnrolledSpeakers:
    """Centres and natural references of the speakers ``names``, of utterances that are not in ``used`` (utt_ids).

    A speaker with fewer than two such utterances is left out. Raises CorpusError when fewer than two are left.
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
    """By kind: who is named, similarity to target and source, the way between them, equal errors.

    Speakers with plenty of speech are named among themselves, those with a handful of sentences among all. ``copy`` is
    the source left as it is: what doing nothing gets.
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
        near = among if kind != "conversion_into_few" else reference_of(speakers, few)
        result[kind] = by_name(metrics_of(items, near, encoder.recipe, seed))
    if not result:
        raise CorpusError("the speaker encoder needs conversions into speakers with natural speech, and there are none")
    return result


def reference_of(speakers: EnrolledSpeakers, names: set[str]) -> EnrolledSpeakers:
    """All centres, natural references of ``names`` alone."""
    return EnrolledSpeakers(speakers.centres, [item for item in speakers.natural if item.target in names])
