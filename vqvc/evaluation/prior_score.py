"""The cost of codes in bits under the prior and its baselines, as probabilities and as files; the bound on log p(x)."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vqvc.codec import code_file
from vqvc.codec.prior_file import PriorFile
from vqvc.conversion.model_file import Header
from vqvc.corpus.codes import CodeArchive
from vqvc.errors import CorpusError
from vqvc.evaluation.ngram import Bigram, Unigram
from vqvc.training.prior_task import bits_of

SETS = {"dev": "unseen sentences", "test": "unseen speakers and sentences"}
WITH_SPEAKER = "prior, with the speaker"
MODELS = {
    "uniform": "every code alike",
    "unigram": "how often each code occurs in subset train, one added to each count",
    "bigram": "the code before, in subset train, smoothed towards the unigram",
    "prior": "the learned prior, without the speaker",
    WITH_SPEAKER: "the learned prior, conditioned on the speaker (speakers of subset train only)",
}
DECODED = 5  # utterances of each set whose coded files are decoded and compared
BOUND = (
    "log2 p(x | speaker) >= -(decoder + prior) per sample, with decoder = -log2 p(x | codes, speaker) and prior = "
    "-log2 p(codes) over the hop; x are µ-law classes. The encoder is deterministic: the posterior's entropy, which would "
    "be added, is 0."
)


@dataclass(frozen=True)
class Utterances:
    """The utterances of a set: names, codes (T,) each, lengths in samples and speakers."""

    utt_ids: list[str]
    codes: list[np.ndarray]
    lengths_samples: list[int]
    speakers: list[str]

    @classmethod
    def of(cls, archive: CodeArchive, subset: str) -> "Utterances":
        """The utterances of a subset that have at least one code."""
        rows = [i for i in np.flatnonzero(archive.subsets == subset) if archive.offsets[i + 1] > archive.offsets[i]]
        names = [str(archive.utt_ids[i]) for i in rows]
        return cls(
            names,
            [archive.codes_of(name) for name in names],
            [int(archive.lengths_samples[i]) for i in rows],
            [str(archive.speakers[i]) for i in rows],
        )


def score(
    archive: CodeArchive,
    prior_file: PriorFile,
    decoder_bits: float | None = None,
    progress: Callable[[int], None] = lambda utterances: None,
) -> dict:
    """Bits per code and per second of every model in MODELS on every set in SETS, as JSON.

    decoder_bits: the decoder's bits per sample on unseen sentences, for the bound; None leaves the bound out. progress:
    called with 1 for each utterance. Raises CorpusError if no set has codes.
    """
    train = [archive.codes_of(utt_id) for utt_id in archive.subset("train")]
    unigram, bigram = Unigram(train, archive.codebook_size), Bigram(train, archive.codebook_size)
    sets = {}
    for name, what in SETS.items():
        utterances = Utterances.of(archive, name)
        if utterances.codes:
            sets[name] = {"what": what} | _score_set(archive, prior_file, utterances, unigram, bigram, progress)
    if not sets:
        raise CorpusError("codes: no utterance in dev or test; encode a store that holds some out")
    result = {
        "format_version": 1,
        "prior": {"file": prior_file.path.name, "checksum": prior_file.checksum, "training": prior_file.training},
        "codes": {
            "model": archive.model,
            "codebook_size": archive.codebook_size,
            "hop_length": archive.hop_length,
            "sample_rate": archive.sample_rate,
            "codes_per_second": archive.sample_rate / archive.hop_length,
            "train_codes": sum(map(len, train)),
        },
        "models": MODELS | {"bigram": f"{MODELS['bigram']} (strength {bigram.strength})"},
        "sets": sets,
    }
    if decoder_bits is not None and "dev" in sets:
        result["bound"] = bound(decoder_bits, sets["dev"]["bits_per_code"], archive.hop_length)
    return result


def _score_set(archive, prior_file, utterances: Utterances, unigram, bigram, progress) -> dict:
    total = dict.fromkeys(MODELS, 0.0)  # bits
    plain_bytes = coded_bytes = payload_bytes = decoded = codes_with_speaker = 0
    coder = prior_file.coder
    plain_coder = code_file.Coder(coder.model, coder.hop_length, coder.codebook_size)
    for n, (codes, length, speaker) in enumerate(
        zip(utterances.codes, utterances.lengths_samples, utterances.speakers)
    ):
        total["uniform"] += len(codes) * math.log2(archive.codebook_size)
        total["unigram"] += unigram.bits(codes)
        total["bigram"] += bigram.bits(codes)
        total["prior"] += bits_of(prior_file.model, codes)
        if index := prior_file.speaker_index(speaker):
            total[WITH_SPEAKER] += bits_of(prior_file.model, codes, index)
            codes_with_speaker += len(codes)
        data = code_file.pack(codes, length, coder)
        coded_bytes += len(data)
        payload_bytes += len(data) - code_file.overhead(length)
        plain_bytes += len(code_file.pack(codes, length, plain_coder))
        if n < DECODED:
            decoded += np.array_equal(code_file.unpack(data, coder)[0], codes)
        progress(1)
    count = sum(map(len, utterances.codes))
    codes_of = dict.fromkeys(MODELS, count) | {WITH_SPEAKER: codes_with_speaker}
    per_code = {name: bits / codes_of[name] for name, bits in total.items() if bits}
    rate = archive.sample_rate / archive.hop_length
    seconds = count / rate
    return {
        "utterances": len(utterances.codes),
        "speakers": len(set(utterances.speakers)),
        "codes": count,
        "seconds": seconds,
        "bits_per_code": per_code,
        "bits_per_second": {name: bits * rate for name, bits in per_code.items()},
        "saved_percent": {name: 100 * (1 - bits / per_code["uniform"]) for name, bits in per_code.items()},
        "files": {
            "plain_bits_per_second": 8 * plain_bytes / seconds,
            "coded_bits_per_second": 8 * coded_bytes / seconds,
            "coded_over_cross_entropy_percent": 100 * (8 * coded_bytes / total["prior"] - 1),
            "payload_over_cross_entropy_percent": 100 * (8 * payload_bytes / total["prior"] - 1),
            "mean_overhead_bytes": (coded_bytes - payload_bytes) / len(utterances.codes),
            "decoded_equal": f"{decoded} of {min(DECODED, len(utterances.codes))}",
        },
    }


def decoder_bits_of(header: Header) -> float | None:
    """The decoder's bits per sample on unseen sentences according to its model file; None if the file has no figure.

    The figure without the F0 contour is preferred: the bound cannot use the contour, for which there is no prior.
    """
    held_out = header.training.get("held_out") or {}
    return held_out.get("bits_without_f0") or held_out.get("bits_per_sample")


def bound(decoder_bits: float, bits_per_code: dict[str, float], hop_length: int) -> dict:
    """The bound on log p(x) in bits per sample and its terms, for each model of the codes."""
    return {
        "what": BOUND,
        "decoder_bits_per_sample": decoder_bits,
        "hop_length": hop_length,
        "prior_bits_per_sample": {name: bits / hop_length for name, bits in bits_per_code.items()},
        "bits_per_sample": {name: decoder_bits + bits / hop_length for name, bits in bits_per_code.items()},
    }


def table(result: dict) -> str:
    """The result of ``score`` as a plain-text table."""
    lines = []
    for name, data in result["sets"].items():
        lines.append(f"{name}: {data['what']}, {data['utterances']} utterances, {data['seconds'] / 60:.1f} min")
        lines.append(f"  {'':22s} bits/code  bits/s  saved")
        for model, bits in data["bits_per_code"].items():
            rate, saved = data["bits_per_second"][model], data["saved_percent"][model]
            lines.append(f"  {model:22s} {bits:9.3f} {rate:7.0f} {saved:5.1f} %")
        files = data["files"]
        lines.append(f"  {'file, plain':32s} {files['plain_bits_per_second']:7.0f}")
        lines.append(
            f"  {'file, under the prior':32s} {files['coded_bits_per_second']:7.0f}   "
            f"{files['coded_over_cross_entropy_percent']:+.2f} % of the prior's cross-entropy, "
            f"{files['payload_over_cross_entropy_percent']:+.3f} % without its {files['mean_overhead_bytes']:.1f} bytes "
            f"of frame; {files['decoded_equal']} decoded alike"
        )
    if "bound" in result:
        terms = result["bound"]
        lines.append(
            f"bound on log2 p(x), unseen sentences: decoder {terms['decoder_bits_per_sample']:.4f} bits per sample"
        )
        for model, bits in terms["bits_per_sample"].items():
            lines.append(f"  + {terms['prior_bits_per_sample'][model]:.4f} ({model}) = {bits:.4f} bits per sample")
    return "\n".join(lines)
