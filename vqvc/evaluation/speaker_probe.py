"""What the codes hold beside phones: who speaks, man or woman; and how well they tell phone triples apart (ABX)."""

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation import abx, baselines
from vqvc.evaluation.codes import bitrates, histograms, usage
from vqvc.evaluation.figures import figure, mean_interval
from vqvc.evaluation.probe import LabelledCodes
from vqvc.evaluation.speakers import leak

logger = logging.getLogger("vqvc.evaluate")

MOST_PER_SPEAKER = 30  # training utterances per speaker on which the speaker probe is fitted
MOST_ABX_MINUTES = 60.0


def usage_figures(data: LabelledCodes, rate_hz: float) -> dict:
    """Usage, perplexity and three bitrates of one set."""
    codes = data.codes.astype(np.int64)
    used = usage(np.bincount(codes, minlength=data.codebook_size))
    bits = bitrates(codes, data.offsets, data.codebook_size, rate_hz)
    return {
        "codes_used": figure(used.used, f"of {data.codebook_size}", "different codes seen"),
        "perplexity": figure(used.perplexity, "codes", "2 to the entropy of single codes"),
        "bitrate_fixed": figure(bits.fixed_bps, "bit/s", "code rate times log2 of the codebook's size"),
        "bitrate_entropy": figure(bits.entropy_bps, "bit/s", "code rate times the entropy of single codes"),
        "bitrate_run_length": figure(
            bits.run_length_bps,
            "bit/s",
            "runs per second times (entropy of the runs' codes + entropy of their lengths)",
        ),
    }


def speaker_leak(data: LabelledCodes, subsets: Sequence[str], what: str, seed: int = 0) -> dict:
    """How often a probe on code histograms names the speaker of a dev utterance. subsets: (U,) of each utterance."""
    rows = histograms(data.codes.astype(np.int64), data.offsets, data.codebook_size)
    subsets, speakers = np.asarray(subsets), np.asarray(data.speakers)
    train = _few_each(speakers, np.flatnonzero(subsets == "train"), seed)
    test = np.flatnonzero((subsets == "dev") & np.isin(speakers, speakers[train]))
    found = leak(rows[train], speakers[train], rows[test], speakers[test])
    low, high = mean_interval(found.right, seed)
    return figure(
        100 * found.accuracy,
        "%",
        f"share of dev utterances (known speakers, unseen sentences) whose speaker a logistic regression on {what} names, "
        f"fitted on at most {MOST_PER_SPEAKER} training utterances per speaker; lower means less identity in the codes",
        interval_95=(100 * low, 100 * high),
        chance=100 * found.chance,
        speakers=found.classes,
        utterances=len(found.right),
    )


def gender_leak(data: LabelledCodes, genders: Mapping[str, str], what: str, seed: int = 0) -> dict:
    """How often a probe on code histograms tells the gender of a speaker that it was not fitted on."""
    speakers = np.asarray(data.speakers)
    known = _few_each(speakers, np.flatnonzero([genders.get(name, "") != "" for name in speakers]), seed)
    rows = histograms(data.codes.astype(np.int64), data.offsets, data.codebook_size)[known]
    labels, names = np.array([genders[name] for name in speakers[known]]), speakers[known]
    order = np.random.default_rng(seed).permutation(np.unique(names))
    if len(set(labels)) < 2 or len(order) < 4:
        raise CorpusError("a gender probe needs at least two classes and four speakers of known gender")
    shares: dict[str, float] = {}
    for fold in range(min(5, len(order))):
        inside = np.isin(names, order[fold::5])
        if len(set(labels[~inside])) < 2:
            continue
        found = leak(rows[~inside], labels[~inside], rows[inside], labels[inside])
        for name in order[fold::5]:
            shares[name] = float(found.right[names[inside] == name].mean())
    low, high = mean_interval(list(shares.values()), seed)
    commonest = max(np.mean(labels == label) for label in set(labels))
    return figure(
        100 * float(np.mean(list(shares.values()))),
        "%",
        f"share of utterances whose speaker's gender a logistic regression on {what} names; five folds, no speaker in two of "
        "them; mean and interval over speakers",
        interval_95=(100 * low, 100 * high),
        chance=100 * commonest,
        speakers=len(shares),
    )


def _few_each(speakers: np.ndarray, candidates: np.ndarray, seed: int) -> np.ndarray:
    """At most MOST_PER_SPEAKER of ``candidates`` for each speaker, drawn at random, in order."""
    order = np.random.default_rng(seed).permutation(candidates)
    taken: dict[str, int] = {}
    kept = []
    for index in order:
        taken[speakers[index]] = taken.get(speakers[index], 0) + 1
        if taken[speakers[index]] <= MOST_PER_SPEAKER:
            kept.append(index)
    return np.sort(np.array(kept, dtype=np.int64))


def abx_figures(
    data: Mapping[str, LabelledCodes],
    alignment: Mapping[str, Sequence],
    rate_hz: float,
    vectors: np.ndarray | None = None,
    frames_of: Callable[[str], np.ndarray] | None = None,
    seed: int = 0,
) -> dict:
    """{system: {"within" or "across": figure}} for each set of codes in ``data`` (all over the same utterances).

    vectors: (K, D) codebook, for angles between codes of the system "codes". frames_of: utt_id -> (T, D) features every
    10 ms, for the system "mfcc", the reference that no codebook has narrowed.
    """
    first = next(iter(data.values()))
    items = abx.tokens(alignment, dict(zip(first.utt_ids, first.speakers, strict=True)))
    result: dict = {}
    for system, own in data.items():
        table = abx.code_costs(vectors if system == "codes" else None, own.codebook_size)
        measure = (
            "angle between codebook vectors"
            if system == "codes" and vectors is not None
            else "0 for equal codes, else 1"
        )
        place = {utt_id: index for index, utt_id in enumerate(own.utt_ids)}
        sequences = [_span(own, place[item.utt_id], item, rate_hz) for item in items]
        result[system] = _both(sequences, items, table, measure, seed)
    if frames_of is not None:
        frames = {utt_id: frames_of(utt_id) for utt_id in dict.fromkeys(item.utt_id for item in items)}
        sequences = [frames[item.utt_id][round(item.start_s * 100) : round(item.end_s * 100)] for item in items]
        result["mfcc"] = _both(
            sequences, items, abx.angles, "angle between standardised MFCC with differences, every 10 ms", seed
        )
    return result


def _span(data: LabelledCodes, utterance: int, item: abx.Token, rate_hz: float) -> np.ndarray:
    """The codes whose centres lie inside the triple."""
    begin, end = int(np.ceil(item.start_s * rate_hz - 0.5)), int(np.ceil(item.end_s * rate_hz - 0.5))
    own = data.codes[data.offsets[utterance] : data.offsets[utterance + 1]]
    return own[max(begin, 0) : end].astype(np.int64)


def _both(sequences: Sequence, items: Sequence[abx.Token], cost, measure: str, seed: int) -> dict:
    result = {}
    for name, across in (("within", False), ("across", True)):
        cells = abx.errors(sequences, items, across, cost, seed)
        low, high = mean_interval(cells, seed)
        result[name] = figure(
            100 * float(cells.mean()),
            "%",
            f"ABX error {name} speakers on phone triples that differ in the middle phone; DTW, mean cost along the path; cost: "
            f"{measure}; mean over cells of (speaker, context, phone pair), interval over cells; chance 50 %",
            interval_95=(100 * low, 100 * high),
            cells=len(cells),
        )
    return result


def standardised_mfcc(
    waveform: Callable[[str], np.ndarray], sample_rate: int, utt_ids: Sequence[str]
) -> Callable[[str], np.ndarray]:
    """utt_id -> (T, 39) MFCC with differences, each dimension scaled over ``utt_ids`` (at most 50 of them)."""
    hop = sample_rate // 100
    some = np.concatenate([baselines.centre_mfcc(waveform(utt_id), sample_rate, hop) for utt_id in utt_ids[:50]])
    mean, deviation = some.mean(axis=0), some.std(axis=0) + 1e-6
    return lambda utt_id: (baselines.centre_mfcc(waveform(utt_id), sample_rate, hop) - mean) / deviation
