"""Measurements with 95 % intervals, by a hierarchical bootstrap over speakers and the sentences of each speaker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from vqvc.evaluation.figures import LEVEL, RESAMPLES, figure

INTERVAL = "interval by bootstrap over source speakers and the sentences of each"


@dataclass(frozen=True)
class Metric:
    """One measurement.

    value: in ``unit``; None if it is undefined. definition: what was computed. judge: the model or rule that it relies
        on.
    n: number of recordings. speakers: number of source speakers. interval: the 95 % interval; None for fewer than two
    sentences. chance: the value for guessing; None if it is not known.
    """

    name: str
    value: float | None
    unit: str
    definition: str
    judge: str = ""
    n: int | None = None
    speakers: int | None = None
    interval: tuple[float, float] | None = None
    chance: float | None = None

    def as_figure(self) -> dict:
        """The entry of evaluate.json."""
        facts = {"utterances": self.n, "speakers": self.speakers, "chance": self.chance}
        if self.n is not None or self.interval is not None:
            facts["interval_95"] = self.interval or (None, None)
        known = {name: value for name, value in facts.items() if value is not None}
        return figure(self.value, self.unit, "; ".join(filter(None, (self.definition, self.judge))), **known)

    @classmethod
    def of_figure(cls, name: str, entry: Mapping) -> "Metric":
        """Read an entry of evaluate.json or probe.json, in which the definition includes the judge."""
        low, high = entry.get("interval_95") or (None, None)
        return cls(
            name,
            entry["value"],
            entry["unit"],
            entry["definition"],
            n=entry.get("utterances"),
            speakers=entry.get("speakers"),
            interval=None if low is None or high is None else (low, high),
            chance=entry.get("chance"),
        )


ByName: TypeAlias = dict[str, Metric]
ByKind: TypeAlias = dict[str, ByName]  # kind of recording -> name -> metric


def by_name(metrics: Sequence[Metric]) -> ByName:
    """Metrics by their names."""
    return {item.name: item for item in metrics}


@dataclass(frozen=True)
class Groups:
    """The source speaker and the sentence of each of N recordings, for the bootstrap."""

    speakers: tuple[str, ...]
    sentences: tuple[str, ...]

    @classmethod
    def of(cls, clips: Sequence) -> "Groups":
        """The groups of objects with ``speaker`` and ``utt_id``."""
        return cls(tuple(clip.speaker for clip in clips), tuple(clip.utt_id for clip in clips))

    def weights(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draw bootstrap weights: how often each of S sentences is drawn (RESAMPLES, S), and (N,) sentence indices.

        Speakers are drawn with replacement, then as many sentences of each drawn speaker as it has, with replacement.
        All recordings of a sentence have its weight.
        """
        pairs = sorted(set(zip(self.speakers, self.sentences, strict=True)))
        index_of = {pair: index for index, pair in enumerate(pairs)}
        sentence_index = [index_of[pair] for pair in zip(self.speakers, self.sentences, strict=True)]
        names = [speaker for speaker, _ in pairs]
        counts = tuple(names.count(speaker) for speaker in dict.fromkeys(names))
        return _draws(counts, seed), np.array(sentence_index, dtype=np.int64)


@lru_cache(maxsize=16)
def _draws(counts: tuple[int, ...], seed: int) -> np.ndarray:
    """How often each sentence is drawn, (RESAMPLES, sum(counts)) int64. counts: sentences per speaker, in order."""
    rng = np.random.default_rng(seed)
    speakers = len(counts)
    drawn = rng.multinomial(speakers, [1 / speakers] * speakers, size=RESAMPLES)
    columns = [rng.multinomial(drawn[:, n] * count, [1 / count] * count) for n, count in enumerate(counts)]
    return np.concatenate(columns, axis=1)


def ratio(
    name: str,
    numerators: Sequence[float] | np.ndarray,
    denominators: Sequence[float] | np.ndarray,
    groups: Groups,
    *,
    unit: str,
    definition: str,
    judge: str,
    scale: float = 1.0,
    seed: int = 0,
) -> Metric:
    """The metric ``scale`` * sum(numerators) / sum(denominators) over recordings, (N,) each.

    Recordings with an entry that is not finite are left out. The value is None if the denominators sum to 0.
    """
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    known = np.isfinite(top) & np.isfinite(bottom)
    top, bottom = np.where(known, top, 0.0), np.where(known, bottom, 0.0)
    facts = {"unit": unit, "definition": definition, "judge": judge, "n": int(known.sum())}
    facts["speakers"] = len({speaker for speaker, is_known in zip(groups.speakers, known, strict=True) if is_known})
    if not bottom.sum():
        return Metric(name, None, **facts)
    weights, sentence_index = groups.weights(seed)
    interval = None
    if weights.shape[1] > 1:
        sums = [np.bincount(sentence_index, weights=values, minlength=weights.shape[1]) for values in (top, bottom)]
        drawn = weights @ np.stack(sums, axis=1)  # (RESAMPLES, 2)
        drawn = drawn[drawn[:, 1] > 0]
        interval = _middle(scale * drawn[:, 0] / drawn[:, 1])
    return Metric(name, float(scale * top.sum() / bottom.sum()), interval=interval, **facts)


def mean(name: str, values: Sequence[float] | np.ndarray, groups: Groups, **facts) -> Metric:
    """The mean of ``values`` (N,) over recordings; keywords as for ``ratio``."""
    values = np.asarray(values, dtype=np.float64)
    return ratio(name, values, np.ones_like(values), groups, **facts)


def share(
    name: str, flags: Sequence[bool] | np.ndarray, groups: Groups, *, definition: str, judge: str, seed: int = 0
) -> Metric:
    """The share of recordings, in %, whose flag (N,) is set."""
    flags = np.asarray(flags, dtype=np.float64)
    return mean(name, flags, groups, unit="%", definition=definition, judge=judge, scale=100.0, seed=seed)


def statistic(
    name: str,
    compute: Callable[[np.ndarray], float],
    groups: Groups,
    *,
    unit: str,
    definition: str,
    judge: str,
    seed: int = 0,
) -> Metric:
    """A metric for any statistic. compute: maps indices of recordings, with repetitions, to a number.

    The interval is from a quarter of the RESAMPLES, since ``compute`` may be slow.
    """
    weights, sentence_index = groups.weights(seed)
    recordings = np.arange(len(sentence_index))
    interval = None
    if weights.shape[1] > 1:
        rows = [row for row in weights[: RESAMPLES // 4] if row.any()]
        drawn = [compute(np.repeat(recordings, row[sentence_index])) for row in rows]
        interval = _middle(np.array(drawn))
    return Metric(
        name,
        float(compute(recordings)),
        unit,
        definition,
        judge,
        n=len(recordings),
        speakers=len(set(groups.speakers)),
        interval=interval,
    )


def _middle(values: np.ndarray) -> tuple[float, float] | None:
    """The central LEVEL of values, NaN left out; None if there are none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
