"""The evaluation: what comes out, judged beside natural speech. Every section is figures by name for every kind of clip."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from tqdm import tqdm

from vqvc.errors import CorpusError, MissingExtraError
from vqvc.evaluation import metrics
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind, order_of, parallel, with_copies
from vqvc.evaluation.figures import figure, mean_interval, tidy
from vqvc.evaluation.judges.quality import QualityJudge, available_judges
from vqvc.evaluation.metric import Groups, Metric, as_figures, mean

logger = logging.getLogger("vqvc.evaluate")

NATURAL_EACH = 5  # natural utterances per wanted voice for the reference of pitch and pace


def section(name: str, make: Callable[[], dict]) -> dict:
    """``make()``, or {"left_out": why} when the corpus or an absent package does not allow it."""
    logger.info("measuring: %s", name)
    try:
        return make()
    except (CorpusError, MissingExtraError) as error:
        logger.warning("%s left out: %s", name, error)
        return {"left_out": str(error)}


def natural_clips(clips: Sequence[EvaluationClip], store, seed: int = 0) -> list[EvaluationClip]:
    """A few natural utterances of every wanted voice that are none of ``clips``: what its pitch and pace should be."""
    used = {clip.utt_id for clip in clips}
    found, taken = [], Counter()
    voices = {clip.voice for clip in clips if clip.kind == "conversion"}
    for item in sorted(store.utterances, key=lambda item: order_of(item.utt_id, seed)):
        if item.speaker in voices and item.utt_id not in used and taken[item.speaker] < NATURAL_EACH:
            taken[item.speaker] += 1
            found.append(
                EvaluationClip(
                    "natural", item.utt_id, item.speaker, item.speaker, item.text, "", store.waveform(item), True
                )
            )
    return found


def add_pitch(clips: Sequence[EvaluationClip], sample_rate: int) -> None:
    """Pitch track of every clip, once."""
    from vqvc.audio.pitch import f0

    for clip in clips:
        if "f0_hz" not in clip.measured:
            clip.measured["times_s"], clip.measured["f0_hz"] = f0(clip.samples, sample_rate)


def prosody_figures(
    clips: Sequence[EvaluationClip], sample_rate: int, seed: int = 0, natural: Sequence[EvaluationClip] = ()
) -> dict:
    """Pitch, voicing and pace of every kind, beside the source on the same timeline and the voice that was wanted.

    natural: ``natural_clips``; without them the distance to the wanted voice's pitch is left out.
    """
    add_pitch([*clips, *natural], sample_rate)
    source = {clip.utt_id: clip for clip in clips if clip.kind == "source"}
    medians = {
        voice: _median_of([clip for clip in natural if clip.voice == voice])
        for voice in {clip.voice for clip in natural}
    }
    result: dict = {}
    for kind, group in by_kind([*with_copies(clips), *natural]).items():
        rows = _own_prosody(group, sample_rate)
        if kind not in ("source", "natural"):
            rows |= _followed_prosody([_compare(source[clip.utt_id], clip) for clip in group])
            own = [(_median_of([clip]), medians[clip.voice]) for clip in group if clip.voice in medians]
            if own and kind != "reconstruction":
                apart = [abs(12 * np.log2(one / other)) for one, other in own]
                rows["pitch_to_voice"] = (
                    apart,
                    "semitones",
                    "from the clip's median pitch to that of the wanted voice's natural speech",
                )
        result[kind] = {
            name: mean_figure(values, unit, f"{what}; pitch by Praat, range found in two passes", seed)
            for name, (values, unit, what) in rows.items()
        }
    return result


def _median_of(group: Sequence[EvaluationClip]) -> float:
    return metrics.pitch_summary(np.concatenate([clip.measured["f0_hz"] for clip in group])).median_hz


def _own_prosody(group: Sequence[EvaluationClip], sample_rate: int) -> dict:
    """{name: (value of each clip, unit, definition)} of what a clip tells by itself."""
    own = [metrics.pitch_summary(clip.measured["f0_hz"]) for clip in group]
    pace = [metrics.nuclei_per_second(clip.samples, sample_rate) for clip in group]
    return {
        "median_pitch": ([item.median_hz for item in own], "Hz", "median of voiced frames, mean over utterances"),
        "pitch_range": ([item.range_semitones for item in own], "semitones", "5th to 95th percentile of voiced frames"),
        "voiced": ([100 * item.voiced_share for item in own], "%", "share of frames with pitch"),
        "pace": (pace, "peaks/s", "loudness peaks per second (about one per syllable)"),
    }


def _followed_prosody(follow: Sequence[metrics.PitchComparison]) -> dict:
    """The same of how a clip follows its source."""
    rmse = "root mean square difference from the source's pitch, mean difference taken away"
    voicing = "share of frames voiced in one of source and output only"
    return {
        "pitch_correlation": (
            [item.correlation for item in follow],
            "-1 to 1",
            "of log pitch with the source's, both voiced",
        ),
        "pitch_rmse": ([item.rmse_semitones for item in follow], "semitones", rmse),
        "voicing_error": ([100 * item.voicing_error for item in follow], "%", voicing),
    }


def _compare(one: EvaluationClip, other: EvaluationClip) -> metrics.PitchComparison:
    a, b = one.measured, other.measured
    return metrics.compare_pitch(a["times_s"], a["f0_hz"], b["times_s"], b["f0_hz"])


def mean_figure(values: Sequence[float], unit: str, what: str, seed: int, **more: object) -> dict:
    """The mean over utterances as a figure; values that are not finite are left out and counted as ``undefined``."""
    values = np.asarray(values, dtype=np.float64)
    known = values[np.isfinite(values)]
    return figure(
        float(known.mean()) if len(known) else None,
        unit,
        what,
        interval_95=mean_interval(known, seed),
        utterances=len(known),
        undefined=len(values) - len(known),
        **more,
    )


def spectrum_figures(clips: Sequence[EvaluationClip], store, seed: int = 0) -> dict:
    """Mel-cepstral distortion to natural parallel speech of the wanted voice, and of reconstructions to their source."""
    rate = store.sample_rate
    source = {clip.utt_id: metrics.mel_cepstra(clip.samples, rate) for clip in clips if clip.kind == "source"}
    result: dict = {}
    rebuilt = [
        metrics.cepstral_distortion(metrics.mel_cepstra(clip.samples, rate), source[clip.utt_id])
        for clip in clips
        if clip.kind == "reconstruction"
    ]
    if rebuilt:
        what = f"mel-cepstral distortion to the source itself: {metrics.MCD_RECIPE}"
        result["reconstruction"] = {"distortion_to_source": mean_figure(rebuilt, "dB", what, seed)}
    converted, copied = [], []
    for index, wanted in parallel(store, clips).items():
        natural = metrics.mel_cepstra(store.waveform(wanted), rate)
        converted.append(metrics.cepstral_distortion(metrics.mel_cepstra(clips[index].samples, rate), natural))
        copied.append(metrics.cepstral_distortion(source[clips[index].utt_id], natural))
    if converted:
        what = f"mel-cepstral distortion to the wanted voice reading the same sentence: {metrics.MCD_RECIPE}"
        result["conversion"] = {"distortion_to_target": mean_figure(converted, "dB", what, seed)}
        result["copy"] = {"distortion_to_target": mean_figure(copied, "dB", f"the source left as it is; {what}", seed)}
    if not result:
        raise CorpusError(
            "distortion needs reconstructions of known speakers or parallel sentences, and there are none"
        )
    return result


QUALITY_EACH = 20  # recordings that are scored of each kind, apart by known and unseen speakers: the first by hash


def quality_figures(
    clips: Sequence[EvaluationClip], sample_rate: int, seed: int = 0, judges: Sequence[QualityJudge] | None = None
) -> dict:
    """Quality without a reference by every judge whose package is installed; raises MissingExtraError when none is."""
    judges = available_judges() if judges is None else judges
    taken: Counter = Counter()
    chosen = []
    for clip in sorted(clips, key=lambda clip: order_of(f"{clip.utt_id} {clip.voice}", seed)):
        group = (clip.kind, clip.seen, clip.few)
        taken[group] += 1
        if taken[group] <= QUALITY_EACH:
            chosen.append(clip)
    for clip in tqdm(chosen, desc="quality", unit="recording", disable=None):
        clip.measured["quality"] = {judge.name: judge.score(clip.samples, sample_rate) for judge in judges}
    return {kind: as_figures(_quality(group, judges, seed)) for kind, group in by_kind(chosen).items()}


def _quality(group: Sequence[EvaluationClip], judges: Sequence[QualityJudge], seed: int) -> list[Metric]:
    facts = {"unit": "1 to 5", "definition": "mean opinion score", "seed": seed}
    return [
        mean(
            judge.name, [clip.measured["quality"][judge.name] for clip in group], Groups.of(group), judge=judge.recipe, **facts
        )
        for judge in judges
    ]  # fmt: skip


def clip_rows(clips: Sequence[EvaluationClip], sample_rate: int) -> list[dict]:
    """One row per recording for the JSON: what it is, where it lies, what was found."""
    rows = []
    for clip in clips:
        row: Mapping = {
            "kind": clip.kind, "utt_id": clip.utt_id, "speaker": clip.speaker, "voice": clip.voice, "seen_speaker": clip.seen,
            "text": clip.text, "file": clip.file, "seconds": len(clip.samples) / sample_rate,
        }  # fmt: skip
        found = {name: clip.measured.get(name) for name in ("heard", "named", "codes", "hop_length", "phones")}
        if "f0_hz" in clip.measured:
            found["median_pitch_hz"] = metrics.pitch_summary(clip.measured["f0_hz"]).median_hz
        rows.append(tidy({**row, **{key: value for key, value in found.items() if value is not None}}))
    return rows
