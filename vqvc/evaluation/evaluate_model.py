"""The evaluation of a model: conversion of held-out utterances, judging, and the content of evaluate.json."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import vqvc
from vqvc.errors import CorpusError
from vqvc.evaluation import evaluation_set, suite
from vqvc.evaluation.background import BackgroundJudges, Judge
from vqvc.evaluation.evaluation_set import EvaluationClip
from vqvc.evaluation.judges.quality import QualityJudge
from vqvc.evaluation.judges.recognisers import Recogniser
from vqvc.evaluation.judges.speaker_encoders import SpeakerEncoder
from vqvc.evaluation.metrics import code_set, contour, pitch, quality, speaker, speaker_mfcc, spectrum, words


@dataclass(frozen=True)
class Judges:
    """The pretrained models that judge recordings. Figures of a judge that is None or missing are left out.

    recogniser: for word errors. encoders: speaker encoders by name, the main one first. quality: predictors of quality.
    threads: recordings that are judged at a time, the number of cores when None.
    """

    recogniser: Recogniser | None = None
    encoders: Mapping[str, SpeakerEncoder] = field(default_factory=dict)
    quality: Sequence[QualityJudge] = ()
    threads: int | None = None

    def provenance(self) -> dict:
        """Names and checksums for evaluate.json."""
        encoders = [_named(encoder) for encoder in self.encoders.values()]
        return {
            "recogniser": _named(self.recogniser) if self.recogniser else None,
            "speaker_encoder": encoders[0] if encoders else None,
            "further_speaker_encoders": encoders[1:],
            "quality": [_named(judge) for judge in self.quality],
        }


@dataclass(frozen=True)
class Selection:
    """Which utterances are converted to which speakers; see the options of vqvc-evaluate.

    options: keywords of the converter's ``convert``.
    """

    limit: int = 64
    targets: Sequence[str] = ()
    target_count: int = 12
    each: int = 2
    few_count: int = 24
    contours: int = 12
    seed: int = 0
    options: Mapping = field(default_factory=dict)


def evaluate(
    converter, store, selection: Selection, judges: Judges, out: Path, archive=None, alignment: Mapping | None = None
) -> dict:
    """Convert held-out utterances and measure the results; returns the content of evaluate.json.

    converter: VoiceConverter. store: PackedStore or WithStrangers. out: folder; recordings are written to ``out``/wav.
    archive: CodeArchive of the model, and alignment: {utt_id: segments}, for the figures on codes; None leaves them
        out.

    Raises UsageError for an unknown target, CorpusError if the store has no speech to convert.
    """
    seed, rate, known = selection.seed, store.sample_rate, list(converter.speakers)
    targets = evaluation_set.choose_targets(store, known, selection.targets, selection.target_count)
    few = evaluation_set.choose_few(store, known, targets, selection.few_count, seed)
    sources = evaluation_set.choose_sources(store, known, targets, selection.limit, seed)
    clips = evaluation_set.plan(store, known, sources, targets, each=selection.each, few=few, seed=seed)
    used = [clip.utt_id for clip in clips]
    wanted = list(dict.fromkeys(clip.target for clip in clips if clip.kind == "conversion"))
    natural = pitch.natural_clips(clips, store, seed)
    with BackgroundJudges(_judges(judges, clips, rate, seed), judges.threads, len(clips)) as background:
        enrolled = {
            name: background.submit(partial(speaker.enrol, store, wanted, used, encoder, seed))
            for name, encoder in judges.encoders.items()
        }
        tracked = background.submit(partial(pitch.add_pitch, natural, rate))
        fitted = background.submit(partial(speaker_mfcc.identifier, clips, store, seed))
        evaluation_set.make(converter, store, clips, out, seed, selection.options, ready=background.add)

        def contours() -> list[EvaluationClip]:
            if not judges.encoders:
                raise CorpusError(NO_ENCODER)
            return contour.make(converter, clips, store, selection.contours, seed, selection.options)

        replaced, refused = suite.attempt("other F0 contours", contours)
        background.wait()
        tracked.result()

    def word_errors() -> dict:
        if judges.recogniser is None:
            raise CorpusError("no recogniser is installed; install one with: pip install 'vqvc[evaluate]'")
        return words.measure(clips, judges.recogniser, rate, seed)

    def by_encoder(name: str) -> dict:
        return speaker.measure(clips, enrolled[name].result(), judges.encoders[name], rate, seed)

    def by_contour(name: str) -> dict:
        if replaced is None:
            raise CorpusError(refused)
        return contour.measure(replaced, clips, enrolled[name].result(), judges.encoders[name], rate, seed)

    def by_mfcc() -> dict:
        by_kind: dict = speaker_mfcc.measure(clips, store, seed, fitted.result())
        for kind, confusion in speaker_mfcc.confusions(clips).items():
            if kind in by_kind:
                by_kind[kind] = {**by_kind[kind], "confusion": confusion}
        return by_kind

    figures = {"content": suite.section("words", word_errors)}
    for number, name in enumerate(judges.encoders):
        suffix = f"_{name}" if number else ""
        figures[f"encoder{suffix}"] = suite.section(f"speaker by {name}", partial(by_encoder, name))
        figures[f"contour{suffix}"] = suite.section(
            f"speaker in codes and contour by {name}", partial(by_contour, name)
        )
    if not judges.encoders:
        figures |= {"encoder": {"left_out": NO_ENCODER}, "contour": {"left_out": NO_ENCODER}}
    figures |= {
        "speaker": suite.section("speaker by MFCC", by_mfcc),
        "prosody": suite.section("pitch", lambda: pitch.measure(clips, rate, seed, natural)),
        "spectrum": suite.section("spectrum", lambda: spectrum.measure(clips, store, seed)),
        "quality": suite.section("quality", lambda: quality.measure(clips, rate, seed, judges.quality or None)),
        "codes": suite.section("codes", lambda: _codes(archive, store, alignment, converter, seed)),
    }
    evaluation_set.annotate(clips, archive, alignment)
    return {
        "format_version": 2,
        "settings": {
            "limit": selection.limit,
            "targets": targets,
            "targets_of_few_sentences": few,
            "targets_each": selection.each,
            "sources": [item.utt_id for item in sources],
            "seed": seed,
            **selection.options,
        },
        "provenance": {
            "vqvc": vqvc.__version__,
            "store_sha256": store.sha256,
            "model_checksum": getattr(converter, "checksum", ""),
            **judges.provenance(),
        },
        "figures": figures,
        "clips": suite.clip_rows(clips, rate),
    }


NO_ENCODER = "no speaker encoder was chosen; give --speaker-encoder ge2e"


def _judges(judges: Judges, clips: Sequence[EvaluationClip], rate: int, seed: int) -> list[Judge]:
    """The functions that judge a recording in the background: pitch, speaker embeddings, transcript, quality."""
    functions: list[Judge] = [partial(pitch.add_pitch, sample_rate=rate)]
    functions += [partial(speaker.embed, encoder=encoder, sample_rate=rate) for encoder in judges.encoders.values()]
    if judges.recogniser is not None:
        functions.append(partial(words.transcribe, recogniser=judges.recogniser, sample_rate=rate))
    if judges.quality:
        scored_files = {clip.file for clip in quality.choose(clips, seed)}

        def score(batch: Sequence[EvaluationClip]) -> None:
            quality.score([clip for clip in batch if clip.file in scored_files], judges.quality, rate)

        functions.append(score)
    return functions


def _codes(archive, store, alignment: Mapping | None, converter, seed: int) -> dict:
    if archive is None:
        raise CorpusError("no codes were given; write them with vqvc-encode and name them with --codes")
    return code_set.measure(archive, store, alignment, getattr(converter, "codebook", None), seed)


def _named(judge) -> dict:
    return {"name": judge.name, "sha256": judge.checksum}
