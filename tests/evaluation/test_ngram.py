"""Counting models against figures worked out by hand."""

import math

import numpy as np
import pytest

from vqvc.evaluation.ngram import Bigram, Unigram

A, B = np.array([0, 0, 1]), np.array([1, 0])


def test_unigram_by_hand():
    model = Unigram([A, B], 3)  # counts 3, 2, 0
    assert model.probabilities.tolist() == [4 / 8, 3 / 8, 1 / 8]
    assert model.bits(np.array([0, 2])) == pytest.approx(1 + 3)


def test_bigram_by_hand():
    model = Bigram([A, B], 3, strength=2)
    # after 0: 0 once, 1 once; after 1: 0 once; at the beginning (3): 0 once, 1 once
    after = {
        (0, 0): (1 + 2 * 4 / 8) / 4,
        (0, 2): (0 + 2 / 8) / 4,
        (1, 0): (1 + 2 * 4 / 8) / 3,
        (2, 1): 3 / 8,
        (3, 1): (1 + 6 / 8) / 4,
    }
    for (before, one), share in after.items():
        assert model.probability(np.array([before]), np.array([one]))[0] == pytest.approx(share)
    by_hand = -math.log2(after[3, 1]) - math.log2(after[1, 0]) - math.log2(after[0, 2])
    assert model.bits(np.array([1, 0, 2])) == pytest.approx(by_hand)


def test_every_row_is_a_distribution_and_nothing_costs_nothing():
    model = Bigram([A, B], 3)
    for before in range(4):
        assert model.probability(np.full(3, before), np.arange(3)).sum() == pytest.approx(1)
    assert model.bits(A[:0]) == 0.0 and Unigram([], 3).bits(A[:0]) == 0.0


def test_the_strength_follows_how_much_the_pairs_tell():
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 20, 30) for _ in range(40)]
    cycles = [(np.arange(30) + rng.integers(20)) % 20 for _ in range(40)]
    assert Bigram(noise, 20).strength > 50 * Bigram(cycles, 20).strength
    assert Bigram(cycles, 20).bits(cycles[1]) / 30 < 0.5
