"""Do drawn codes stand for English-like phone sequences? Phones are read from codes by the probe's window map."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from vqvc.codec.draw import draw
from vqvc.codec.prior_file import PriorFile
from vqvc.corpus.alignment import stream_ctm
from vqvc.corpus.codes import CodeArchive
from vqvc.corpus.phones import CLASSES
from vqvc.errors import UsageError
from vqvc.evaluation.metrics.codes import label, labelled
from vqvc.evaluation.ngram import Bigram
from vqvc.evaluation.probe import LabelledCodes, WindowMap, radius_for

STEP_S = 0.04  # the commonest phone of every 40 ms is taken: the map flickers, and shuffled codes do nothing else
DRAWN_S = 5.0  # a drawn sequence is as long as an utterance
WHAT = (
    "bits per phone under bigrams of subset train's phones, as read from its codes and as aligned; phones are read from codes "
    "with the probe's window map, the commonest of every 40 ms, repeats made one"
)


def phone_runs(labels: np.ndarray, rate_hz: float, step_s: float = STEP_S) -> np.ndarray:
    """(T,) classes at code rate -> the commonest class of every ``step_s`` (the lowest of equals), repeats made one."""
    size = max(1, round(step_s * rate_hz))
    steps = [np.bincount(labels[at : at + size]).argmax() for at in range(0, len(labels), size)]
    phones = np.array(steps, dtype=np.int64)
    return phones[np.concatenate([[True], phones[1:] != phones[:-1]])] if len(phones) else phones


def of_prior(
    archive: CodeArchive,
    prior: PriorFile,
    alignment: str | Path,
    seconds: float,
    seed: int = 0,
    progress: Callable[[int], None] = lambda codes: None,
) -> dict:
    """``compare`` for real codes of subset dev and ``seconds`` of codes drawn from a prior, in sequences of DRAWN_S.

    alignment: phones.ctm of the archive's utterances; raises UsageError when it has none of subset train.
    """
    train, _ = labelled(archive, *label(archive, stream_ctm(alignment)), "train")
    if not train.frames:
        raise UsageError(f"{alignment}: aligns no utterance of subset train; give the alignment of these codes' store")
    rng, drawn = np.random.default_rng(seed), []
    for _ in range(max(1, round(seconds / DRAWN_S))):
        speaker = int(rng.integers(len(prior.speakers) + 1))
        drawn.append(draw(prior.integers, prior.codes_in(DRAWN_S), speaker=speaker, rng=rng, progress=progress))
    real = [archive.codes_of(utt_id) for utt_id in archive.subset("dev")]
    rate_hz = archive.sample_rate / archive.hop_length
    return compare(train, real, {"drawn from the prior": drawn}, len(CLASSES), rate_hz, seed)


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
    reader = WindowMap(train, radius_for(rate_hz), seed=seed)

    def read(sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        offsets = np.cumsum([0] + [len(one) for one in sequences])
        return _runs(reader.predict(np.concatenate(sequences).astype(np.int64), offsets), offsets, rate_hz)

    spans = list(zip(train.offsets[:-1], train.offsets[1:]))
    as_read = Bigram(read([train.codes[a:b] for a, b in spans]), classes)
    as_aligned = Bigram(_runs(train.labels.astype(np.int64), train.offsets, rate_hz), classes)
    sets = {"real codes": list(real), "real codes, shuffled": [rng.permutation(one) for one in real], **drawn}
    figures = {}
    for name, sequences in sets.items():
        phones = read(sequences)
        count = sum(map(len, phones))
        figures[name] = {
            "bits_per_phone_as_read": sum(map(as_read.bits, phones)) / max(1, count),
            "bits_per_phone_as_aligned": sum(map(as_aligned.bits, phones)) / max(1, count),
            "phones": count,
            "phones_per_second": count / (sum(map(len, sequences)) / rate_hz),
        }
    return {"what": WHAT, "sets": figures}


def _runs(labels: np.ndarray, offsets: np.ndarray, rate_hz: float) -> list[np.ndarray]:
    return [phone_runs(labels[a:b], rate_hz) for a, b in zip(offsets[:-1], offsets[1:])]


def table(result: dict) -> str:
    """The result for reading."""
    lines = [result["what"], f"  {'':34s} as read  as aligned  phones/s"]
    for name, row in result["sets"].items():
        bits = f"{row['bits_per_phone_as_read']:7.3f} {row['bits_per_phone_as_aligned']:11.3f}"
        lines.append(f"  {name:34s} {bits} {row['phones_per_second']:9.1f}")
    return "\n".join(lines)
