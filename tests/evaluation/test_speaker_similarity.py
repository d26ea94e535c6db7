"""Planted leaks: every speaker figure must rank copies, reconstructions and conversions as what they are."""

import numpy as np
import pytest

from vqvc.evaluation.metrics import speaker as measures
from vqvc.evaluation.metrics.speaker import Embedded, EnrolledSpeakers

NAMES = [f"p{n}" for n in range(12)]
STRANGERS = [f"q{n}" for n in range(4)]
SIZE = 32


def unit(vector):
    return vector / np.linalg.norm(vector)


class Space:
    """Speakers as directions; an utterance is its speaker's direction with noise."""

    def __init__(self, noise=0.35):
        self.rng, self.noise = np.random.default_rng(0), noise
        self.own = {name: unit(self.rng.normal(size=SIZE)) for name in NAMES + STRANGERS}

    def utterance(self, *names):
        """Of one speaker, or halfway between two."""
        middle = unit(sum(self.own[name] for name in names))
        return unit(middle + self.noise * unit(self.rng.normal(size=SIZE)))


@pytest.fixture(scope="module")
def planted():
    """(speakers, {kind: recordings}): 48 conversions by four kinds of converter, and reconstructions."""
    space = Space()
    speakers = EnrolledSpeakers.of(
        {name: [space.utterance(name) for _ in range(10)] for name in NAMES},
        [Embedded(space.utterance(name), name, name, f"{name}_{n}") for name in NAMES for n in range(5)],
    )
    made = {kind: [] for kind in ("copy", "half", "reached", "another", "reconstruction")}
    for n in range(48):
        speaker, target = STRANGERS[n % 4], NAMES[n % 12]
        other, source = NAMES[(n + 5) % 12], space.utterance(speaker)
        for kind, names in (("copy", None), ("half", (speaker, target)), ("reached", (target,)), ("another", (other,))):
            row = source if names is None else space.utterance(*names)
            made[kind].append(Embedded(row, target, speaker, f"u{n}", source))
        own = space.utterance(target)
        row = unit(own + 0.1 * unit(space.rng.normal(size=SIZE)))
        made["reconstruction"].append(Embedded(row, target, target, f"r{n}", own))
    return speakers, made


def values(planted, measure):
    speakers, made = planted
    takes_speakers = measure is not measures.similarity_to_source
    return {
        kind: measure(items, *([speakers] if takes_speakers else []), "judge").value for kind, items in made.items()
    }


def test_natural_speech_is_nearest_to_its_own_speaker(planted):
    found = {item.name: item.value for item in measures.natural_metrics(planted[0], "judge")}
    assert found["named_target"] > 95 and found["equal_error"] < 5
    assert found["similarity_to_target"] > found["similarity_to_others"] + 0.5


def test_named_target_ranks_planted_leaks(planted):
    found = values(planted, measures.named_target)
    assert found["reached"] > 95 and found["reconstruction"] > 95
    assert (
        found["copy"] < 30 and found["another"] < 10
    )  # a stranger's copy is named by chance; another voice is named itself
    assert found["copy"] < found["half"] <= found["reached"]


def test_similarity_to_target_ranks_planted_leaks(planted):
    found = values(planted, measures.similarity_to_target)
    assert max(found["copy"], found["another"]) + 0.2 < found["half"] < found["reached"] - 0.1
    natural = {item.name: item.value for item in measures.natural_metrics(planted[0], "judge")}
    assert found["reached"] == pytest.approx(natural["similarity_to_target"], abs=0.05)


def test_similarity_to_source_finds_what_was_kept_of_it(planted):
    found = values(planted, measures.similarity_to_source)
    assert found["copy"] == pytest.approx(1)
    assert found["copy"] > found["half"] + 0.1 > found["reached"] + 0.2
    assert abs(found["another"]) < 0.3 and found["reconstruction"] > 0.9


def test_the_way_is_0_for_copies_and_full_for_the_target(planted):
    speakers, made = planted
    found = values(planted, measures.way_to_target)
    assert found["copy"] == pytest.approx(0)
    assert 30 < found["half"] < 80 < found["reached"] < 110
    assert found["another"] == pytest.approx(50, abs=15)
    exact = [
        Embedded(speakers.centres[item.target], item.target, item.speaker, item.utt_id, item.source)
        for item in made["copy"]
    ]
    assert measures.way_to_target(exact, speakers, "judge").value == pytest.approx(100)


def test_equal_error_is_chance_for_copies_and_worse_for_another_speaker(planted):
    found = values(planted, measures.equal_error)
    assert max(found["reached"], found["half"]) < 5 < found["copy"]
    assert 30 < found["copy"] < 70 and found["another"] > 30


def test_only_what_reaches_the_target_is_indistinguishable_from_it(planted):
    found = values(planted, measures.equal_error_against_natural)
    assert found["copy"] < 5 and found["another"] < 5
    assert found["half"] < 25 < 35 < found["reached"] and found["reconstruction"] > 25


def test_every_conversion_figure_is_there_with_its_interval(planted):
    speakers, made = planted
    found = measures.conversion_metrics(made["half"], speakers, "judge")
    assert [item.name for item in found] == [
        "named_target", "similarity_to_target", "similarity_to_source", "way_to_target", "equal_error",
        "equal_error_against_natural",
    ]  # fmt: skip
    for item in found:
        assert item.interval[0] <= item.value <= item.interval[1] and (item.n, item.speakers) == (48, 4)
    assert "way_to_target" not in [
        item.name for item in measures.reconstruction_metrics(made["reconstruction"], speakers, "j")
    ]
