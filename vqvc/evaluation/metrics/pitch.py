"""Pitch, voicing and pace of recordings, compared with the source frame by frame and with the target's median."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.evaluation import metric
from vqvc.evaluation.evaluation_set import EvaluationClip, by_kind, order_of, with_copies
from vqvc.evaluation.metric import ByKind, Groups, Metric, by_name

NATURAL_EACH = 5  # natural utterances per target speaker, as reference for pitch and pace
JUDGE = "pitch by Praat, range found in two passes"


@dataclass(frozen=True)
class PitchSummary:
    """Pitch of a recording: median in Hz, range in semitones (5th to 95th percentile), share of voiced frames."""

    median_hz: float
    range_semitones: float
    voiced_share: float


def pitch_summary(f0_hz: np.ndarray) -> PitchSummary:
    """Summarise a pitch track f0_hz (T,), NaN where unvoiced. Without voiced frames, median and range are NaN."""
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
    """Compare pitch track b with track a at the times of a; b is read at the nearest frame.

    shift_semitones: median difference. correlation: Pearson correlation of log F0 where both are voiced.
    rmse_semitones: root mean square difference after the mean difference is subtracted, as another speaker may have
        another mean.
    voicing_error: share of frames that are voiced in one track only. With fewer than three common voiced frames, the
    first three are NaN.
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
    """Speaking rate as loudness peaks per second (after de Jong & Wempe 2009); NaN for less than 0.2 s.

    The loudness is that of the band from 300 to 3,300 Hz, smoothed over 50 ms. A peak is at least 2 dB above the dips
    around it, and at most 25 dB below the loudest peak.
    """
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
    """Choose NATURAL_EACH natural utterances of every target speaker that are not in ``clips``, as reference."""
    used = {clip.utt_id for clip in clips}
    natural, counts = [], Counter()
    targets = {clip.target for clip in clips if clip.kind == "conversion"}
    for item in sorted(store.utterances, key=lambda item: order_of(item.utt_id, seed)):
        if item.speaker in targets and item.utt_id not in used and counts[item.speaker] < NATURAL_EACH:
            counts[item.speaker] += 1
            clip = EvaluationClip(
                kind="natural",
                utt_id=item.utt_id,
                speaker=item.speaker,
                target=item.speaker,
                text=item.text,
                file="",
                samples=store.waveform(item),
                seen=True,
            )
            natural.append(clip)
    return natural


def add_pitch(clips: Sequence[EvaluationClip], sample_rate: int) -> None:
    """Store the pitch track of every clip in ``measured``, unless it is there already."""
    from vqvc.audio.pitch import f0

    for clip in clips:
        if "f0_hz" not in clip.measured:
            clip.measured["times_s"], clip.measured["f0_hz"] = f0(clip.samples, sample_rate)


def measure(
    clips: Sequence[EvaluationClip], sample_rate: int, seed: int = 0, natural: Sequence[EvaluationClip] = ()
) -> ByKind:
    """Metrics of pitch, voicing and pace for each kind of recording.

    natural: from ``natural_clips``; without them, the distance to the target's pitch is left out.
    """
    add_pitch([*clips, *natural], sample_rate)
    source = {clip.utt_id: clip for clip in clips if clip.kind == "source"}
    targets = {clip.target for clip in natural}
    medians = {name: _median_of([clip for clip in natural if clip.target == name]) for name in targets}
    result: ByKind = {}
    for kind, group in by_kind([*with_copies(clips), *natural]).items():
        metrics = own_metrics(group, sample_rate, seed)
        if kind not in ("source", "natural"):
            metrics += following_metrics(group, [_compare(source[clip.utt_id], clip) for clip in group], seed)
            with_median = [clip for clip in group if clip.target in medians]
            if with_median and kind != "reconstruction":
                metrics.append(distance_to_target(with_median, medians, seed))
        result[kind] = by_name(metrics)
    return result


def own_metrics(group: Sequence[EvaluationClip], sample_rate: int, seed: int = 0) -> list[Metric]:
    """Metrics without a reference: median and range of pitch, voicing, pace."""
    summaries = [pitch_summary(clip.measured["f0_hz"]) for clip in group]
    medians = [summary.median_hz for summary in summaries]
    ranges = [summary.range_semitones for summary in summaries]
    voiced = [summary.voiced_share for summary in summaries]
    pace = [nuclei_per_second(clip.samples, sample_rate) for clip in group]
    facts = {"groups": Groups.of(group), "judge": JUDGE, "seed": seed}
    median, spread = "median of voiced frames, mean over utterances", "5th to 95th percentile of voiced frames"
    peaks = "loudness peaks per second (about one per syllable)"
    return [
        metric.mean("median_pitch", medians, unit="Hz", definition=median, **facts),
        metric.mean("pitch_range", ranges, unit="semitones", definition=spread, **facts),
        metric.mean("voiced", voiced, unit="%", scale=100.0, definition="share of frames with pitch", **facts),
        metric.mean("pace", pace, unit="peaks/s", definition=peaks, **facts),
    ]


def following_metrics(
    group: Sequence[EvaluationClip], follow: Sequence[PitchComparison], seed: int = 0
) -> list[Metric]:
    """Metrics of how recordings follow the pitch of their sources. follow: a comparison for each of ``group``."""
    correlations = [comparison.correlation for comparison in follow]
    differences = [comparison.rmse_semitones for comparison in follow]
    errors = [comparison.voicing_error for comparison in follow]
    facts = {"groups": Groups.of(group), "judge": JUDGE, "seed": seed}
    correlation = "of log pitch with the source's, both voiced"
    rmse = "root mean square difference from the source's pitch, mean difference taken away"
    voicing = "share of frames voiced in one of source and output only"
    return [
        metric.mean("pitch_correlation", correlations, unit="-1 to 1", definition=correlation, **facts),
        metric.mean("pitch_rmse", differences, unit="semitones", definition=rmse, **facts),
        metric.mean("voicing_error", errors, unit="%", scale=100.0, definition=voicing, **facts),
    ]


def distance_to_target(group: Sequence[EvaluationClip], medians: Mapping[str, float], seed: int = 0) -> Metric:
    """Distance of the median pitch of recordings from that of their target speakers. medians: in Hz, by speaker."""
    semitones = [abs(12 * np.log2(_median_of([clip]) / medians[clip.target])) for clip in group]
    return metric.mean(
        "pitch_to_voice",
        semitones,
        Groups.of(group),
        unit="semitones",
        definition="from the clip's median pitch to that of the target speaker's natural speech",
        judge=JUDGE,
        seed=seed,
    )


def _median_of(group: Sequence[EvaluationClip]) -> float:
    return pitch_summary(np.concatenate([clip.measured["f0_hz"] for clip in group])).median_hz


def _compare(one: EvaluationClip, other: EvaluationClip) -> PitchComparison:
    a, b = one.measured, other.measured
    return compare_pitch(a["times_s"], a["f0_hz"], b["times_s"], b["f0_hz"])
