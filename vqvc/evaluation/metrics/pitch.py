"""Pitch, voicing and pace: of a recording alone, beside its source on the same timeline, and beside the target speaker."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.evaluation import metric
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind, order_of, with_copies
from vqvc.evaluation.metric import ByKind, Groups, Metric, by_name

NATURAL_EACH = 5  # natural utterances per target speaker for the reference of pitch and pace
JUDGE = "pitch by Praat, range found in two passes"


@dataclass(frozen=True)
class PitchSummary:
    """Pitch of one recording: median in Hz, range in semitones (5th to 95th percentile), share of voiced frames."""

    median_hz: float
    range_semitones: float
    voiced_share: float


def pitch_summary(f0_hz: np.ndarray) -> PitchSummary:
    """f0_hz: (T,) with NaN where unvoiced. Without voiced frames median and range are NaN."""
    f0_hz = np.asarray(f0_hz, dtype=np.float64)
    voiced = f0_hz[np.isfinite(f0_hz)]
    if not len(voiced):
        return PitchSummary(float("nan"), float("nan"), 0.0)
    low, high = np.quantile(voiced, [0.05, 0.95])
    return PitchSummary(float(np.median(voiced)), float(12 * np.log2(high / low)), len(voiced) / len(f0_hz))


@dataclass(frozen=True)
class PitchComparison:
    """Two pitch tracks on the same timeline; see ``compare_pitch``."""

    shift_semitones: float
    correlation: float
    rmse_semitones: float
    voicing_error: float


def compare_pitch(
    times_a_s: np.ndarray, f0_a_hz: np.ndarray, times_b_s: np.ndarray, f0_b_hz: np.ndarray
) -> PitchComparison:
    """How track b follows track a, frame by frame (b is read at the nearest frame to each time of a).

    shift: median difference in semitones; correlation: Pearson's, of log F0 where both are voiced; rmse: root mean square
    difference in semitones after the mean difference is taken away (another speaker may lie higher); voicing_error: share of
    frames where one is voiced and the other is not. Fewer than three common voiced frames give NaN for the first three.
    """
    if not len(times_a_s) or not len(times_b_s):
        return PitchComparison(*[float("nan")] * 4)
    nearest = np.searchsorted((times_b_s[:-1] + times_b_s[1:]) / 2, times_a_s)
    other = np.asarray(f0_b_hz)[nearest]
    voiced_a, voiced_b = np.isfinite(f0_a_hz), np.isfinite(other)
    error = float(np.mean(voiced_a != voiced_b))
    both = voiced_a & voiced_b
    if both.sum() < 3:
        return PitchComparison(float("nan"), float("nan"), float("nan"), error)
    a, b = 12 * np.log2(np.asarray(f0_a_hz)[both]), 12 * np.log2(other[both])
    difference = b - a
    flat = a.std() < 1e-9 or b.std() < 1e-9
    return PitchComparison(
        shift_semitones=float(np.median(difference)),
        correlation=float("nan") if flat else float(np.corrcoef(a, b)[0, 1]),
        rmse_semitones=float(np.sqrt(np.mean((difference - difference.mean()) ** 2))),
        voicing_error=error,
    )


def nuclei_per_second(samples: np.ndarray, sample_rate: int) -> float:
    """Speaking rate as loudness peaks per second (after de Jong and Wempe 2009): a peak stands 2 dB above the dips around
    it and at most 25 dB under the loudest, in the 300 to 3,300 Hz band smoothed over 50 ms. NaN under 0.2 s."""
    from scipy.signal import butter, find_peaks, sosfiltfilt

    samples = np.asarray(samples, dtype=np.float64)
    if len(samples) < 0.2 * sample_rate:
        return float("nan")
    band = sosfiltfilt(butter(2, [300, 3300], "bandpass", fs=sample_rate, output="sos"), samples)
    window = np.hanning(round(0.1 * sample_rate))
    power = np.convolve(band**2, window / window.sum(), "same")[:: round(0.01 * sample_rate)]
    if power.max() <= 0:
        return 0.0
    level_db = 10 * np.log10(np.maximum(power / power.max(), 1e-6))
    peaks, _ = find_peaks(level_db, height=-25, prominence=2)
    return len(peaks) / (len(samples) / sample_rate)


def natural_clips(clips: Sequence[EvaluationClip], store, seed: int = 0) -> list[EvaluationClip]:
    """A few natural utterances of every target speaker that are none of ``clips``: what pitch and pace should be."""
    used = {clip.utt_id for clip in clips}
    found, taken = [], Counter()
    targets = {clip.target for clip in clips if clip.kind == "conversion"}
    for item in sorted(store.utterances, key=lambda item: order_of(item.utt_id, seed)):
        if item.speaker in targets and item.utt_id not in used and taken[item.speaker] < NATURAL_EACH:
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


def measure(
    clips: Sequence[EvaluationClip], sample_rate: int, seed: int = 0, natural: Sequence[EvaluationClip] = ()
) -> ByKind:
    """Pitch, voicing and pace of every kind, beside the source on the same timeline and the target speaker.

    natural: ``natural_clips``; without them the distance to the target's pitch is left out.
    """
    add_pitch([*clips, *natural], sample_rate)
    source = {clip.utt_id: clip for clip in clips if clip.kind == "source"}
    targets = {clip.target for clip in natural}
    medians = {name: _median_of([clip for clip in natural if clip.target == name]) for name in targets}
    result: ByKind = {}
    for kind, group in by_kind([*with_copies(clips), *natural]).items():
        found = own_metrics(group, sample_rate, seed)
        if kind not in ("source", "natural"):
            found += following_metrics(group, [_compare(source[clip.utt_id], clip) for clip in group], seed)
            reached = [clip for clip in group if clip.target in medians]
            if reached and kind != "reconstruction":
                found.append(distance_to_target(reached, medians, seed))
        result[kind] = by_name(found)
    return result


def own_metrics(group: Sequence[EvaluationClip], sample_rate: int, seed: int = 0) -> list[Metric]:
    """Of recordings by themselves: median and range of pitch, voicing, pace."""
    own = [pitch_summary(clip.measured["f0_hz"]) for clip in group]
    pace = [nuclei_per_second(clip.samples, sample_rate) for clip in group]
    facts = {"groups": Groups.of(group), "judge": JUDGE, "seed": seed}
    return [
        metric.mean("median_pitch", [item.median_hz for item in own], unit="Hz", definition="median of voiced frames, mean over utterances", **facts),
        metric.mean("pitch_range", [item.range_semitones for item in own], unit="semitones", definition="5th to 95th percentile of voiced frames", **facts),
        metric.mean("voiced", [item.voiced_share for item in own], unit="%", scale=100.0, definition="share of frames with pitch", **facts),
        metric.mean("pace", pace, unit="peaks/s", definition="loudness peaks per second (about one per syllable)", **facts),
    ]  # fmt: skip


def following_metrics(
    group: Sequence[EvaluationClip], follow: Sequence[PitchComparison], seed: int = 0
) -> list[Metric]:
    """How recordings follow the pitch of their sources; follow: one for each of ``group``."""
    facts = {"groups": Groups.of(group), "judge": JUDGE, "seed": seed}
    rmse = "root mean square difference from the source's pitch, mean difference taken away"
    voicing = "share of frames voiced in one of source and output only"
    return [
        metric.mean("pitch_correlation", [item.correlation for item in follow], unit="-1 to 1", definition="of log pitch with the source's, both voiced", **facts),
        metric.mean("pitch_rmse", [item.rmse_semitones for item in follow], unit="semitones", definition=rmse, **facts),
        metric.mean("voicing_error", [item.voicing_error for item in follow], unit="%", scale=100.0, definition=voicing, **facts),
    ]  # fmt: skip


def distance_to_target(group: Sequence[EvaluationClip], medians: Mapping[str, float], seed: int = 0) -> Metric:
    """How far the median pitch of recordings is from that of their target speakers; medians: in Hz."""
    apart = [abs(12 * np.log2(_median_of([clip]) / medians[clip.target])) for clip in group]
    return metric.mean(
        "pitch_to_voice", apart, Groups.of(group), unit="semitones", judge=JUDGE, seed=seed,
        definition="from the clip's median pitch to that of the target speaker's natural speech",
    )  # fmt: skip


def _median_of(group: Sequence[EvaluationClip]) -> float:
    return pitch_summary(np.concatenate([clip.measured["f0_hz"] for clip in group])).median_hz


def _compare(one: EvaluationClip, other: EvaluationClip) -> PitchComparison:
    a, b = one.measured, other.measured
    return compare_pitch(a["times_s"], a["f0_hz"], b["times_s"], b["f0_hz"])
