"""The split: no sentence and no unseen speaker reaches training, and the order of files cannot change it."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.corpus.source import Item
from vqvc.corpus.splits import FEW_SENTENCES, choose_held_out, choose_unseen, normalise_text, sentence_of, split
from vqvc.errors import UsageError


def _corpus(speakers=20, own=10):
    """24 prompts read by everybody, and some of each speaker's own."""
    items = []
    for s in range(speakers):
        name = f"p{225 + s}"
        for n in range(24 + own):
            text = f"Everybody says {n}." if n < 24 else f"{name} says {n}."
            items.append(Item(f"{name}_{n:03d}", name, Path(f"{name}_{n:03d}.wav"), text))
    return items


@given(st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_the_order_of_files_cannot_change_it(random):
    items = _corpus(8, 3)
    expected = split(items)
    random.shuffle(items)
    got = split(items)
    assert got.subset_of == expected.subset_of and got.unseen_speakers == expected.unseen_speakers


@given(st.floats(0, 0.5), st.floats(0, 0.5))
@settings(max_examples=30, deadline=None)
def test_nothing_leaks(unseen, held_out):
    items = _corpus(12, 4)
    made = split(items, unseen_speakers=unseen, held_out_sentences=held_out)
    sentences = {
        name: {sentence_of(i) for i in items if made.subset_of.get(i.utt_id) == name}
        for name in ("train", "dev", "test")
    }
    speakers = {
        name: {i.speaker for i in items if made.subset_of.get(i.utt_id) == name} for name in ("train", "dev", "test")
    }
    assert not sentences["train"] & (sentences["dev"] | sentences["test"])
    assert not speakers["test"] & (speakers["train"] | speakers["dev"])
    left_out = {item.id for item in made.left_out}
    assert left_out | set(made.subset_of) == {i.utt_id for i in items} and not left_out & set(made.subset_of)


def test_prompts_that_everybody_reads_are_held_out_for_all_or_none():
    items = _corpus()
    made = split(items, held_out_sentences=0.2)
    for n in range(24):
        subsets = {
            made.subset_of.get(f"p{225 + s}_{n:03d}") for s in range(20) if f"p{225 + s}" not in made.unseen_speakers
        }
        assert len(subsets) == 1
    assert {item.reason for item in made.left_out} == {"sentence is trained on"}


def test_a_speaker_more_moves_no_other_speaker():
    names = [f"p{n}" for n in range(200, 300)]
    before = set(choose_unseen(names, 0.1))
    assert set(choose_unseen([*names, "s5"], 0.1)) - {"s5"} == before and 2 <= len(before) <= 25


def test_from_six_speakers_on_somebody_is_unseen_and_kept_ones_never():
    for count in range(1, 12):
        names = [f"reader{n}" for n in range(count)]
        assert (len(choose_unseen(names, 1e-9)) == 1) == (count >= 6)
        assert choose_unseen(names, 0.9, keep=names) == () == choose_unseen(names, 0.0)


def test_from_twenty_sentences_on_one_is_held_out():
    for count in (1, 19, 20, 200):
        sentences = [f"sentence {n}" for n in range(count)]
        assert len(choose_held_out(sentences, 1e-9)) == (count >= 20) and not choose_held_out(sentences, 0.0)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_speakers_of_few_sentences_stay_in_train(count):
    """With four and more, the hash of the name and of the sentences decides."""
    items = [Item(f"r{s}_{n}", f"r{s}", Path("x"), f"r{s} reads {n}.") for s in range(300) for n in range(count)]
    made = split(items, unseen_speakers=0.1, held_out_sentences=0.2)
    trained = {item.speaker for item in items if made.subset_of.get(item.utt_id) == "train"}
    if count < FEW_SENTENCES:
        assert set(made.subset_of.values()) == {"train"} and not made.unseen_speakers and len(trained) == 300
    else:
        assert set(made.subset_of.values()) == {"train", "dev", "test"} and len(made.unseen_speakers) > 9


def test_the_pieces_of_one_recording_are_one_sentence():
    items = [Item(f"r{s}_1_{n}", f"r{s}", Path("x"), recording_id=f"r{s}_1") for s in range(50) for n in range(9)]
    assert set(split(items, held_out_sentences=0.5).subset_of.values()) == {"train"}


def test_speakers_of_few_sentences_move_no_other_utterance():
    items = _corpus()
    few = [Item(f"x{s}_1", f"x{s}", Path("x"), f"Only x{s} says this.") for s in range(300)]
    shared = [
        Item(f"y{s}_{n}", f"y{s}", Path("x"), f"Everybody says {n}.") for s in range(8) for n in (s, s + 8, s + 16)
    ]
    before, after = split(items), split([*few, *items, *shared])
    assert {name: after.subset_of[name] for name in before.subset_of} == before.subset_of
    assert after.unseen_speakers == before.unseen_speakers
    assert {after.subset_of[item.utt_id] for item in few} == {"train"}
    held_out = {sentence_of(item) for item in items if before.subset_of.get(item.utt_id) == "dev"}
    for item in shared:  # a prompt that the others read too is held out for all
        assert after.subset_of[item.utt_id] == ("dev" if sentence_of(item) in held_out else "train")


def test_a_sentence_is_its_words():
    same = {normalise_text(text) for text in ("Please call Stella.", "please  call STELLA", "Please, call Stella!")}
    assert same == {"please call stella"}
    assert normalise_text("We’ve") == normalise_text("We've")
    assert sentence_of(Item("a_1", "a", Path("x"), "...")) == "id:a_1"
    pieces = [Item(f"a_1_{n}", "a", Path("x"), recording_id="a_1") for n in range(3)]
    assert len({sentence_of(piece) for piece in pieces}) == 1


def test_wrong_options_are_named():
    with pytest.raises(UsageError, match="--unseen-speakers 1.5"):
        split(_corpus(), unseen_speakers=1.5)
    with pytest.raises(UsageError, match="no speaker 'p999'"):
        split(_corpus(), keep_speakers=["p999"])
