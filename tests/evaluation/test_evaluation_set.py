"""Which recordings are made: targets in turn, voices of few sentences, speakers of a second store; contours that are replaced."""

import dataclasses
import shutil
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from vqvc.corpus.store import PackedStore
from vqvc.errors import CorpusError
from vqvc.evaluation import evaluation_set
from vqvc.evaluation.background import BackgroundJudges
from vqvc.evaluation.evaluation_set import EvaluationClip
from vqvc.evaluation.metrics import quality, words
from vqvc.evaluation.metrics.contour import flat, with_height_of
from vqvc.evaluation.metrics.speaker import embed, embedding, enrol, measure
from vqvc.evaluation.strangers import WithStrangers


def sources(*speakers):
    return [SimpleNamespace(utt_id=f"{name}_{n}", speaker=name) for n, name in enumerate(speakers)]


def test_targets_take_turns_and_none_is_the_source():
    pairs = evaluation_set.assign(sources(*"abcd" * 6), list("abcd"), each=1)
    assert len(pairs) == 24 and all(item.speaker != target for item, target in pairs)
    assert (
        max(Counter(target for _, target in pairs).values()) - min(Counter(target for _, target in pairs).values()) <= 1
    )
    assert len(evaluation_set.assign(sources(*"abcd"), list("abcd"), each=0)) == 12
    assert pairs == evaluation_set.assign(sources(*"abcd" * 6), list("abcd"), each=1)


def test_speakers_of_few_sentences_get_as_many_conversions_each():
    pairs = evaluation_set.assign(sources(*"abab"), ["c"], each=1, few=["x", "y", "a"], few_each=2)
    counts = Counter(target for _, target in pairs)
    assert counts == {"c": 4, "x": 2, "y": 2, "a": 2}
    assert all(item.speaker != target for item, target in pairs)
    assert len(set((item.utt_id, target) for item, target in pairs)) == len(pairs)


def test_no_target_with_a_handful_of_sentences_comes_before_one_with_more():
    """Six women with much speech and one man with much, and two men with little: all seven come first."""
    seconds = {f"w{n}": 90 - n for n in range(6)} | {"m0": 80, "m1": 30, "m2": 20}
    train = [SimpleNamespace(speaker=name, utt_id=name, length_samples=16000 * much) for name, much in seconds.items()]
    people = [SimpleNamespace(speaker=name, gender=name[0]) for name in seconds]
    store = SimpleNamespace(subset=lambda name: train, speakers=people, sample_rate=16000)
    chosen = evaluation_set.choose_targets(store, list(seconds), None, 8)
    assert chosen[:2] == ["m0", "w0"] and set(chosen[:7]) == {"m0", *(f"w{n}" for n in range(6))} and chosen[7] == "m1"


def clip(kind, seen=True, few=False):
    return EvaluationClip(kind, "u", "a", "b", "", "", np.zeros(1), seen, few=few)


def test_unseen_speakers_and_targets_of_few_sentences_are_kinds_of_their_own():
    made = [
        clip("source"),
        clip("source", False),
        clip("conversion"),
        clip("conversion", False),
        clip("conversion", few=True),
    ]
    counts = {kind: len(group) for kind, group in evaluation_set.by_kind(made, sources_apart=True).items()}
    assert counts == {
        "source": 2, "conversion": 2, "conversion_of_seen": 1, "conversion_of_unseen": 1, "source_of_seen": 1,
        "source_of_unseen": 1, "conversion_into_few": 1,
    }  # fmt: skip
    assert "conversion_of_seen" not in evaluation_set.by_kind([clip("conversion")])


@pytest.fixture
def renamed(toy, tmp_path):
    """The toy store again, its utterances and unseen speakers under other names."""
    shutil.copytree(toy.store, tmp_path / "other")
    for name in ("utts.tsv", "speakers.tsv"):
        path = tmp_path / "other" / name
        path.write_text(path.read_text().replace("p7", "z7").replace("p8", "z8"))
    return PackedStore(tmp_path / "other")


def test_strangers_come_from_a_second_store_with_their_own_samples(toy, renamed):
    store = PackedStore(toy.store)
    known = [*toy.converter.speakers, "p7", "p8"]
    both = WithStrangers(store, renamed, known)
    added = [item for item in both.utterances if item.speaker in ("z7", "z8")]
    assert added and {item.subset for item in added} == {"test"} and len(both.utterances) == len(store) + len(added)
    for item in added:
        original = next(one for one in renamed.utterances if one.utt_id == item.utt_id)
        assert np.array_equal(both.waveform(item), renamed.waveform(original))
        assert both.utterance(item.utt_id) == original and np.array_equal(
            both.waveform(item.utt_id), both.waveform(item)
        )
    assert both.utterance(store.utterances[0].utt_id) == store.utterances[0]
    assert np.array_equal(both.waveform(store.utterances[0]), store.waveform(store.utterances[0]))
    assert {item.speaker for item in both.speakers} >= {"p1", "z7", "z8"}
    with pytest.raises(CorpusError, match="the model knows all of its speakers"):
        WithStrangers(store, renamed, [*known, "z7", "z8"])
    with pytest.raises(CorpusError, match="is in .* too"):
        WithStrangers(store, PackedStore(toy.store), toy.converter.speakers)


def test_a_contour_takes_heights_of_another_and_keeps_its_voicing():
    contour = np.array([[1.0, 2.0, 0.0, 3.0, 1.0], [1.0, 1.0, 0.0, 1.0, 0.5], [1.0] * 5])
    other = np.array([[4.0, 0.0, 6.0], [1.0, 0.0, 1.0], [1.0] * 3])
    made = with_height_of(contour, other)
    assert made[0].tolist() == [4, 5, 0, 4, 2.5] and np.array_equal(made[1:], contour[1:])
    assert not flat(contour)[0].any() and np.array_equal(flat(contour)[1:], contour[1:])
    assert np.array_equal(with_height_of(contour, np.zeros((3, 4))), flat(contour))
    assert contour[0, 0] == 1  # what came in is left as it was


class ByPitch:
    """A speaker encoder that goes by the pitch of the toy voices."""

    name, checksum, recipe = "pitch", "abc", "strongest low frequency"

    def embed(self, recordings, sample_rate):
        from vqvc.audio.pitch import f0

        rows = []
        for samples in recordings:
            octaves = np.log2(np.nanmedian(f0(samples, sample_rate)[1]) / 90)
            rows.append(np.exp(-0.5 * ((octaves - np.arange(0, 1.5, 0.1)) / 0.1) ** 2))
        return np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


class Spelling:
    """A recogniser that answers with a constant."""

    name, checksum, recipe = "constant", "abc", "constant"

    def words(self, samples, sample_rate):
        return "see the cat"

    def normalise(self, text):
        return text


def transcribes(recogniser):
    return partial(words.transcribe, recogniser=recogniser, sample_rate=16000)


def test_recordings_are_judged_while_others_are_made_and_figures_follow(toy, tmp_path):
    store = PackedStore(toy.store)
    chosen = evaluation_set.choose_sources(store, toy.converter.speakers, ["p1", "p3"], 6)
    encoder, handed = ByPitch(), []
    made = evaluation_set.plan(store, toy.converter.speakers, chosen, ["p1", "p3", "p6"])
    assert not any(len(clip.samples) for clip in made)
    with BackgroundJudges([transcribes(Spelling()), partial(embed, encoder=encoder, sample_rate=16000)], 3) as judges:

        def ready(some):
            handed.append(len(some))
            judges.add(some)

        evaluation_set.make(toy.converter, store, made, tmp_path, ready=ready)
        judges.wait()
    assert sum(handed) == len(made) and len(handed) > 1
    assert all(clip.measured["transcript"] == "see the cat" and len(embedding(clip, encoder)) for clip in made)
    speakers = enrol(store, ["p1", "p3", "p6"], [clip.utt_id for clip in made], encoder)
    figures = measure(made, speakers, encoder, store.sample_rate)
    assert figures["natural"]["named_target"].value > 90 < figures["conversion"]["named_target"].value
    assert figures["copy"]["similarity_to_source"].value == pytest.approx(1)
    assert figures["copy"]["named_target"].value < figures["conversion"]["named_target"].value
    assert {"conversion_of_seen", "conversion_of_unseen"} <= set(figures)


def test_what_a_judge_raises_is_raised(toy):
    class Broken(Spelling):
        def words(self, samples, sample_rate):
            raise CorpusError("no words")

    with pytest.raises(CorpusError, match="no words"):
        with BackgroundJudges([transcribes(Broken())]) as judges:
            judges.add([clip("source")])
            judges.wait()


def test_what_a_judge_raised_is_raised_when_more_is_handed_over():
    class Broken(Spelling):
        def words(self, samples, sample_rate):
            raise CorpusError("no words")

    with pytest.raises(CorpusError, match="no words"):
        with BackgroundJudges([transcribes(Broken())], 1) as judges:
            judges.add([clip("source")])
            judges.submit(lambda: None).result()  # after the first recording: there is one thread
            judges.add([clip("source")])


def test_work_that_is_no_recording_is_done_among_them():
    with BackgroundJudges([], 2) as judges:
        assert judges.submit(lambda: 6 * 7).result() == 42


def test_quality_is_scored_on_the_recordings_that_were_chosen_before_they_were_made():
    made = [EvaluationClip("conversion", f"u{n}", "a", "b", "", f"{n}", np.zeros(1), True) for n in range(30)]
    planned = [dataclasses.replace(item, samples=np.zeros(0)) for item in made]
    judge = SimpleNamespace(name="overall", recipe="", checksum="", score=lambda samples, rate: 3.0)
    names = {item.file for item in quality.choose(planned)}
    assert len(names) == quality.QUALITY_EACH
    quality.score([item for item in made if item.file in names], [judge], 16000)
    found = quality.measure(made, 16000, judges=[SimpleNamespace(**{**vars(judge), "score": None})])  # scores no other
    assert found["conversion"]["overall"].n == quality.QUALITY_EACH
