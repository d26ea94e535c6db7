"""Counting models of sequences: what a learned prior must beat."""

from collections.abc import Sequence

import numpy as np

STRENGTHS = (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
HELD_BACK = 10  # every tenth sequence chooses the strength


class Unigram:
    """p(b) = (count(b) + 1) / (all + size)."""

    def __init__(self, sequences: Sequence[np.ndarray], size: int):
        counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *sequences]), minlength=size)
        self.probabilities = (counts + 1) / (counts.sum() + size)

    def bits(self, sequence: np.ndarray) -> float:
        """-log2 p of a whole sequence (T,)."""
        return float(-np.log2(self.probabilities[sequence]).sum())


class Bigram:
    """p(b | a) = (count(a, b) + strength * p(b)) / (count(a) + strength), p(b) the Unigram's.

    What is before the first is a symbol of its own. ``strength`` None: the best of STRENGTHS for every tenth of the
    sequences under the counts of the others.
    """

    def __init__(self, sequences: Sequence[np.ndarray], size: int, strength: float | None = None):
        if strength is None:
            held_back = sequences[::HELD_BACK]
            others = [s for i, s in enumerate(sequences) if i % HELD_BACK] or sequences
            trial, costs = Bigram(others, size, STRENGTHS[0]), {}
            for trial.strength in STRENGTHS:
                costs[trial.strength] = sum(trial.bits(one) for one in held_back)
            strength = min(costs, key=costs.get)
        self.size, self.strength = size, strength
        self.below = Unigram(sequences, size).probabilities
        pairs = [_before(s, size) * size + s for s in sequences]
        flat = np.bincount(np.concatenate([np.zeros(0, np.int64), *pairs]), minlength=(size + 1) * size)
        self.counts = flat.reshape(size + 1, size)
        self.totals = self.counts.sum(1)

    def probability(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """p(after | before) of symbols; ``size`` as ``before`` is the beginning."""
        share = self.counts[before, after] + self.strength * self.below[after]
        return share / (self.totals[before] + self.strength)

    def bits(self, sequence: np.ndarray) -> float:
        """-log2 p of a whole sequence (T,)."""
        return float(-np.log2(self.probability(_before(sequence, self.size), sequence)).sum())


def _before(sequence: np.ndarray, size: int) -> np.ndarray:
    return np.concatenate([[size], sequence[:-1]]).astype(np.int64)[: len(sequence)]
