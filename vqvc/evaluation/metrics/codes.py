"""Figures on codes: usage, bitrates, mutual information with phones; and labelling of codes with phones."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation.metric import Metric
from vqvc.evaluation.probe import LabelledCodes


def label(archive, alignment: Iterable[tuple[str, Sequence]]) -> tuple[np.ndarray, np.ndarray]:
    """The phone class at the centre of each code, (N,) int8, and which utterances are aligned, (U,) bool.

    archive: CodeArchive. alignment: pairs (utt_id, segments), such as from ``vqvc.corpus.alignment.stream_ctm``.
    """
    from vqvc.corpus.alignment import code_labels

    place = {utt_id: index for index, utt_id in enumerate(archive.utt_ids.tolist())}
    labels, aligned = np.zeros(len(archive.codes), np.int8), np.zeros(len(place), bool)
    for utt_id, segments in alignment:
        index = place.get(utt_id)
        if index is not None and segments:
            begin, end = int(archive.offsets[index]), int(archive.offsets[index + 1])
            labels[begin:end] = code_labels(segments, end - begin, archive.hop_length, archive.sample_rate)
            aligned[index] = True
    return labels, aligned


def labelled(archive, labels: np.ndarray, aligned: np.ndarray, subset: str) -> tuple[LabelledCodes, int]:
    """The aligned utterances of ``subset``, and how many others it has. labels, aligned: from ``label``."""
    inside = archive.subsets == subset
    whole = LabelledCodes(
        codes=archive.codes,
        labels=labels,
        offsets=archive.offsets,
        utt_ids=tuple(archive.utt_ids.tolist()),
        speakers=tuple(archive.speakers.tolist()),
        codebook_size=int(archive.codebook_size),
    )
    return whole.pick(np.flatnonzero(inside & aligned)), int((inside & ~aligned).sum())


@dataclass(frozen=True)
class Usage:
    """Usage of a codebook: how many codes occur, perplexity (2 to the entropy), entropy in bits per code."""

    used: int
    perplexity: float
    entropy_bits: float


def usage(counts: np.ndarray) -> Usage:
    """The usage for ``counts`` (codebook_size,) of each code. Raises CorpusError if all are 0."""
    counts = np.asarray(counts, dtype=np.float64)
    if counts.sum() <= 0:
        raise CorpusError("no codes were given, so their usage is not defined")
    share = counts[counts > 0] / counts.sum()
    entropy = float(-(share * np.log2(share)).sum())
    return Usage(used=int(np.count_nonzero(counts)), perplexity=float(2**entropy), entropy_bits=entropy)


@dataclass(frozen=True)
class Bitrates:
    """Three bitrates in bits per second, see ``bitrates``."""

    fixed_bps: float
    entropy_bps: float
    run_length_bps: float


def bitrates(codes: np.ndarray, offsets: np.ndarray, codebook_size: int, rate_hz: float) -> Bitrates:
    """Three bitrates of ``codes`` (N,) of utterances with ``offsets`` (U + 1,).

    fixed: the code rate times log2 of the codebook size. entropy: the code rate times the entropy of single codes.
    run_length: with equal neighbours of an utterance merged to runs, the number of runs per second times the sum of the
    entropies of their codes and of their lengths.
    """
    single = usage(np.bincount(codes, minlength=codebook_size))
    starts = np.ones(len(codes), dtype=bool)
    starts[1:] = codes[1:] != codes[:-1]
    starts[offsets[:-1][offsets[:-1] < len(codes)]] = True
    begin = np.flatnonzero(starts)
    lengths = np.diff(np.concatenate([begin, [len(codes)]]))
    per_run = usage(np.bincount(codes[begin])).entropy_bits + usage(np.bincount(lengths)).entropy_bits
    return Bitrates(
        fixed_bps=rate_hz * float(np.log2(codebook_size)),
        entropy_bps=rate_hz * single.entropy_bits,
        run_length_bps=per_run * len(begin) / len(codes) * rate_hz,
    )


def normalised_mutual_information(joint: np.ndarray) -> float:
    """2 I(code; phone) / (H(code) + H(phone)) for counts ``joint`` (codes, phones): 0 if independent, 1 if equivalent.

    The value is that of scikit-learn's ``normalized_mutual_info_score`` (arithmetic mean), which takes labels instead
    of counts. Raises CorpusError if there are fewer than two codes or phones.
    """
    joint = np.asarray(joint, dtype=np.float64)
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    if np.count_nonzero(rows) < 2 or np.count_nonzero(columns) < 2:
        raise CorpusError("mutual information needs at least two classes of codes and two of phones")
    total = joint.sum()

    def entropy(counts: np.ndarray) -> float:
        share = counts[counts > 0] / total
        return float(-(share * np.log(share)).sum())

    either = entropy(rows) + entropy(columns)
    return max(0.0, 2 * (either - entropy(joint.ravel())) / either)


def histograms(codes: np.ndarray, offsets: np.ndarray, codebook_size: int) -> np.ndarray:
    """The share of each code in each utterance, (U, codebook_size) float32. A row sums to 1, or to 0 if it is empty."""
    lengths = np.diff(offsets)
    utterance = np.repeat(np.arange(len(lengths)), lengths)
    flat = np.bincount(utterance * codebook_size + codes, minlength=len(lengths) * codebook_size)
    counts = flat.reshape(len(lengths), codebook_size)
    return (counts / np.maximum(lengths, 1)[:, None]).astype(np.float32)


def usage_metrics(data: LabelledCodes, rate_hz: float) -> list[Metric]:
    """Usage, perplexity and three bitrates of a set of codes."""
    codes = data.codes.astype(np.int64)
    used = usage(np.bincount(codes, minlength=data.codebook_size))
    bits = bitrates(codes, data.offsets, data.codebook_size, rate_hz)
    runs = "runs per second times (entropy of the runs' codes + entropy of their lengths)"
    return [
        Metric("codes_used", used.used, f"of {data.codebook_size}", "different codes seen"),
        Metric("perplexity", used.perplexity, "codes", "2 to the entropy of single codes"),
        Metric("bitrate_fixed", bits.fixed_bps, "bit/s", "code rate times log2 of the codebook's size"),
        Metric("bitrate_entropy", bits.entropy_bps, "bit/s", "code rate times the entropy of single codes"),
        Metric("bitrate_run_length", bits.run_length_bps, "bit/s", runs),
    ]
