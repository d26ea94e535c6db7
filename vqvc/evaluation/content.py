"""Do the words survive? A recogniser (pocketsphinx, its English model in the wheel) listens; jiwer counts the errors."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqvc._util import extras
from vqvc.errors import CorpusError

RECIPE = (
    "pocketsphinx 5 with the US English model of its wheel, each recording alone (batch mean normalisation), 16 kHz; "
    "capitals and punctuation removed; errors counted by jiwer, summed over utterances"
)


def plain_words(text: str) -> str:
    """``text`` in lower case, letters and apostrophes only, single spaces: what both sides of a word error look like."""
    text = text.lower().replace("\u2019", "'")
    return " ".join(word.strip("'") for word in re.sub(r"[^a-z' ]+", " ", text).split() if word.strip("'"))


class Recogniser:
    """pocketsphinx, loaded once; every recording is heard afresh."""

    def __init__(self) -> None:
        self.decoder = extras.load("pocketsphinx", "evaluate").Decoder(samprate=16000, loglevel="FATAL", cmn="batch")

    def words(self, samples: np.ndarray, sample_rate: int) -> str:
        """What is heard in (T,) float samples, in plain words; empty when nothing is."""
        if sample_rate != 16000:
            from vqvc.audio.resample import resample

            samples = resample(np.asarray(samples, np.float32), sample_rate, 16000)
        loudest = float(np.abs(samples).max()) if len(samples) else 0.0
        if not loudest:
            return ""
        pcm = (np.asarray(samples) * min(1.0, 0.99 / loudest) * 32767).astype("<i2")
        self.decoder.start_utt()
        self.decoder.process_raw(pcm.tobytes(), no_search=False, full_utt=True)
        self.decoder.end_utt()
        heard = self.decoder.hyp()
        return plain_words(re.sub(r"\(\d+\)|<[^>]*>|\[[^\]]*\]", " ", heard.hypstr)) if heard else ""


@dataclass(frozen=True)
class Errors:
    """Edits and reference lengths of each utterance, (U,) each: the rate is sum(edits) / sum(lengths)."""

    edits: np.ndarray
    lengths: np.ndarray

    @property
    def rate(self) -> float:
        return float(self.edits.sum() / self.lengths.sum())


def count_errors(references: Sequence[str], heard: Sequence[str], unit: str = "word") -> Errors:
    """Insertions, deletions and substitutions of words or characters (``unit``), per utterance, by jiwer.

    Raises CorpusError when no reference holds a word: the rate of nothing says nothing.
    """
    jiwer = extras.load("jiwer", "evaluate")
    process = jiwer.process_words if unit == "word" else jiwer.process_characters
    edits, lengths = [], []
    for reference, answer in zip(references, heard, strict=True):
        reference, answer = plain_words(reference), plain_words(answer)
        if not reference:
            continue
        counts = process(reference, answer)
        edits.append(counts.substitutions + counts.deletions + counts.insertions)
        lengths.append(counts.substitutions + counts.deletions + counts.hits)
    if not lengths:
        raise CorpusError(f"{unit} error needs transcripts: none of the utterances has a text with words")
    return Errors(np.array(edits), np.array(lengths))
