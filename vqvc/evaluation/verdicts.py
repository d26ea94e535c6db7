"""The summary of a report: questions, answers and grades. A grade is that of its worst figure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from vqvc.evaluation.probe_baselines import SETS

GRADES = ("bad", "fair", "good")  # worst first
RECOGNISED_TOO_LITTLE = 60.0  # % word error on natural speech over which a recogniser is no judge
ROWS = {
    "conversion_of_seen": ("source_of_seen", "speakers of training"),
    "conversion_of_unseen": ("source_of_unseen", "unseen speakers"),
    "conversion": ("source", ""),
}
ENCODERS = {  # sections of evaluate.json
    "encoder": "a speaker encoder",
    "encoder_ge2e": "a second one (GE2E)",
    "encoder_campplus": "a second one (CAM++)",
}

Value = Callable[[str, str, str], float | None]


@dataclass(frozen=True)
class Verdict:
    """A line of the summary: question, answer, and grade (good, fair or bad)."""

    what: str
    answer: str
    grade: str


def worst(grades: Iterable[str]) -> str:
    """The worst of ``grades``; "fair" if there are none."""
    return min(grades, key=GRADES.index, default="fair")


def at_least(value: float, good: float, fair: float) -> str:
    """The grade of a value that should be high. good, fair: the smallest values with these grades."""
    return "good" if value >= good else "fair" if value >= fair else "bad"


def at_most(value: float, good: float, fair: float) -> str:
    """The grade of a value that should be low. good, fair: the largest values with these grades."""
    return at_least(-value, -good, -fair)


def verdicts(run) -> list[Verdict]:
    """All verdicts for which a RunFolder has figures."""
    figures = (run.evaluation or {}).get("figures") or {}

    def value(section: str, kind: str, name: str) -> float | None:
        group = (figures.get(section) or {}).get(kind)
        item = group.get(name) if isinstance(group, dict) else None
        return item.get("value") if isinstance(item, dict) else None

    found = [words(value), voice(value), f0_contour(value), quality(value), *phones(run), decoder(run), codebook(run)]
    return [item for item in found if item is not None]


def _rows(value: Value, section: str, name: str) -> dict[str, tuple[str, str]]:
    """The kinds of conversion that have a figure: {kind: (kind of its natural sources, their name)}.

    Conversions of known and unseen speakers are preferred to all conversions together.
    """
    known = {kind: names for kind, names in ROWS.items() if value(section, kind, name) is not None}
    return {kind: names for kind, names in known.items() if kind != "conversion" or len(known) == 1}


def words(value: Value) -> Verdict | None:
    """Do the words survive? Word error of conversions, and what it has over natural speech."""
    answers, grades, lost = [], [], False
    for kind, (source, who) in _rows(value, "content", "word_error").items():
        wrong, natural = value("content", kind, "word_error"), value("content", source, "word_error")
        natural = value("content", "source", "word_error") if natural is None else natural
        label = f" for {who}" if who else ""
        answers.append(
            f"{wrong:.0f} % of the words wrong{label} ({_shown(natural, '.0f', ' % on the natural source')})"
        )
        grades.append(at_most(wrong, 20, 60))
        if natural is not None:
            lost = lost or natural > RECOGNISED_TOO_LITTLE
            grades.append(at_most(wrong - natural, 5, 20))
    for kind, (_, who) in _rows(value, "content", "words_changed").items():
        if value("content", kind, "word_error") is None:  # no transcripts
            changed = value("content", kind, "words_changed")
            answers.append(
                f"{changed:.0f} % of the words changed{f' for {who}' if who else ''} against its own transcript of the source"
            )
            grades.append(at_most(changed, 8, 25))
    if not answers:
        return None
    text = f"A recogniser gets {', '.join(answers)}."
    if lost:
        grades.append("fair")
        text += " It recognises few words of natural speech either, so this figure means little."
    return Verdict("Do the words survive?", text, worst(grades))


def voice(value: Value) -> Verdict | None:
    """Is it the wanted voice? Judged by speaker encoders; with the MFCC baseline alone the grade is at most "fair"."""
    answers: list[str] = []
    grades: list[str] = []
    for section, judge in ENCODERS.items():
        _by_encoder(value, section, judge, answers, grades)
    target, source = value("speaker", "conversion", "named_target"), value("speaker", "conversion", "named_source")
    if target is not None:
        beside = f", {source:.0f} % as the source" if source is not None else ""
        baseline = "an identifier on MFCC, which the post-filter can please, names"
        answers.append(f"{baseline} {target:.0f} % as the wanted voice{beside}")
        grades += ["fair"] * (not grades) + [at_least(target, 75, 40)]
    if not answers:
        return None
    text = "; ".join(answers)
    return Verdict("Is it the wanted voice?", f"{text[0].upper()}{text[1:]}.", worst(grades))


def _by_encoder(value: Value, section: str, judge: str, answers: list[str], grades: list[str]) -> None:
    """Add the answers and grades of a speaker encoder.

    Similarities are graded on the scale from that of different speakers to that of natural speech of the target.
    """
    own, others = (value(section, "natural", f"similarity_to_{name}") for name in ("target", "others"))
    for kind, (_, who) in _rows(value, section, "named_target").items():
        named, near, left, apart = (
            value(section, kind, name)
            for name in ("named_target", "similarity_to_target", "similarity_to_source", "equal_error_against_natural")
        )
        if None in (named, near, left, apart):
            continue
        answers.append(
            f"{named:.0f} % of conversions{f' of {who}' if who else ''} are named as the wanted voice by {judge} "
            f"(similarity {near:.2f}{_shown(own, '.2f', ' for natural speech', ', ')}; {left:.2f} to the source's own recording"
            f"{_shown(others, '.2f', ' between other speakers', ', ')})"
        )
        grades += [at_least(named, 90, 60), at_least(apart, 30, 10)]
        if own is not None and others is not None and own > others:
            grades.append(at_least((near - others) / (own - others), 0.85, 0.5))
            grades.append(at_most((left - others) / (own - others), 0.1, 0.3))


def f0_contour(value: Value) -> Verdict | None:
    """Does the F0 contour survive?"""
    follow, rmse = value("prosody", "conversion", "pitch_correlation"), value("prosody", "conversion", "pitch_rmse")
    if follow is None:
        return None
    spread = _shown(rmse, ".1f", " semitones apart", ", ")
    answer = f"Pitch follows the source with a correlation of {follow:.2f}{spread}."
    return Verdict("Does the F0 contour survive?", answer, at_least(follow, 0.7, 0.4))


def quality(value: Value) -> Verdict | None:
    """Does it sound clean? Every judge of quality against natural speech."""
    answers, grades = [], []
    for name, label in (("overall", "DNSMOS"), ("distillmos", "DistillMOS")):
        ours, natural = value("quality", "conversion", name), value("quality", "source", name)
        if ours is not None and natural is not None:
            answers.append(f"{label} {ours:.1f} of 5, natural source {natural:.1f}")
            grades.append(at_most(natural - ours, 0.2, 0.5))
    return Verdict("Does it sound clean?", f"{'; '.join(answers)}.", worst(grades)) if answers else None


def phones(run) -> list[Verdict]:
    """Do the codes identify the phones?"""
    found = []
    for set_name, kinds in ((run.probe or {}).get("figures") or {}).items():
        ours, theirs = (kinds.get("without_silence", {}).get(name) for name in ("codes", "kmeans"))
        if ours and ours["value"] is not None:
            against = theirs["value"] if theirs else None
            grade = "fair" if against is None else at_least(ours["value"] - against, 5, 0)
            found.append(
                Verdict(
                    f"Do the codes identify the phones ({SETS.get(set_name, set_name)})?",
                    f"{ours['value']:.1f} % of frames outside silence{_shown(against, '.1f', ' %', ', k-means on MFCC ')}.",
                    grade,
                )
            )
    return found


def decoder(run) -> Verdict | None:
    """Does the decoder use the codes?"""
    bits, shuffled = run.last("bits_per_sample", "valid", "end"), run.last("bits_shuffled_codes", "valid", "end")
    if bits is None:
        return None
    uses = shuffled is not None and shuffled > bits + 0.1
    extra = _shown(shuffled, ".2f", " with another utterance's codes", ", ")
    extra += _shown(run.last("bits_without_f0", "valid", "end"), ".2f", " without the F0 contour", ", ")
    grade = "good" if uses else "bad" if shuffled else "fair"
    return Verdict("Does the decoder use the codes?", f"{bits:.2f} bits per sample on unseen sentences{extra}.", grade)


def codebook(run) -> Verdict | None:
    """Is the codebook alive?"""
    used = run.last("usage", "epoch", "valid", "end")
    if used is None:
        return None
    return Verdict("Is the codebook alive?", f"{100 * used:.0f} % of the codes are in use.", at_least(used, 0.8, 0.4))


def _shown(value: float | None, digits: str, after: str, before: str = "") -> str:
    return "" if value is None else f"{before}{value:{digits}}{after}"
