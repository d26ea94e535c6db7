"""A verdict is never better than its worst judge."""

from types import SimpleNamespace

import pytest

from vqvc.evaluation.verdicts import verdicts


def run(figures):
    """A run that has an evaluation alone; figures: {(section, kind, name): value}."""
    nested = {}
    for (section, kind, name), value in figures.items():
        nested.setdefault(section, {}).setdefault(kind, {})[name] = {"value": value}
    return SimpleNamespace(evaluation={"figures": nested}, probe=None, last=lambda *_: None)


def grade(figures, what):
    found = {item.what: item for item in verdicts(run(figures))}
    return found[what].grade, found[what].answer


def word_errors(natural, conversion, kind="conversion", source="source"):
    return {("content", source, "word_error"): natural, ("content", kind, "word_error"): conversion}


@pytest.mark.parametrize(
    ("natural", "conversion", "expected"),
    [
        (6, 8, "good"),
        (6, 13, "fair"),
        (8, 40, "bad"),
        (80, 101, "bad"),
        (65, 66, "bad"),
        (2, 101, "bad"),
        (33, 50, "fair"),
    ],
)
def test_words(natural, conversion, expected):
    assert grade(word_errors(natural, conversion), "Do the words survive?")[0] == expected


def test_words_of_unseen_speakers_count_as_much():
    seen = word_errors(6, 8, "conversion_of_seen", "source_of_seen")
    unseen = word_errors(8, 40, "conversion_of_unseen", "source_of_unseen")
    both = word_errors(7, 20) | seen | unseen
    found = grade(both, "Do the words survive?")
    assert found[0] == "bad" and "8 % of the words wrong for speakers of training" in found[1] and "unseen" in found[1]


def voice(named=95, near=0.9, left=0.6, apart=40, mfcc=99):
    by_encoder = {
        "named_target": named,
        "similarity_to_target": near,
        "similarity_to_source": left,
        "equal_error_against_natural": apart,
    }
    figures = {("encoder", "conversion", name): value for name, value in by_encoder.items()}
    figures |= {
        ("encoder", "natural", "similarity_to_target"): 0.93,
        ("encoder", "natural", "similarity_to_others"): 0.59,
    }
    return figures | {("speaker", "conversion", "named_target"): mfcc}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "good"),
        ({"named": 70}, "fair"),
        ({"near": 0.78}, "fair"),
        ({"left": 0.73}, "bad"),
        ({"apart": 5}, "bad"),
        ({"named": 30}, "bad"),
        ({"mfcc": 20}, "bad"),
    ],
)
def test_speaker_similarity_is_as_good_as_its_worst_judge(changes, expected):
    assert grade(voice(**changes), "Is it the wanted voice?")[0] == expected


def test_a_second_encoder_counts_as_much_as_the_first():
    second = {
        ("encoder_campplus", kind, name): value
        for (section, kind, name), value in voice(named=50).items()
        if section == "encoder"
    }
    found = grade(voice() | second, "Is it the wanted voice?")
    assert found[0] == "bad" and "95 % of conversions" in found[1] and "50 % of conversions" in found[1]


def test_mfcc_alone_never_makes_it_good():
    found = grade({("speaker", "conversion", "named_target"): 100}, "Is it the wanted voice?")
    assert found[0] == "fair" and "post-filter" in found[1]


def test_quality_is_as_good_as_the_worse_of_two_judges():
    figures = {("quality", "source", "overall"): 3.3, ("quality", "conversion", "overall"): 3.2}
    assert grade(figures, "Does it sound clean?")[0] == "good"
    figures |= {("quality", "source", "distillmos"): 4.2, ("quality", "conversion", "distillmos"): 2.9}
    assert grade(figures, "Does it sound clean?")[0] == "bad"


def test_no_figures_no_verdicts():
    assert verdicts(run({})) == []
