"""Do the words survive? A recogniser transcribes every recording; jiwer counts the errors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vqvc._util import extras
from vqvc.errors import CorpusError
from vqvc.evaluation import metric
from vqvc.evaluation.judges.recognisers import plain_words
from vqvc.evaluation.metric import Groups, Metric


@dataclass(frozen=True)
class Errors:
    """Edits and reference lengths of each utterance, (U,) each: the rate is sum(edits) / sum(lengths)."""

    edits: np.ndarray
    lengths: np.ndarray

    @property
    def rate(self) -> float:
        return float(self.edits.sum() / self.lengths.sum())


def count_errors(
    references: Sequence[str],
    heard: Sequence[str],
    unit: str = "word",
    normalise: Callable[[str], str] = plain_words,
) -> Errors:
    """Insertions, deletions and substitutions of words or characters (``unit``), per utterance, by jiwer.

    normalise: what both sides go through. Utterances whose reference holds no word are left out. Raises CorpusError when
    none is left: the rate of nothing says nothing.
    """
    jiwer = extras.load("jiwer", "evaluate")
    process = jiwer.process_words if unit == "word" else jiwer.process_characters
    edits, lengths = [], []
    for reference, answer in zip(references, heard, strict=True):
        reference, answer = normalise(reference), normalise(answer)
        if not reference:
            continue
        counts = process(reference, answer)
        edits.append(counts.substitutions + counts.deletions + counts.insertions)
        lengths.append(counts.substitutions + counts.deletions + counts.hits)
    if not lengths:
        raise CorpusError(f"{unit} error needs transcripts: none of the utterances has a text with words")
    return Errors(np.array(edits), np.array(lengths))


def error_rate(
    name: str,
    references: Sequence[str],
    answers: Sequence[str],
    groups: Groups,
    *,
    unit: str,
    judge: str,
    definition: str,
    seed: int = 0,
) -> Metric:
    """Errors in words or characters (``unit``) of recordings whose references hold a word, in %.

    references and answers, (N,) each, are normalised already. Raises CorpusError when no reference holds a word.
    """
    kept = [index for index, reference in enumerate(references) if reference]
    found = count_errors(
        [references[index] for index in kept], [answers[index] for index in kept], unit, normalise=lambda text: text
    )
    own = Groups(tuple(groups.speakers[index] for index in kept), tuple(groups.sentences[index] for index in kept))
    return metric.ratio(
        name, found.edits, found.lengths, own, unit="%", scale=100.0, seed=seed, definition=definition, judge=judge
    )
