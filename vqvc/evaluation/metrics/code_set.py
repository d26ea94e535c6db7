"""The evaluation's section on codes: usage, speaker and gender probes, and ABX; also for k-means and random codes."""

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation import baselines
from vqvc.evaluation.metric import ByKind, Metric, by_name
from vqvc.evaluation.metrics import abx, speaker_probe
from vqvc.evaluation.metrics import codes as code_metrics
from vqvc.evaluation.probe import LabelledCodes

logger = logging.getLogger("vqvc.evaluate")

HISTOGRAMS = {
    "codes": "code histograms",
    "random": "histograms of random codes",
    "kmeans": "histograms of k-means codes (MFCC)",
}


def unlabelled(archive) -> tuple[LabelledCodes, np.ndarray]:
    """All codes of an archive with label 0, and the subset of each utterance (U,)."""
    return (
        LabelledCodes(
            codes=np.asarray(archive.codes),
            labels=np.zeros(len(archive.codes), np.int8),
            offsets=np.asarray(archive.offsets, np.int64),
            utt_ids=tuple(str(name) for name in archive.utt_ids),
            speakers=tuple(str(name) for name in archive.speakers),
            codebook_size=int(archive.codebook_size),
        ),
        np.asarray([str(name) for name in archive.subsets]),
    )


def measure(
    archive, store, alignment: Mapping[str, Sequence] | None, vectors: np.ndarray | None, seed: int = 0
) -> dict[str, Metric | ByKind | dict[str, str]]:
    """All figures on the codes of a corpus. alignment: None leaves ABX out. vectors: (K, D), the codebook, or None."""
    data, subsets = unlabelled(archive)
    rate_hz = int(archive.sample_rate) / int(archive.hop_length)
    picked = _some(data, subsets, rate_hz, seed)
    sample, sample_subsets = data.pick(picked), subsets[picked]
    systems = {"codes": sample, "random": baselines.random_codes(sample, seed)}

    def waveform(utt_id: str) -> np.ndarray:
        return store.waveform(store.utterance(utt_id))

    logger.info("k-means on MFCC of %d utterances", len(picked))
    model = baselines.KMeansCodes(sample.codebook_size, int(archive.hop_length), int(archive.sample_rate), seed)
    try:
        rows = model.features(sample, waveform, lambda count: None)
        train = np.repeat(sample_subsets == "train", np.diff(sample.offsets))
        codes = model.fit(rows[train]).encode(rows)
        systems["kmeans"] = LabelledCodes(
            codes, sample.labels, sample.offsets, sample.utt_ids, sample.speakers, sample.codebook_size
        )
    except CorpusError as error:
        logger.warning("k-means left out: %s", error)
    genders = {item.speaker: item.gender for item in store.speakers}
    unseen = data.pick(np.flatnonzero(subsets != "train")) if (subsets != "train").any() else data
    result: dict = {"usage": _try(lambda: by_name(code_metrics.usage_metrics(unseen, rate_hz)))}
    for system, own in systems.items():
        result[f"{system}_speaker_probe"] = _try(
            speaker_probe.speaker_probe, own, sample_subsets, HISTOGRAMS[system], seed
        )
        result[f"{system}_gender_probe"] = _try(speaker_probe.gender_probe, own, genders, HISTOGRAMS[system], seed)
    if alignment is None:
        result["abx"] = {"left_out": "needs an alignment; name it with --align"}
    else:
        result["abx"] = _try(
            _abx, systems, sample_subsets, alignment, rate_hz, vectors, waveform, store.sample_rate, seed
        )
    return result


def _try(make: Callable, *given: object):
    try:
        return make(*given)
    except CorpusError as error:
        return {"left_out": str(error)}


def _some(data: LabelledCodes, subsets: np.ndarray, rate_hz: float, seed: int) -> np.ndarray:
    """Utterances for metrics that need audio, as sorted indices: dev and test first, then train, up to a limit."""
    order = np.random.default_rng(seed).permutation(len(subsets))
    order = order[np.argsort(subsets[order] == "train", kind="stable")]
    frames = np.cumsum(np.diff(data.offsets)[order])
    return np.sort(order[: int(np.searchsorted(frames, 3 * abx.MOST_MINUTES * 60 * rate_hz)) + 1])


def _abx(systems, subsets, alignment, rate_hz, vectors, waveform, sample_rate, seed) -> dict:
    """ABX on the utterances that are not in training; on all utterances if these have too few triples."""
    held_out, everything = np.flatnonzero(subsets != "train"), np.arange(len(subsets))
    for picked, where in ((held_out, "subsets dev and test"), (everything, "all subsets, training included")):
        chosen = {name: data.pick(picked) for name, data in systems.items()}
        aligned = [utt_id for utt_id in next(iter(chosen.values())).utt_ids if utt_id in alignment]
        if not aligned:
            continue
        segments = {utt_id: alignment[utt_id] for utt_id in aligned}
        frames_of = abx.standardised_mfcc(waveform, sample_rate, aligned)
        try:
            return {"on": where} | abx.measure(chosen, segments, rate_hz, vectors, frames_of, seed)
        except CorpusError:
            continue
    raise CorpusError(
        "ABX needs phone triples that differ in the middle phone, spoken more than once; give more aligned utterances"
    )
