"""Whose voice is it, by a speaker encoder that knows nothing of this project: similarity, identification, equal error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.evaluation import metric
from vqvc.evaluation.judges.speaker_encoders import centre
from vqvc.evaluation.metric import Groups, Metric
from vqvc.evaluation.speakers import equal_error_rate


@dataclass(frozen=True)
class Embedded:
    """A recording in an encoder's space, all vectors (D,) of unit length.

    voice: whose it should be; speaker, utt_id: of its source; source: the source's own recording, None for natural speech.
    """

    embedding: np.ndarray
    voice: str
    speaker: str
    utt_id: str
    source: np.ndarray | None = None


@dataclass(frozen=True)
class Voices:
    """Natural speech of the voices that may be named.

    centres: {voice: (D,)} of enrolled utterances; natural: other natural utterances of these voices, the reference.
    """

    centres: Mapping[str, np.ndarray]
    natural: Sequence[Embedded]

    @classmethod
    def enrol(cls, enrolled: Mapping[str, Sequence[np.ndarray]], natural: Sequence[Embedded]) -> "Voices":
        """enrolled: {voice: embeddings of its utterances}."""
        return cls({name: centre(found) for name, found in enrolled.items()}, natural)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.centres)

    def among(self, names: Sequence[str]) -> "Voices":
        """The same with some of the voices only."""
        kept = set(names)
        return Voices(
            {name: vector for name, vector in self.centres.items() if name in kept},
            [item for item in self.natural if item.voice in kept],
        )

    def scores(self, items: Sequence[Embedded]) -> np.ndarray:
        """(N, V) cosine of every recording with every voice's centre."""
        return np.stack([item.embedding for item in items]) @ np.stack(list(self.centres.values())).T

    def own(self, items: Sequence[Embedded]) -> np.ndarray:
        """(N,) cosine with the centre of the wanted voice."""
        return np.array([item.embedding @ self.centres[item.voice] for item in items])

    def named(self, items: Sequence[Embedded]) -> list[str]:
        """The voice whose centre is nearest to each recording."""
        return [self.names[index] for index in self.scores(items).argmax(axis=1)]


def named_target(items: Sequence[Embedded], voices: Voices, judge: str, seed: int = 0) -> Metric:
    """How often the wanted voice is the nearest of all voices."""
    right = [name == item.voice for name, item in zip(voices.named(items), items, strict=True)]
    return metric.share(
        "named_target", right, Groups.of(items), seed=seed, judge=judge,
        definition=f"recordings nearest to the wanted voice's centre among {len(voices.names)} voices",
    )  # fmt: skip


def similarity_to_target(items: Sequence[Embedded], voices: Voices, judge: str, seed: int = 0) -> Metric:
    """SECS: cosine with the centre of the wanted voice's natural speech."""
    return metric.mean(
        "similarity_to_target", voices.own(items), Groups.of(items), unit="-1 to 1", seed=seed, judge=judge,
        definition="cosine with the centre of the wanted voice's natural speech",
    )  # fmt: skip


def similarity_to_source(items: Sequence[Embedded], judge: str, seed: int = 0) -> Metric:
    """Cosine with the source's own recording: what a conversion should leave behind."""
    near = [item.embedding @ item.source for item in items]
    return metric.mean(
        "similarity_to_source", near, Groups.of(items), unit="-1 to 1", seed=seed, judge=judge,
        definition="cosine with the source's own recording, lower is better for a conversion",
    )  # fmt: skip


def similarity_to_others(items: Sequence[Embedded], voices: Voices, judge: str, seed: int = 0) -> Metric:
    """Cosine with the centres of voices that were not wanted: what strangers to each other have."""
    scores, names = voices.scores(items), voices.names
    near = [
        np.mean([row[n] for n, name in enumerate(names) if name != item.voice])
        for row, item in zip(scores, items, strict=True)
    ]
    return metric.mean(
        "similarity_to_others", near, Groups.of(items), unit="-1 to 1", seed=seed, judge=judge,
        definition="mean cosine with the centres of the other voices",
    )  # fmt: skip


def equal_error(items: Sequence[Embedded], voices: Voices, judge: str, seed: int = 0) -> Metric:
    """Verification as an attacker sees it: the wanted voice's centre against all others (impostors)."""
    scores, names = voices.scores(items), np.array(voices.names)
    wanted = np.array([item.voice for item in items])[:, None] == names

    def compute(index: np.ndarray) -> float:
        return 100 * equal_error_rate(scores[index][wanted[index]], scores[index][~wanted[index]])

    return metric.statistic(
        "equal_error", compute, Groups.of(items), unit="%", seed=seed, judge=judge,
        definition="equal error rate of the cosine with the wanted voice's centre against the other voices' centres, 0 best, 50 chance",
    )  # fmt: skip


def told_apart(items: Sequence[Embedded], voices: Voices, judge: str, seed: int = 0) -> Metric:
    """Are they the target to the encoder? Equal error of natural speech of the target against ``items``: 50 not told apart."""
    scores, natural = voices.own(items), voices.own(voices.natural)

    def compute(index: np.ndarray) -> float:
        return 100 * equal_error_rate(natural, scores[index])

    return metric.statistic(
        "equal_error_against_natural", compute, Groups.of(items), unit="%", seed=seed, judge=judge,
        definition="equal error rate of natural speech of the wanted voices against these recordings by the cosine with the "
        "wanted voice's centre; 50 or more: not told apart from natural speech",
    )  # fmt: skip


def way_to_target(items: Sequence[Embedded], voices: Voices, judge: str, seed: int = 0) -> Metric:
    """How far from the source to the target: 0 % the source's recording, 100 % the centre of the target."""
    done = []
    for item in items:
        step = voices.centres[item.voice] - item.source
        done.append((item.embedding - item.source) @ step / max(float(step @ step), 1e-12))
    return metric.mean(
        "way_to_target", done, Groups.of(items), unit="%", scale=100.0, seed=seed, judge=judge,
        definition="share of the way from the source's own recording to the centre of the wanted voice, along the line between them",
    )  # fmt: skip


def conversion_metrics(items: Sequence[Embedded], voices: Voices, judge: str, seed: int = 0) -> list[Metric]:
    """All measures of recordings that have a source and should be another voice."""
    return [
        named_target(items, voices, judge, seed),
        similarity_to_target(items, voices, judge, seed),
        similarity_to_source(items, judge, seed),
        way_to_target(items, voices, judge, seed),
        equal_error(items, voices, judge, seed),
        told_apart(items, voices, judge, seed),
    ]


def reconstruction_metrics(items: Sequence[Embedded], voices: Voices, judge: str, seed: int = 0) -> list[Metric]:
    """The same for recordings that should be the source's own voice: there is no way to go."""
    return [item for item in conversion_metrics(items, voices, judge, seed) if item.name != "way_to_target"]


def natural_metrics(voices: Voices, judge: str, seed: int = 0) -> list[Metric]:
    """The reference: natural utterances of the voices that were not enrolled."""
    items = list(voices.natural)
    return [
        named_target(items, voices, judge, seed),
        similarity_to_target(items, voices, judge, seed),
        similarity_to_others(items, voices, judge, seed),
        equal_error(items, voices, judge, seed),
    ]
