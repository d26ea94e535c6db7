"""Speech quality without a reference: predicted mean opinion scores."""

from collections import Counter
from collections.abc import Sequence

from vqvc.evaluation import metric
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind, order_of
from vqvc.evaluation.judges.quality import QualityJudge, available_judges
from vqvc.evaluation.metric import ByKind, Groups, Metric, by_name

QUALITY_EACH = 20  # recordings that are scored of each kind, for known and unseen speakers each


def choose(clips: Sequence[EvaluationClip], seed: int = 0) -> list[EvaluationClip]:
    """Choose QUALITY_EACH recordings of each kind, in the order of ``order_of``. They need not be made yet."""
    counts: Counter = Counter()
    chosen = []
    for clip in sorted(clips, key=lambda clip: order_of(f"{clip.utt_id} {clip.target}", seed)):
        group = (clip.kind, clip.seen, clip.few)
        counts[group] += 1
        if counts[group] <= QUALITY_EACH:
            chosen.append(clip)
    return chosen


def score(clips: Sequence[EvaluationClip], judges: Sequence[QualityJudge], sample_rate: int) -> None:
    """Store the scores of every clip in ``measured``, unless they are there already."""
    for clip in clips:
        if "quality" not in clip.measured:
            clip.measured["quality"] = {judge.name: judge.score(clip.samples, sample_rate) for judge in judges}


def measure(
    clips: Sequence[EvaluationClip], sample_rate: int, seed: int = 0, judges: Sequence[QualityJudge] | None = None
) -> ByKind:
    """Mean scores of each kind of recording. judges: all whose packages are installed when None.

    Raises MissingExtraError if no judge is installed.
    """
    judges = available_judges() if judges is None else judges
    chosen = choose(clips, seed)
    score(chosen, judges, sample_rate)
    return {kind: by_name(_scores(group, judges, seed)) for kind, group in by_kind(chosen).items()}


def _scores(group: Sequence[EvaluationClip], judges: Sequence[QualityJudge], seed: int) -> list[Metric]:
    metrics = []
    for judge in judges:
        scores = [clip.measured["quality"][judge.name] for clip in group]
        facts = {"unit": "1 to 5", "definition": "mean opinion score", "judge": judge.recipe, "seed": seed}
        metrics.append(metric.mean(judge.name, scores, Groups.of(group), **facts))
    return metrics
