"""Unigram and bigram models of code sequences, the baselines of the learned prior."""

from collections.abc import Sequence

import numpy as np

STRENGTHS = (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)  # candidates for the strength of smoothing
HELD_BACK = 10  # every tenth sequence is held back to choose the strength


class Unigram:
    """Add-one smoothed unigrams: p(b) = (count(b) + 1) / (total + size).

    sequences: (T,) integers in [0, size) each.
    """

    def __init__(self, sequences: Sequence[np.ndarray], size: int):
        counts = np.bincount(np.concatenate([np.zeros(0, np.int64), *sequences]), minlength=size)
        self.probabilities = (counts + 1) / (counts.sum() + size)

    def bits(self, sequence: np.ndarray) -> float:
        """-log2 p of a whole sequence (T,)."""
        return float(-np.log2(self.probabilities[sequence]).sum())


class Bigram:
    """Bigrams with Dirichlet smoothing: p(b | a) = (count(a, b) + strength * p(b)) / (count(a) + strength).

    p(b) is that of ``Unigram``. The start of a sequence is a symbol of its own. strength: when None, the best of
    STRENGTHS for every tenth sequence, with the counts of the others.
    """

    def __init__(self, sequences: Sequence[np.ndarray], size: int, strength: float | None = None):
        if strength is None:
            strength = self._best_strength(sequences, size)
        self.size, self.strength = size, strength
        self.below = Unigram(sequences, size).probabilities
        pairs = [_before(sequence, size) * size + sequence for sequence in sequences]
        flat = np.bincount(np.concatenate([np.zeros(0, np.int64), *pairs]), minlength=(size + 1) * size)
        self.counts = flat.reshape(size + 1, size)
        self.totals = self.counts.sum(1)

    @staticmethod
    def _best_strength(sequences: Sequence[np.ndarray], size: int) -> float:
        held_back = sequences[::HELD_BACK]
        others = [sequence for i, sequence in enumerate(sequences) if i % HELD_BACK] or sequences
        model, bits = Bigram(others, size, STRENGTHS[0]), {}
        for strength in STRENGTHS:
            model.strength = strength
            bits[strength] = sum(model.bits(sequence) for sequence in held_back)
        return min(STRENGTHS, key=lambda strength: bits[strength])

    def probability(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """p(after | before) of symbols, elementwise. In ``before``, ``size`` stands for the start of a sequence."""
        smoothed = self.counts[before, after] + self.strength * self.below[after]
        return smoothed / (self.totals[before] + self.strength)

    def bits(self, sequence: np.ndarray) -> float:
        """-log2 p of a whole sequence (T,)."""
        return float(-np.log2(self.probability(_before(sequence, self.size), sequence)).sum())


def _before(sequence: np.ndarray, size: int) -> np.ndarray:
    """The symbol before each symbol of a sequence (T,); ``size`` before the first."""
    return np.concatenate([[size], sequence[:-1]]).astype(np.int64)[: len(sequence)]
