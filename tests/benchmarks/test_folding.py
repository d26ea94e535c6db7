"""The join figures of benchmarks/folding.py find what they are for, and nothing where nothing is."""

from pathlib import Path

import numpy as np
import pytest
import scripts

RATE = 16000
PLACES = np.array([2000, 4000, 6000, 9000])
SINE = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(12000) / RATE)


@pytest.fixture(scope="module")
def folding():
    return scripts.load("benchmarks/folding.py")


def test_a_clean_sine_has_no_joins(folding):
    for values in folding.join_figures(SINE, PLACES, RATE).values():
        np.testing.assert_allclose(values, 0, atol=0.5)


def test_a_click_is_found_where_it_is(folding):
    clicked = SINE.copy()
    clicked[PLACES[1]] += 0.2
    bend = folding.join_figures(clicked, PLACES, RATE)["bend"]
    assert bend[1] > 10 and np.abs(bend[[0, 2, 3]]).max() < 0.5


def test_a_step_is_found_in_either_direction(folding):
    louder = SINE * np.where((np.arange(len(SINE)) >= PLACES[0]) & (np.arange(len(SINE)) < PLACES[2]), 2, 1)
    step = folding.join_figures(louder, PLACES, RATE)["step"]
    np.testing.assert_allclose(step, [6.02, 0, 6.02, 0], atol=0.1)


def test_waves_that_cancel_in_the_crossfade_are_found(folding):
    """Turned by half a period: the linear cross-fade of 4 ms goes through zero."""
    fade = np.clip((np.arange(len(SINE)) - PLACES[0]) / 32, -1, 1)
    level = folding.join_figures(SINE * fade, PLACES, RATE)["level"]
    assert level[0] < -3 and np.abs(level[1:]).max() < 0.5


def test_places_to_compare_with_are_as_loud_as_joins_and_no_joins(folding):
    noise = np.random.default_rng(0).normal(size=12000) * (1.1 + np.sin(np.arange(12000) / 700))
    places = folding.as_quiet(noise, PLACES, RATE)
    assert len(set(places.tolist())) == len(PLACES)
    assert np.abs(places[:, None] - PLACES).min() > 0.02 * RATE
    levels = [folding.contrast(noise, at, RATE)[1] for at in (PLACES, places)]
    np.testing.assert_allclose(*levels, atol=0.5)
    assert len(folding.as_quiet(noise, PLACES[:0], RATE)) == 0


def test_alike_places_do_not_differ_and_others_do(folding):
    rng = np.random.default_rng(0)
    first, second = ([rng.normal(size=30) for _ in range(8)] for _ in range(2))
    same, shifted = (folding.compare(first, [values + by for values in second], 0) for by in (0, 1))
    assert same["interval_95"][0] < 0 < same["interval_95"][1] and min(same["ks_p"], same["rank_p"]) > 0.01
    assert shifted["interval_95"][1] < 0 and max(shifted["ks_p"], shifted["rank_p"]) < 1e-6


@pytest.mark.parametrize("absent", ["--store", "--model"])
def test_what_is_missing_is_named_in_a_sentence(folding, tmp_path, capsys, absent):
    options = {"--store": tmp_path, "--model": Path(__file__), absent: tmp_path / "nothing"}
    given = [str(word) for pair in options.items() for word in pair]
    assert folding.run(folding.make_parser, folding.work, given) == 2
    assert f"{tmp_path / 'nothing'}: does not exist" in capsys.readouterr().err
