"""Leaks planted in real speech: every speaker figure of every encoder must rank them, by the path that vqvc-evaluate takes."""

import dataclasses

import numpy as np
import pytest

from vqvc.audio import io, mulaw
from vqvc.errors import MissingExtraError
from vqvc.evaluation.evaluation_set import EvaluationClip
from vqvc.evaluation.judges.speaker_encoders import make_speaker_encoder
from vqvc.evaluation.metrics import speaker
from vqvc.evaluation.metrics.speaker import Embedded, EnrolledSpeakers

pytestmark = pytest.mark.slow  # two encoders of others embed some hundred recordings

RATE = 16000
TARGETS = ("p225", "p226", "p227", "p232", "bdl", "slt")
SOURCES = ("ls19", "ls26", "kathleen")  # never a target
ENROLLED, NATURAL, EACH = 6, 3, 4  # utterances; conversions of each source


def through_mulaw(samples):
    """What a decoder without any fault does to a recording."""
    return mulaw.decode(mulaw.encode(samples)).astype(np.float32)


@pytest.fixture(scope="module")
def speech(shared_speech):
    """{reader: recordings at RATE}."""
    found = {}
    for name in (*TARGETS, *SOURCES):
        folder = "vctk-mini" if name.startswith("p") else "read6"
        paths = sorted((shared_speech / folder / "audio" / name).glob("*.opus"))
        found[name] = [io.read(path, RATE).samples[: 6 * RATE] for path in paths[: ENROLLED + NATURAL + 2 * EACH]]
    return found


@pytest.fixture(scope="module")
def converted(speech):
    """{kind of converter: recordings}: what each makes of the same sources, and the sources."""
    clips = []
    for name in SOURCES:
        for n in range(EACH):
            wanted = TARGETS[len(clips) // 2 % len(TARGETS)]
            facts = f"{name}_{n}", name
            clips += [
                EvaluationClip("source", *facts, name, "", f"{name}_{n}", speech[name][n], False),
                EvaluationClip("conversion", *facts, wanted, "", f"{name}_{n}-{wanted}", np.zeros(0), False),
            ]
    turn = {clip.file: n for n, clip in enumerate(clips)}

    def another(clip):
        return TARGETS[(TARGETS.index(clip.target) + 2) % len(TARGETS)]

    def by(converter):
        return [
            dataclasses.replace(clip, samples=converter(clip) if clip.kind == "conversion" else clip.samples, measured={})
            for clip in clips
        ]  # fmt: skip

    def aside(name, clip):
        return speech[name][ENROLLED + NATURAL + turn[clip.file] % EACH]

    source = {clip.utt_id: clip.samples for clip in clips if clip.kind == "source"}
    return {
        "copy": by(lambda clip: source[clip.utt_id]),
        "reconstruction": by(lambda clip: through_mulaw(source[clip.utt_id])),
        "another": by(lambda clip: through_mulaw(aside(another(clip), clip))),
        "target": by(lambda clip: through_mulaw(aside(clip.target, clip))),
    }


@pytest.fixture(scope="module", params=["ge2e", "campplus"])
def found(request, speech, converted):
    """{kind of converter: {figure: value}} by one encoder, and the figures of natural speech as ``natural``."""
    try:
        encoder = make_speaker_encoder(request.param)
    except MissingExtraError as error:
        pytest.skip(str(error))
    rows = {name: encoder.embed(speech[name][: ENROLLED + NATURAL], RATE) for name in TARGETS}
    natural = [
        Embedded(row, name, name, f"{name}_{n}") for name in TARGETS for n, row in enumerate(rows[name][ENROLLED:])
    ]
    speakers = EnrolledSpeakers.of({name: list(found[:ENROLLED]) for name, found in rows.items()}, natural)
    figures = {kind: speaker.measure(clips, speakers, encoder, RATE) for kind, clips in converted.items()}
    result = {kind: {name: item.value for name, item in by["conversion"].items()} for kind, by in figures.items()}
    return result | {"natural": {name: item.value for name, item in figures["copy"]["natural"].items()}}


def test_the_target_itself_is_named_and_leaks_are_not(found):
    named = {kind: values["named_target"] for kind, values in found.items()}
    assert named["natural"] > 90 and named["target"] > 90 and named["another"] < 10
    assert max(named["copy"], named["reconstruction"]) < 50  # by chance: a source is nearest to some target


def test_similarity_to_the_target_ranks_leaks_below_the_target(found):
    near = {kind: values["similarity_to_target"] for kind, values in found.items()}
    others = found["natural"]["similarity_to_others"]
    middle = (near["natural"] + others) / 2
    assert near["target"] > middle > max(near["copy"], near["reconstruction"], near["another"])


def test_similarity_to_the_source_finds_copies_and_reconstructions(found):
    left = {kind: values.get("similarity_to_source") for kind, values in found.items()}
    assert left["copy"] == pytest.approx(1)
    assert left["copy"] > left["reconstruction"] > max(left["target"], left["another"]) + 0.2


def test_the_way_is_none_for_copies_half_for_a_third_speaker_and_long_for_the_target(found):
    way = {kind: values.get("way_to_target") for kind, values in found.items()}
    assert way["copy"] == pytest.approx(0, abs=1e-6) and abs(way["reconstruction"]) < 20
    assert way["target"] > 70 and way["target"] > way["another"] + 20 and 30 < way["another"] < 70


def test_equal_errors_are_of_the_target_alone_small_and_alike_to_natural_speech(found):
    errors = {kind: values["equal_error"] for kind, values in found.items()}
    apart = {kind: values.get("equal_error_against_natural") for kind, values in found.items()}
    assert max(errors["natural"], errors["target"]) < 10 and min(errors["copy"], errors["another"]) > 25
    assert apart["target"] > 20 and max(apart[kind] for kind in ("copy", "reconstruction", "another")) < 10
