"""A measurement as a record, and its interval: bootstrap over speakers, and over the sentences of each."""

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

    value: in ``unit``, None where it is undefined; definition: what was computed; judge: which model or rule it rests on;
    n: recordings; speakers: how many different source speakers; interval: 95 %, None where there are fewer than two sentences;
    chance: what guessing gets, None where that is not known.
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
        """The record of an entry of evaluate.json or probe.json; the judge stands in its definition."""
        low, high = entry.get("interval_95") or (None, None)
        interval = None if low is None or high is None else (low, high)
        more = entry.get("utterances"), entry.get("speakers"), interval, entry.get("chance")
        return cls(name, entry["value"], entry["unit"], entry["definition"], "", *more)


ByName: TypeAlias = dict[str, Metric]
ByKind: TypeAlias = dict[str, ByName]  # kind of recording -> name -> metric


def by_name(metrics: Sequence[Metric]) -> ByName:
    """{name: metric}."""
    return {item.name: item for item in metrics}


@dataclass(frozen=True)
class Groups:
    """Which recordings belong together: the source's speaker and the sentence of each, (N,) names."""

    speakers: tuple[str, ...]
    sentences: tuple[str, ...]

    @classmethod
    def of(cls, clips: Sequence) -> "Groups":
        """Of anything with ``speaker`` and ``utt_id``."""
        return cls(tuple(clip.speaker for clip in clips), tuple(clip.utt_id for clip in clips))

    def weights(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """((RESAMPLES, S) how often each sentence is drawn, (N,) the sentence of each recording).

        Speakers are drawn with replacement, then as many sentences of each drawn speaker as it has. Recordings of one
        sentence stay together.
        """
        pairs = sorted(set(zip(self.speakers, self.sentences, strict=True)))
        place = {pair: index for index, pair in enumerate(pairs)}
        own = np.array([place[pair] for pair in zip(self.speakers, self.sentences, strict=True)], dtype=np.int64)
        names = [speaker for speaker, _ in pairs]
        counts = tuple(names.count(speaker) for speaker in dict.fromkeys(names))
        return _draws(counts, seed), own


@lru_cache(maxsize=16)
def _draws(counts: tuple[int, ...], seed: int) -> np.ndarray:
    """(RESAMPLES, sum(counts)) int64: multiplicities of sentences, for ``counts`` sentences of each speaker in turn."""
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
    """``scale`` * sum(numerators) / sum(denominators) over recordings, (N,) each; entries that are not finite are left out."""
    top, bottom = np.asarray(numerators, dtype=np.float64), np.asarray(denominators, dtype=np.float64)
    known = np.isfinite(top) & np.isfinite(bottom)
    top, bottom = np.where(known, top, 0.0), np.where(known, bottom, 0.0)
    facts = {"unit": unit, "definition": definition, "judge": judge, "n": int(known.sum())}
    facts["speakers"] = len({speaker for speaker, is_known in zip(groups.speakers, known, strict=True) if is_known})
    if not bottom.sum():
        return Metric(name, None, **facts)
    weights, own = groups.weights(seed)
    sums = [np.bincount(own, weights=part, minlength=weights.shape[1]) for part in (top, bottom)]
    interval = None
    if weights.shape[1] > 1:
        drawn = weights @ np.stack(sums, axis=1)
        interval = _middle(scale * drawn[drawn[:, 1] > 0, 0] / drawn[drawn[:, 1] > 0, 1])
    return Metric(name, float(scale * top.sum() / bottom.sum()), interval=interval, **facts)


def mean(name: str, values: Sequence[float] | np.ndarray, groups: Groups, **facts) -> Metric:
    """The mean over recordings of ``values`` (N,); keywords as for ``ratio``."""
    values = np.asarray(values, dtype=np.float64)
    return ratio(name, values, np.ones_like(values), groups, **facts)


def share(
    name: str, flags: Sequence[bool] | np.ndarray, groups: Groups, *, definition: str, judge: str, seed: int = 0
) -> Metric:
    """The share of recordings whose flag (N,) is set, in %."""
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
    """Any statistic of recordings: ``compute`` takes indices of them (with repetition) and returns a number."""
    weights, own = groups.weights(seed)
    everything = np.arange(len(own))
    interval = None
    if weights.shape[1] > 1:
        drawn = [compute(np.repeat(everything, row[own])) for row in weights[: RESAMPLES // 4] if row.any()]
        interval = _middle(np.array(drawn))
    facts = {"n": len(own), "speakers": len(set(groups.speakers)), "interval": interval}
    return Metric(name, float(compute(everything)), unit, definition, judge, **facts)


def _middle(values: np.ndarray) -> tuple[float, float] | None:
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
