"""Who and what is kept away from training, by hashes of names, so that neither file order nor other files matter.

    train   seen speakers,   trained sentences
    dev     seen speakers,   held-out sentences (by speakers of train, but in no utterance of train)
    test    unseen speakers, and of theirs only the sentences that no utterance of train has

A sentence is its normalised text: prompts that all speakers read are held out for all of them or for none. An utterance
without text goes by its recording's name, since its sentence is unknown.

A speaker with fewer than ``FEW_SENTENCES`` different sentences is never unseen, and a sentence that only such speakers
read is never held out: what they have is needed to learn the speaker. (A held-out prompt that speakers with more also
read is held out for all, as above.) The subsets of all other utterances do not depend on speakers with few sentences,
unless so few speakers or sentences are left that the one of smallest hash is taken.
"""

import hashlib
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from vqvc.corpus.source import Item, LeftOut
from vqvc.errors import UsageError

SUBSETS = ("train", "dev", "test")
AT_LEAST_ONE_FROM = 6  # speakers, from which on one is unseen
AT_LEAST_ONE_SENTENCE_FROM = 20  # sentences, from which on one is held out
FEW_SENTENCES = 4  # a speaker with fewer stays in train
RULE = (
    "a speaker is unseen by sha256 of the name, a sentence held out by sha256 of its normalised text (its recording's "
    "name without text); train: seen speakers, other sentences; dev: seen speakers, held-out sentences; test: "
    "unseen speakers, sentences that no training utterance has; a speaker with fewer than "
    f"{FEW_SENTENCES} sentences is not unseen, a sentence of such speakers alone is not held out"
)


@dataclass(frozen=True)
class Split:
    """The subset of each utterance that has one."""

    subset_of: dict[str, str]  # utt_id -> train, dev or test
    unseen_speakers: tuple[str, ...]
    left_out: list[LeftOut]


def fraction_of(name: str, purpose: str) -> float:
    """A number in [0, 1) that depends on the name (and on what it is drawn for) alone."""
    digest = hashlib.sha256(f"{purpose}:{name}".encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def normalise_text(text: str) -> str:
    """Lower case letters and digits with single spaces, for comparing sentences."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if c.isalnum() else "" if c in "'’" else " " for c in folded)
    return " ".join(kept.split())


def sentence_of(item: Item) -> str:
    """What stands for the sentence: the normalised text, or the name of the recording."""
    return normalise_text(item.text) or f"id:{item.recording_id or item.utt_id}"


def choose_unseen(speakers: Iterable[str], fraction: float, keep: Collection[str] = ()) -> tuple[str, ...]:
    """The speakers that are kept out of train: those of small hash, at least one from six speakers on."""
    names = sorted(set(speakers))
    free = sorted((fraction_of(name, "speaker"), name) for name in names if name not in keep)
    chosen = [name for value, name in free if value < fraction]
    if not chosen and fraction > 0 and len(names) >= AT_LEAST_ONE_FROM and free:
        chosen = [free[0][1]]
    return tuple(sorted(chosen))


def choose_held_out(sentences: Iterable[str], fraction: float) -> set[str]:
    """The sentences that are kept out of train: those of small hash, at least one of twenty or more."""
    ranked = sorted((fraction_of(sentence, "sentence"), sentence) for sentence in set(sentences))
    chosen = {sentence for value, sentence in ranked if value < fraction}
    if not chosen and fraction > 0 and len(ranked) >= AT_LEAST_ONE_SENTENCE_FROM:
        chosen = {ranked[0][1]}
    return chosen


def speakers_to_split(items: Iterable[Item]) -> set[str]:
    """The speakers with at least ``FEW_SENTENCES`` different sentences; the others stay in train."""
    sentences: dict[str, set[str]] = {}
    for item in items:
        sentences.setdefault(item.speaker, set()).add(sentence_of(item))
    return {speaker for speaker, own in sentences.items() if len(own) >= FEW_SENTENCES}


def split(
    items: Iterable[Item],
    *,
    unseen_speakers: float = 0.05,
    held_out_sentences: float = 0.05,
    keep_speakers: Collection[str] = (),
) -> Split:
    """Assign every item by the rule above.

    unseen_speakers, held_out_sentences: fractions. keep_speakers: never unseen. Raises UsageError for a fraction outside
    [0, 1) or a kept speaker that the corpus lacks.
    """
    items = list(items)
    names = {item.speaker for item in items}
    for option, value in (("--unseen-speakers", unseen_speakers), ("--held-out-sentences", held_out_sentences)):
        if not 0 <= value < 1:
            raise UsageError(f"{option} {value}: must be at least 0 and under 1")
    unknown = sorted(set(keep_speakers) - names)
    if unknown:
        raise UsageError(
            f"--keep-speakers: the corpus has no speaker {unknown[0]!r}; its speakers begin with {' '.join(sorted(names)[:5])}"
        )
    to_split = speakers_to_split(items)
    unseen = choose_unseen(to_split, unseen_speakers, keep_speakers)
    sentences = choose_held_out((sentence_of(i) for i in items if i.speaker in to_split), held_out_sentences)
    held_out = {item.utt_id for item in items if sentence_of(item) in sentences}
    subset_of = {i.utt_id: "dev" if i.utt_id in held_out else "train" for i in items if i.speaker not in unseen}
    trained = {sentence_of(item) for item in items if subset_of.get(item.utt_id) == "train"}
    left_out = []
    for item in items:
        if item.speaker in unseen:
            if sentence_of(item) in trained:
                left_out.append(LeftOut(item.utt_id, "sentence is trained on", f"{item.speaker} is an unseen speaker"))
            else:
                subset_of[item.utt_id] = "test"
    return Split(subset_of, unseen, left_out)
