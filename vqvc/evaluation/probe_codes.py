"""The probe of an archive of codes: computes the figures of probe.json from codes and phone segments."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvc.conversion.model_file import ModelFile
from vqvc.corpus.alignment import Segment, require_store, stream_ctm
from vqvc.corpus.codes import CodeArchive
from vqvc.corpus.phones import CLASSES
from vqvc.corpus.store import PackedStore
from vqvc.evaluation import plots, probe, probe_baselines
from vqvc.evaluation.builtin_corpus import synthesize_and_encode
from vqvc.evaluation.metrics.codes import label, labelled
from vqvc.evaluation.probe import LabelledCodes
from vqvc.evaluation.probe_baselines import SETS, SILENCE

logger = logging.getLogger("vqvc.probe")

KMeans = tuple[LabelledCodes, dict[str, tuple[np.ndarray, LabelledCodes]]]


@dataclass(frozen=True)
class Probed:
    """The input of the probe: codes, phone segments by utterance, and recordings for k-means, or None."""

    archive: CodeArchive
    alignment: Iterable[tuple[str, Sequence[Segment]]]
    waveform: Callable[[str], np.ndarray] | None
    file: str  # the codes' file or the model's, for probe.json

    @classmethod
    def of_files(cls, codes: Path, alignment: Path, store: Path | None) -> "Probed":
        """Read the codes of vqvc-encode and the phones of vqvc-align.

        store: the packed store, for k-means; None leaves k-means out. Raises CorpusError if the phones are of another
            store.
        """
        packed = PackedStore(store) if store else None
        if packed is not None:
            require_store(alignment, packed.sha256)
        waveform = (lambda utt_id: packed.waveform(packed.utterance(utt_id))) if packed else None
        return cls(CodeArchive.load(codes), stream_ctm(alignment), waveform, codes.name)

    @classmethod
    def built_in(cls, model: ModelFile, scratch: Path) -> "Probed":
        """Encode synthetic speech of eSpeak NG, whose phone times are exact, with a model.

        scratch: folder for the speech, which must exist while the result is used. Raises MissingExtraError if eSpeak NG
        is not installed.
        """
        corpus = synthesize_and_encode(model, scratch / "corpus")
        return cls(corpus.archive, corpus.segments.items(), corpus.waveform, model.path.name)


@dataclass(frozen=True)
class ProbeResult:
    """The probe's figures. joint: (codes, phones), counts on subset train."""

    figures: dict  # see ``probe_baselines.compare``
    report: dict  # the content of probe.json, which includes the figures
    joint: np.ndarray

    def draw(self, path: Path) -> None:
        """Write the heat map of P(phone | code)."""
        codes = self.report["codes"]
        title = f"P(phone | code), {codes['codebook_size']} codes at {codes['rate_hz']:g} Hz, training subset"
        plots.heat_map(self.joint, CLASSES, path, title)


def measure(
    probed: Probed,
    seed: int,
    baseline_minutes: float,
    progress: Callable[[int], object] = lambda utterances: None,
) -> ProbeResult:
    """Fit the maps from codes to phones on subset train and score them on test and dev.

    baseline_minutes: of speech per subset for k-means on MFCC, at most. progress: called with the number of utterances
    whose MFCC were just computed. Raises CorpusError if a subset is empty or has one class.
    """
    archive = probed.archive
    labels, aligned = label(archive, probed.alignment)
    train, missing = labelled(archive, labels, aligned, "train")
    left_out = {"train": missing}
    scored = {}
    for name in SETS:
        data, left_out[name] = labelled(archive, labels, aligned, name)
        if data.frames:
            scored[name] = data
        else:
            logger.warning("subset %s has no aligned utterance: it is not scored", name)
    joint = probe.joint_counts(train, len(CLASSES))
    probe_baselines.check_all(joint, train, scored)
    rate_hz = int(archive.sample_rate) / int(archive.hop_length)
    kmeans = _kmeans(probed, train, scored, baseline_minutes, seed, progress)
    figures = probe_baselines.compare(train, scored, rate_hz, seed, kmeans)
    report = {
        "format_version": 1,
        "codes": {
            "file": probed.file,
            "model": str(archive.model),
            "codebook_size": train.codebook_size,
            "hop_length": int(archive.hop_length),
            "sample_rate": int(archive.sample_rate),
            "rate_hz": rate_hz,
        },
        "seed": seed,
        "fitted_on": _describe(train, left_out["train"]) | {"subset": "train"},
        "sets": {name: _describe(data, left_out[name]) | {"what": SETS[name]} for name, data in scored.items()},
        "figures": figures,
        "about_the_codes": probe_baselines.code_figures(
            scored.get("test") or next(iter(scored.values())), rate_hz, "the scored set"
        ),
    }
    return ProbeResult(figures, report, joint)


def _describe(data: LabelledCodes, left_out: int) -> dict:
    return {
        "utterances": len(data.utt_ids),
        "speakers": len(set(data.speakers)),
        "frames": data.frames,
        "silence_share": round(float((data.labels == SILENCE).mean()), 4),
        "utterances_without_alignment": left_out,
    }


def _kmeans(
    probed: Probed,
    train: LabelledCodes,
    scored: dict[str, LabelledCodes],
    minutes: float,
    seed: int,
    progress: Callable[[int], object],
) -> KMeans | None:
    if probed.waveform is None:
        return None
    logger.info("k-means on MFCC with %d codes, at most %g minutes per subset", train.codebook_size, minutes)
    hop_length, sample_rate = int(probed.archive.hop_length), int(probed.archive.sample_rate)
    return probe_baselines.kmeans_baselines(
        train, scored, probed.waveform, hop_length, sample_rate, minutes, seed, progress
    )
