"""Quality without a reference: mean opinion scores that trained judges predict."""

from collections import Counter
from collections.abc import Sequence

from vqvc.evaluation import metric
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind, order_of
from vqvc.evaluation.judges.quality import QualityJudge, available_judges
from vqvc.evaluation.metric import ByKind, Groups, Metric, by_name

QUALITY_EACH = 20  # recordings that are scored of each kind, apart by known and unseen speakers: the first by hash


def choose(clips: Sequence[EvaluationClip], seed: int = 0) -> list[EvaluationClip]:
    """The recordings that are scored: QUALITY_EACH of each kind, which may not be made yet."""
    taken: Counter = Counter()
    chosen = []
    for clip in sorted(clips, key=lambda clip: order_of(f"{clip.utt_id} {clip.target}", seed)):
        group = (clip.kind, clip.seen, clip.few)
        taken[group] += 1
        if taken[group] <= QUALITY_EACH:
            chosen.append(clip)
    return chosen


def score(clips: Sequence[EvaluationClip], judges: Sequence[QualityJudge], sample_rate: int) -> None:
    """Give every clip its scores, once."""
    for clip in clips:
        if "quality" not in clip.measured:
            clip.measured["quality"] = {judge.name: judge.score(clip.samples, sample_rate) for judge in judges}


def measure(
    clips: Sequence[EvaluationClip], sample_rate: int, seed: int = 0, judges: Sequence[QualityJudge] | None = None
) -> ByKind:
    """Quality without a reference by every judge whose package is installed; raises MissingExtraError when none is."""
    judges = available_judges() if judges is None else judges
    chosen = choose(clips, seed)
    score(chosen, judges, sample_rate)
    return {kind: by_name(_scores(group, judges, seed)) for kind, group in by_kind(chosen).items()}


def _scores(group: Sequence[EvaluationClip], judges: Sequence[QualityJudge], seed: int) -> list[Metric]:
    facts = {"unit": "1 to 5", "definition": "mean opinion score", "seed": seed}
    return [
        metric.mean(
            judge.name, [clip.measured["quality"][judge.name] for clip in group], Groups.of(group), judge=judge.recipe, **facts
        )
        for judge in judges
    ]  # fmt: skip
