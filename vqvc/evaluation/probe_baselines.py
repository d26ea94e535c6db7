"""The probe's table: all maps and baselines on unseen speakers and on unseen sentences, with and without silence."""

import logging
from collections.abc import Callable, Mapping

import numpy as np

from vqvc.corpus.phones import CLASSES
from vqvc.errors import CorpusError
from vqvc.evaluation import baselines, probe
from vqvc.evaluation.figures import difference_interval, figure, ratio_interval
from vqvc.evaluation.metrics.codes import bitrates, normalised_mutual_information, usage
from vqvc.evaluation.probe import LabelledCodes

logger = logging.getLogger("vqvc.probe")

SILENCE = CLASSES.index("pau")
SETS = {"test": "unseen speakers, unseen sentences", "dev": "speakers of training, unseen sentences"}
REMARKS = {"test": "", "dev": "; the paper's setting"}  # the paper split VCTK by utterances, with all speakers known
COUNTS = {"without_silence": SILENCE, "with_silence": None}  # the class that is ignored
SCORED_BY_WINDOW = 1_000_000  # frames that the linear window map is scored on, about

Scores = tuple[np.ndarray, np.ndarray]


def compare(
    train: LabelledCodes,
    scored: Mapping[str, LabelledCodes],
    rate_hz: float,
    seed: int = 0,
    kmeans: tuple[LabelledCodes, Mapping[str, tuple[np.ndarray, LabelledCodes]]] | None = None,
) -> dict:
    """All figures of the probe: {set: {"without_silence" or "with_silence": {name: figure}}}.

    train: the set that the maps are fitted on. scored: the sets that they are scored on, by name. rate_hz: codes per
        second.
    kmeans: the result of ``kmeans_baselines``, or None. Raises CorpusError if a set is empty or has one class.
    """
    counts = probe.joint_counts(train, len(CLASSES))
    check_all(counts, train, scored)
    random_train = baselines.random_codes(train, seed)
    random_counts = probe.joint_counts(random_train, len(CLASSES))
    random_scored = {
        name: baselines.random_codes(data, seed + 1 + index) for index, (name, data) in enumerate(scored.items())
    }
    radius = probe.radius_for(rate_hz)
    result: dict = {name: {} for name in scored}
    for kind, ignored in COUNTS.items():
        logger.info("fitting and scoring the maps, %s", kind.replace("_", " "))
        ours = _maps(train, counts, ignored, radius, seed)
        constant, random = probe.ConstantMap(counts, ignored), probe.CodeMap(random_counts, ignored)
        theirs = _maps(kmeans[0], probe.joint_counts(kmeans[0], len(CLASSES)), ignored, radius, seed) if kmeans else {}
        for name, data in scored.items():
            rows = {label: _figure(model, data, ignored, seed) for label, model in ours.items()}
            rows["constant"] = _figure(constant, data, ignored, seed)
            rows["random"] = _figure(
                random, random_scored[name], ignored, seed, "codes drawn evenly at random, same number and rate; "
            )
            if kmeans:
                picked, other = kmeans[1][name]
                for label, model in theirs.items():
                    rows[label.replace("codes", "kmeans")] = _figure(
                        model, other, ignored, seed, f"{baselines.KMeansCodes.definition}; "
                    )
                rows["codes_minus_kmeans"] = _difference(
                    probe.score(ours["codes"], data, ignored),
                    probe.score(theirs["codes"], other, ignored),
                    picked,
                    seed,
                )
            result[name][kind] = rows
    return result


def check_all(counts: np.ndarray, train: LabelledCodes, scored: Mapping[str, LabelledCodes]) -> None:
    """Raise CorpusError if a set is empty or has only one class, so that every map would score 100 %."""
    probe.check(counts, "the fitting set (subset train)", SILENCE)
    if not scored:
        raise CorpusError(
            "there is nothing to score: no aligned utterance of subset test or dev; align and encode those too"
        )
    for name, data in scored.items():
        probe.check(probe.joint_counts(data, len(CLASSES)), f"subset {name}", SILENCE)


def _maps(train: LabelledCodes, counts: np.ndarray, ignored: int | None, radius: int, seed: int) -> dict:
    return {
        "codes": probe.CodeMap(counts, ignored),
        "codes_bigram": probe.BigramMap(train, len(CLASSES), counts, ignored),
        "codes_window": probe.WindowMap(train, radius, ignored, seed),
    }


def _figure(model, data: LabelledCodes, ignored: int | None, seed: int, prefix: str = "") -> dict:
    most = SCORED_BY_WINDOW if isinstance(model, probe.WindowMap) else None
    right, total = probe.score(model, data, ignored, most)
    right, total = right[total > 0], total[total > 0]
    silence = "silence counted as a class" if ignored is None else "frames of silence left out of fitting and scoring"
    low, high = ratio_interval(right, total, seed)
    return figure(
        100 * right.sum() / total.sum(),
        "%",
        f"share of frames whose phone (of {len(CLASSES)} classes, at the code's centre) is named; {prefix}{model.definition}; {silence}",
        interval_95=(100 * low, 100 * high),
        frames=int(total.sum()),
        utterances=len(total),
    )


def _difference(ours: Scores, theirs: Scores, picked: np.ndarray, seed: int) -> dict:
    right, total = ours[0][picked], ours[1][picked]
    low, high = difference_interval(right, theirs[0], total, seed)
    return figure(
        100 * (right.sum() - theirs[0].sum()) / max(total.sum(), 1),
        "points",
        "accuracy of the single-code map minus that of k-means on the same utterances; interval by paired resampling",
        interval_95=(100 * low, 100 * high),
        utterances=len(picked),
    )


def code_figures(data: LabelledCodes, rate_hz: float, where: str) -> dict:
    """Usage, perplexity, bitrates and mutual information with phones of one set. where: its name, for definitions."""
    joint = probe.joint_counts(data, len(CLASSES))
    used = usage(joint.sum(axis=1))
    bits = bitrates(data.codes, data.offsets, data.codebook_size, rate_hz)
    without_silence = np.delete(joint, SILENCE, axis=1)
    return {
        "codes_used": figure(used.used, f"of {data.codebook_size}", f"different codes seen on {where}"),
        "perplexity": figure(used.perplexity, "codes", f"2 to the entropy of single codes on {where}"),
        "bitrate_fixed": figure(bits.fixed_bps, "bit/s", "code rate times log2 of the codebook's size"),
        "bitrate_entropy": figure(bits.entropy_bps, "bit/s", f"code rate times the entropy of single codes on {where}"),
        "bitrate_run_length": figure(
            bits.run_length_bps,
            "bit/s",
            f"runs per second times (entropy of the runs' codes + entropy of their lengths), on {where}",
        ),
        "nmi": figure(
            normalised_mutual_information(without_silence),
            "0 to 1",
            f"2 I(code; phone) / (H(code) + H(phone)) over frames outside silence on {where}",
        ),
    }


def kmeans_baselines(
    train: LabelledCodes,
    scored: Mapping[str, LabelledCodes],
    waveform: Callable[[str], np.ndarray],
    hop_length: int,
    sample_rate: int,
    minutes: float,
    seed: int = 0,
    progress: Callable[[int], object] = lambda count: None,
) -> tuple[LabelledCodes, dict[str, tuple[np.ndarray, LabelledCodes]]]:
    """k-means codes for ``compare``, fitted on at most ``minutes`` of ``train``.

    Returns the fitting set with k-means codes, and for each scored set the indices of at most ``minutes`` of utterances
    and these utterances with k-means codes.
    """
    rate_hz = sample_rate / hop_length
    picked = {name: baselines.picked_minutes(data, minutes, rate_hz, seed) for name, data in scored.items()}
    fitted = train.pick(baselines.picked_minutes(train, minutes, rate_hz, seed))
    subsets = [scored[name].pick(picked[name]) for name in scored]
    fitted_codes, scored_codes = baselines.kmeans_codes(
        fitted, subsets, waveform, hop_length, sample_rate, seed, progress
    )
    return fitted_codes, {name: (picked[name], codes) for name, codes in zip(scored, scored_codes, strict=True)}


def table(figures: Mapping) -> str:
    """The figures of ``compare`` as a plain-text table."""
    names = {
        "codes": "codes, single",
        "kmeans": "k-means on MFCC",
        "random": "random codes",
        "constant": "constant guess",
        "codes_bigram": "codes, pairs",
        "kmeans_bigram": "k-means, pairs",
        "codes_window": "codes, window",
        "kmeans_window": "k-means, window",
        "codes_minus_kmeans": "codes - k-means (points)",
    }
    lines = [f"{'accuracy in % [95 % interval]':<28} {'silence left out':>22} {'silence counted':>22}"]
    for set_name, kinds in figures.items():
        lines.append(f"{set_name}: {SETS.get(set_name, set_name)}")
        for name, label in names.items():
            cells = [cell(kinds[kind].get(name)) for kind in COUNTS]
            if any(cells):
                lines.append(f"  {label:<26} {cells[0]:>22} {cells[1]:>22}")
    return "\n".join(lines)


def cell(item: dict | None) -> str:
    """A figure and its interval as plain text; empty if there is no figure or it is undefined."""
    if item is None or item["value"] is None:
        return ""
    low, high = item["interval_95"]
    return f"{item['value']:.1f}" + ("" if low is None else f" [{low:.1f}, {high:.1f}]")
