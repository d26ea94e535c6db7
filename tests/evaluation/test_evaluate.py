"""The evaluation with a converter whose answer is known: the same phones as the wanted speaker."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from vqvc.corpus.store import PackedStore
from vqvc.errors import CorpusError, UsageError
from vqvc.evaluation import evaluation_set, suite, tables
from vqvc.evaluation.judges.recognisers import plain_words
from vqvc.evaluation.metrics import pitch, speaker_mfcc, spectrum, words


class Recogniser:
    """Answers what ``answer`` (samples -> text) does."""

    name, checksum, recipe = "planted", "abc", "planted answers"

    def __init__(self, answer):
        self.answer = answer

    def words(self, samples, sample_rate):
        return plain_words(self.answer(samples))

    def normalise(self, text):
        return plain_words(text)


@pytest.fixture(scope="module")
def store(toy):
    return PackedStore(toy.store)


@pytest.fixture(scope="module")
def made(toy, store):
    targets = evaluation_set.choose_targets(store, toy.converter.speakers, None, 2)
    sources = evaluation_set.choose_sources(store, toy.converter.speakers, targets, 6)
    planned = evaluation_set.plan(store, toy.converter.speakers, sources, targets)
    evaluation_set.make(toy.converter, store, planned, toy.exp / "eval")
    return planned


def test_targets_are_of_both_genders_and_unknown_ones_are_named(toy, store):
    targets = evaluation_set.choose_targets(store, toy.converter.speakers, None, 2)
    genders = {item.speaker: item.gender for item in store.speakers}
    assert {genders[name] for name in targets} == {"f", "m"}
    assert evaluation_set.choose_targets(store, toy.converter.speakers, ["p6"], 9) == ["p6"]
    with pytest.raises(UsageError, match="p5"):
        evaluation_set.choose_targets(store, toy.converter.speakers, ["p55"], 1)


def test_sources_are_held_out_speech_and_leave_some_of_each_unseen_speaker(toy, store):
    sources = evaluation_set.choose_sources(store, toy.converter.speakers, ["p1"], 100)
    assert {item.subset for item in sources} == {"dev", "test"}
    for name in ("p7", "p8"):
        chosen = [item for item in sources if item.speaker == name]
        assert 0 < len(chosen) <= len([item for item in store.subset("test") if item.speaker == name]) / 2
    few = evaluation_set.choose_sources(store, toy.converter.speakers, ["p1"], 4)
    assert len(few) == 4 and len({item.speaker for item in few}) == 4
    assert few == evaluation_set.choose_sources(store, toy.converter.speakers, ["p1"], 4)


def test_every_clip_is_written_and_reconstructions_are_of_known_speakers(toy, made):
    assert {clip.kind for clip in made} == {"source", "reconstruction", "conversion"}
    for clip in made:
        assert (toy.exp / "eval" / clip.file).is_file()
        assert (clip.kind == "conversion") == (clip.target != clip.speaker)
        if clip.kind == "reconstruction":
            assert clip.speaker in toy.converter.speakers


def test_a_converter_that_reaches_the_target_is_named_as_the_target(made, store):
    found = speaker_mfcc.measure(made, store)
    assert found["natural"]["named_rightly"].value > 90
    assert found["conversion"]["named_target"].value > 90
    assert found["conversion"]["named_source"].value < 10
    assert found["copy"]["named_target"].value < 10 < 90 < found["copy"]["named_source"].value
    assert found["source"]["named_target"].value > 90  # natural: the wanted voice is its own
    assert found["conversion"]["equal_error"].value < 20
    counts = speaker_mfcc.confusions(made)["conversion"]["counts"]
    assert np.array(counts).sum() == found["conversion"]["named_target"].n


def test_a_converter_that_copies_is_named_as_the_source(toy, store, tmp_path):
    class Copy(type(toy.converter)):
        def convert(self, sources, speakers, **_):
            return sources

    sources = evaluation_set.choose_sources(store, toy.converter.speakers, ["p1"], 6)
    made = evaluation_set.plan(store, toy.converter.speakers, sources, ["p1", "p2"])
    evaluation_set.make(Copy(toy.converter.known), store, made, tmp_path)
    found = speaker_mfcc.measure(made, store)
    assert found["conversion"]["named_source"].value > 90
    prosody = pitch.measure(made, 16000)
    assert prosody["conversion"]["pitch_correlation"].value == pytest.approx(1)
    assert prosody["conversion"]["pitch_rmse"].value == pytest.approx(0, abs=1e-6)
    assert prosody["conversion"]["voicing_error"].value == 0
    distortion = spectrum.measure(made, store)
    ours, copied = (distortion[kind]["distortion_to_target"] for kind in ("conversion", "copy"))
    assert (ours.value, ours.interval) == (copied.value, copied.interval)
    assert distortion["reconstruction"]["distortion_to_source"].value == 0


def test_pitch_reaches_that_of_the_target(made, store):
    found = pitch.measure(made, 16000, 0, pitch.natural_clips(made, store))
    assert found["conversion"]["pitch_to_voice"].value < 1 < found["copy"]["pitch_to_voice"].value
    wanted = {"p1": 95, "p2": 115, "p3": 135, "p4": 160, "p5": 185, "p6": 215}
    expected = np.mean([wanted[clip.target] for clip in made if clip.kind == "conversion"])
    assert found["conversion"]["median_pitch"].value == pytest.approx(expected, rel=0.1)


def test_words_are_summed_over_clips_of_a_kind(made):
    answers = {"source": None, "reconstruction": "", "conversion": "see"}

    def recognise(samples):
        clip = next(clip for clip in made if clip.samples is samples)
        return clip.text if answers[clip.kind] is None else answers[clip.kind]

    found = words.measure(made, Recogniser(recognise), 16000)
    assert found["source"]["word_error"].value == 0
    assert found["reconstruction"]["word_error"].value == 100
    assert found["source"]["word_error"].interval == (0, 0)


def test_what_cannot_be_measured_is_left_out_with_its_reason():
    def fails():
        raise CorpusError("no transcripts here")

    assert suite.section("words", fails) == {"left_out": "no transcripts here"}


def test_command_writes_figures_with_definitions_and_intervals(toy, monkeypatch, capsys):
    import vqvc
    from vqvc.cli import evaluate

    monkeypatch.setattr(vqvc, "load", lambda path: toy.converter, raising=False)
    monkeypatch.setattr(
        "vqvc.evaluation.judges.recognisers.PocketsphinxRecogniser", lambda: Recogniser(lambda samples: "see the cat")
    )
    quality = SimpleNamespace(name="overall", recipe="planted", checksum="", score=lambda samples, rate: 3.0)
    monkeypatch.setattr("vqvc.evaluation.judges.quality.available_judges", lambda: [quality])
    out = toy.exp / "eval"
    args = [
        *map(
            str,
            ("--model", toy.exp / "model.safetensors", "--store", toy.store, "--out", out, "--limit", 4, "--overwrite"),
        )
    ]
    assert evaluate.main(args) == 0
    result = json.loads((out / "evaluate.json").read_text())
    rows = list(tables.rows(result))
    assert {row.section for row in rows} - {"quality"} == {"content", "speaker", "prosody", "spectrum", "codes"}
    assert result["provenance"]["recogniser"] == {"name": "planted", "sha256": "abc"}
    assert "--speaker-encoder" in result["figures"]["encoder"]["left_out"]
    assert all(row.metric.definition and row.metric.unit for row in rows)
    codes = result["figures"]["codes"]
    assert (
        codes["abx"]["mfcc"]["within"]["value"]
        < codes["abx"]["codes"]["across"]["value"]
        < codes["abx"]["random"]["across"]["value"]
    )
    assert codes["codes_speaker_probe"]["chance"] < 30
    assert result["figures"]["quality"]["source"]["overall"]["value"] == 3
    source = next(clip for clip in result["clips"] if clip["kind"] == "source")
    assert source["codes"] and source["phones"][0][2] == "pau"
    assert "Words" in capsys.readouterr().out
    assert evaluate.main(args[:-1]) == 2
    monkeypatch.setattr(toy.converter, "checksum", "abd", raising=False)
    assert evaluate.main(args) == 2 and "codes.npz: was made by another model" in capsys.readouterr().err
