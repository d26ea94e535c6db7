"""Measurements and their intervals, where the answer is known."""

import numpy as np
import pytest

from vqvc.evaluation import metric
from vqvc.evaluation.metric import Groups

FACTS = {"definition": "what", "judge": "who"}


def groups(*counts):
    """``counts`` sentences of each speaker."""
    speakers = [f"s{n}" for n, count in enumerate(counts) for _ in range(count)]
    return Groups(tuple(speakers), tuple(f"{name}_{n}" for n, name in enumerate(speakers)))


def test_value_is_the_ratio_of_sums_and_lies_in_its_interval():
    rng = np.random.default_rng(0)
    edits, lengths = rng.integers(0, 4, 40), rng.integers(5, 12, 40)
    found = metric.ratio("x", edits, lengths, groups(10, 10, 10, 10), unit="%", scale=100.0, **FACTS)
    assert found.value == pytest.approx(100 * edits.sum() / lengths.sum())
    assert found.interval[0] < found.value < found.interval[1]
    assert (found.n, found.speakers) == (40, 4)


def test_differences_between_speakers_widen_the_interval():
    """The same forty values: as forty speakers, and as four whose values are alike within each."""
    values = np.repeat([0.0, 0.0, 1.0, 1.0], 10)
    alike = metric.mean("x", values, groups(10, 10, 10, 10), unit="", **FACTS)
    alone = metric.mean("x", values, groups(*[1] * 40), unit="", **FACTS)
    assert alike.interval[1] - alike.interval[0] > 2 * (alone.interval[1] - alone.interval[0])


def test_recordings_of_one_sentence_stay_together():
    """Ten copies of every recording say no more than one."""
    values = np.random.default_rng(0).random(20)
    once = metric.mean("x", values, groups(5, 5, 5, 5), unit="", **FACTS)
    many = groups(5, 5, 5, 5)
    repeated = Groups(tuple(np.repeat(many.speakers, 10)), tuple(np.repeat(many.sentences, 10)))
    assert metric.mean("x", np.repeat(values, 10), repeated, unit="", **FACTS).interval == pytest.approx(once.interval)


def test_the_mean_by_resampled_indices_is_the_mean_by_weights():
    values = np.random.default_rng(1).random(30)
    direct = metric.mean("x", values, groups(10, 20), unit="", **FACTS)
    drawn = metric.statistic("x", lambda index: float(values[index].mean()), groups(10, 20), unit="", **FACTS)
    assert drawn.value == pytest.approx(direct.value)
    assert drawn.interval == pytest.approx(direct.interval, abs=0.05)


def test_what_is_not_finite_is_left_out_and_nothing_gives_no_value():
    found = metric.mean("x", [1.0, np.nan, 3.0], groups(3), unit="", **FACTS)
    assert (found.value, found.n) == (2.0, 2)
    nothing = metric.mean("x", [np.nan], groups(1), unit="", **FACTS)
    assert nothing.value is None and nothing.as_figure()["value"] is None


def test_one_sentence_has_no_interval():
    assert metric.mean("x", [1.0], groups(1), unit="", **FACTS).as_figure()["interval_95"] == [None, None]


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(2).random(20)
    one, same, other = (metric.mean("x", values, groups(10, 10), unit="", seed=seed, **FACTS) for seed in (0, 0, 1))
    assert one == same and one.interval != other.interval
