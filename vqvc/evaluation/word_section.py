"""The evaluation's section on words: errors of a recogniser on every kind of recording, beside natural speech."""

from collections.abc import Sequence

from vqvc.errors import CorpusError
from vqvc.evaluation.content import error_rate
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind
from vqvc.evaluation.judges.recognisers import Recogniser
from vqvc.evaluation.metric import Groups, Metric, as_figures

NAMES = {"word": "word_error", "character": "character_error"}


def transcribe(clips: Sequence[EvaluationClip], recogniser: Recogniser, sample_rate: int) -> None:
    """Give every clip the words that are understood in it, once."""
    for clip in clips:
        if "heard" not in clip.measured:
            clip.measured["heard"] = recogniser.words(clip.samples, sample_rate)


def content_figures(clips: Sequence[EvaluationClip], recogniser: Recogniser, sample_rate: int, seed: int = 0) -> dict:
    """Word and character error of what a recogniser understands, by kind; the source is natural speech.

    Recordings without a transcript count in ``words_changed`` alone: against what the same recogniser understands in the
    source. Raises CorpusError when there is neither a transcript nor a source in which a word is understood.
    """
    transcribe(clips, recogniser, sample_rate)
    source = {clip.utt_id: clip.measured["heard"] for clip in clips if clip.kind == "source"}
    result = {}
    for kind, group in by_kind(clips, sources_apart=True).items():
        found = _errors(group, recogniser, seed)
        if not kind.startswith("source"):
            found += _changes(group, source, recogniser, seed)
        if found:
            result[kind] = as_figures(found)
    if not result:
        raise CorpusError("word error needs transcripts: none of the chosen utterances has a text")
    return result


def _errors(group: Sequence[EvaluationClip], recogniser: Recogniser, seed: int) -> list[Metric]:
    texts = [recogniser.normalise(clip.text) for clip in group]
    if not any(texts):
        return []
    answers = [recogniser.normalise(clip.measured["heard"]) for clip in group]
    return [
        error_rate(
            name, texts, answers, Groups.of(group), unit=unit, judge=recogniser.recipe, seed=seed,
            definition=f"insertions, deletions and substitutions of {unit}s over {unit}s of the transcript, by jiwer, summed over utterances",
        )
        for unit, name in NAMES.items()
    ]  # fmt: skip


def _changes(
    group: Sequence[EvaluationClip], source: dict[str, str], recogniser: Recogniser, seed: int
) -> list[Metric]:
    before = [recogniser.normalise(source.get(clip.utt_id, "")) for clip in group]
    if not any(before):
        return []
    after = [recogniser.normalise(clip.measured["heard"]) for clip in group]
    return [
        error_rate(
            "words_changed", before, after, Groups.of(group), unit="word", judge=recogniser.recipe, seed=seed,
            definition="insertions, deletions and substitutions of words over the words that the same recogniser understands in "
            "the natural source, which needs no transcript",
        )
    ]  # fmt: skip
