"""Phone statistics of sampled codes: cross-entropy of their phones under bigrams of natural speech.

Phones are predicted from codes by the probe's window map.
"""

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

STEP_S = 0.04  # the most frequent phone of each step is used, since predictions change at random between neighbours
DRAWN_S = 5.0  # length of a sampled sequence, about that of an utterance
WHAT = (
    "bits per phone under bigrams of subset train's phones, as read from its codes and as aligned; phones are read from codes "
    "with the probe's window map, the commonest of every 40 ms, repeats made one"
)


def phone_runs(labels: np.ndarray, rate_hz: float, step_s: float = STEP_S) -> np.ndarray:
    """Reduce phone classes (T,) at code rate to the most frequent class of each ``step_s``, with repeats merged."""
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
    """``compare`` for real codes of subset dev and ``seconds`` of codes sampled from a prior, in sequences of DRAWN_S.

    alignment: phones.ctm of the archive's utterances. progress: called with the number of codes that were just sampled.
    Raises UsageError if no utterance of subset train is aligned.
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
    """Bigram cross-entropy of the phones of real, shuffled and sampled codes, as JSON.

    train: labelled codes of subset train. real: codes of utterances with unseen sentences. drawn: sets of sampled
    sequences by name. rate_hz: codes per second.
    """
    rng = np.random.default_rng(seed)
    reader = WindowMap(train, radius_for(rate_hz), seed=seed)

    def read(sequences: Sequence[np.ndarray]) -> list[np.ndarray]:
        offsets = np.cumsum([0] + [len(sequence) for sequence in sequences])
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
    """The result of ``compare`` as a plain-text table."""
    lines = [result["what"], f"  {'':34s} as read  as aligned  phones/s"]
    for name, row in result["sets"].items():
        bits = f"{row['bits_per_phone_as_read']:7.3f} {row['bits_per_phone_as_aligned']:11.3f}"
        lines.append(f"  {name:34s} {bits} {row['phones_per_second']:9.1f}")
    return "\n".join(lines)
