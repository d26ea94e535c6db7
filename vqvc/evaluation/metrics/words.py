"""Word and character error rates: a recogniser transcribes every recording, and jiwer counts the errors."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vqvc._util import extras
from vqvc.errors import CorpusError
from vqvc.evaluation import metric
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind
from vqvc.evaluation.judges.recognisers import Recogniser, plain_words
from vqvc.evaluation.metric import ByKind, Groups, Metric, by_name

NAMES = {"word": "word_error", "character": "character_error"}


@dataclass(frozen=True)
class Errors:
    """Edits and reference lengths of each utterance, (U,) each. The error rate is sum(edits) / sum(lengths)."""

    edits: np.ndarray
    lengths: np.ndarray

    @property
    def rate(self) -> float:
        return float(self.edits.sum() / self.lengths.sum())


def count_errors(
    references: Sequence[str],
    transcripts: Sequence[str],
    unit: str = "word",
    normalise: Callable[[str], str] = plain_words,
) -> Errors:
    """Count insertions, deletions and substitutions of words or characters (``unit``) per utterance, with jiwer.

    normalise: applied to references and transcripts. Utterances without a word in the reference are left out. Raises
    CorpusError if none is left.
    """
    jiwer = extras.load("jiwer", "evaluate")
    process = jiwer.process_words if unit == "word" else jiwer.process_characters
    edits, lengths = [], []
    for reference, answer in zip(references, transcripts, strict=True):
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
    """Error rate in words or characters (``unit``), in %, over the recordings with a word in the reference.

    references, answers: (N,) each, normalised. Raises CorpusError if no reference has a word.
    """
    with_words = [index for index, reference in enumerate(references) if reference]
    errors = count_errors(
        [references[index] for index in with_words],
        [answers[index] for index in with_words],
        unit,
        normalise=lambda text: text,
    )
    scored_groups = Groups(
        tuple(groups.speakers[index] for index in with_words), tuple(groups.sentences[index] for index in with_words)
    )
    return metric.ratio(
        name,
        errors.edits,
        errors.lengths,
        scored_groups,
        unit="%",
        scale=100.0,
        definition=definition,
        judge=judge,
        seed=seed,
    )


def transcribe(clips: Sequence[EvaluationClip], recogniser: Recogniser, sample_rate: int) -> None:
    """Store the transcript of every clip in ``measured``, unless it is there already."""
    for clip in clips:
        if "transcript" not in clip.measured:
            clip.measured["transcript"] = recogniser.words(clip.samples, sample_rate)


def measure(clips: Sequence[EvaluationClip], recogniser: Recogniser, sample_rate: int, seed: int = 0) -> ByKind:
    """Word and character error rates by a recogniser for each kind of recording; ``source`` is natural speech.

    ``words_changed`` compares with the recogniser's transcript of the source instead of the text, and includes
    recordings without a text. Raises CorpusError if there is neither a text nor a source in which a word is recognised.
    """
    transcribe(clips, recogniser, sample_rate)
    source = {clip.utt_id: clip.measured["transcript"] for clip in clips if clip.kind == "source"}
    result: ByKind = {}
    for kind, group in by_kind(clips, sources_apart=True).items():
        metrics = _errors(group, recogniser, seed)
        if not kind.startswith("source"):
            metrics += _changes(group, source, recogniser, seed)
        if metrics:
            result[kind] = by_name(metrics)
    if not result:
        raise CorpusError("word error needs transcripts: none of the chosen utterances has a text")
    return result


def _errors(group: Sequence[EvaluationClip], recogniser: Recogniser, seed: int) -> list[Metric]:
    texts = [recogniser.normalise(clip.text) for clip in group]
    if not any(texts):
        return []
    answers = [recogniser.normalise(clip.measured["transcript"]) for clip in group]
    return [
        error_rate(
            name,
            texts,
            answers,
            Groups.of(group),
            unit=unit,
            definition=f"insertions, deletions and substitutions of {unit}s over {unit}s of the transcript, by jiwer, "
            "summed over utterances",
            judge=recogniser.recipe,
            seed=seed,
        )
        for unit, name in NAMES.items()
    ]


def _changes(
    group: Sequence[EvaluationClip], source: dict[str, str], recogniser: Recogniser, seed: int
) -> list[Metric]:
    before = [recogniser.normalise(source.get(clip.utt_id, "")) for clip in group]
    if not any(before):
        return []
    after = [recogniser.normalise(clip.measured["transcript"]) for clip in group]
    changed = error_rate(
        "words_changed",
        before,
        after,
        Groups.of(group),
        unit="word",
        definition="insertions, deletions and substitutions of words over the words of the same recogniser's "
        "transcript of the natural source, which needs no text",
        judge=recogniser.recipe,
        seed=seed,
    )
    return [changed]
