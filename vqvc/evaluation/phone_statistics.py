"""Do drawn codes stand for English-like phone sequences? Phones are read from codes by the probe's window map."""

from collections.abc import Mapping, Sequence

import numpy as np

from vqvc.evaluation.ngram import Bigram, Unigram
from vqvc.evaluation.probe import LabelledCodes, WindowMap, radius_for

SHORTEST_S = 0.02  # runs of one phone shorter than this are flicker of the map, and left out
WHAT = (
    "bits per phone under a bigram of the aligned phones of subset train; phones are read from codes with the probe's window "
    "map, runs made one, runs under 20 ms left out"
)


def phone_runs(labels: np.ndarray, rate_hz: float, shortest_s: float = SHORTEST_S) -> np.ndarray:
    """(T,) classes at code rate -> the sequence of phones that lasted at least ``shortest_s``, repeats made one."""
    if not len(labels):
        return labels
    starts = np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1]]))
    long = np.diff(np.concatenate([starts, [len(labels)]])) >= max(1, round(shortest_s * rate_hz))
    phones = labels[starts[long]]
    return phones[np.concatenate([[True], phones[1:] != phones[:-1]])] if len(phones) else phones


def compare(
    train: LabelledCodes,
    real: Sequence[np.ndarray],
    drawn: Mapping[str, Sequence[np.ndarray]],
    classes: int,
    rate_hz: float,
    seed: int = 0,
) -> dict:
    """Bigram cross-entropy of the phones that real, shuffled and drawn codes stand for; JSON-ready.

    train: labelled codes of subset train; real: utterances of unseen sentences; drawn: sets of sequences by name.
    """
    rng = np.random.default_rng(seed)
    spans = zip(train.offsets[:-1], train.offsets[1:])
    spoken = [phone_runs(train.labels[a:b].astype(np.int64), rate_hz) for a, b in spans]
    bigram, unigram = Bigram(spoken, classes), Unigram(spoken, classes)
    reader = WindowMap(train, radius_for(rate_hz), seed=seed)
    sets = {"real codes": list(real), "real codes, shuffled": [rng.permutation(one) for one in real], **drawn}
    figures = {}
    for name, sequences in sets.items():
        offsets = np.cumsum([0] + [len(one) for one in sequences])
        labels = reader.predict(np.concatenate(sequences).astype(np.int64), offsets)
        phones = [phone_runs(labels[a:b], rate_hz) for a, b in zip(offsets[:-1], offsets[1:])]
        count = sum(map(len, phones))
        figures[name] = {
            "bigram_bits_per_phone": sum(map(bigram.bits, phones)) / max(1, count),
            "unigram_bits_per_phone": sum(map(unigram.bits, phones)) / max(1, count),
            "phones": count,
            "phones_per_second": count / (offsets[-1] / rate_hz),
        }
    return {"what": WHAT, "sets": figures}


def table(result: dict) -> str:
    """The result for reading."""
    lines = [result["what"], f"  {'':34s} bigram  unigram  phones/s"]
    for name, row in result["sets"].items():
        bits = f"{row['bigram_bits_per_phone']:6.3f} {row['unigram_bits_per_phone']:8.3f}"
        lines.append(f"  {name:34s} {bits} {row['phones_per_second']:9.1f}")
    return "\n".join(lines)
