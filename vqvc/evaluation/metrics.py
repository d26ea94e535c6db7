"""Distances between recordings: mel-cepstral distortion, and how pitch, voicing and pace compare. Pure functions of arrays."""

from dataclasses import dataclass

import numpy as np

from vqvc.errors import AudioError

MCD_ORDER = 24  # coefficients 1 to 24; coefficient 0 (loudness) is left out
MCD_BANDS = 80
MCD_FLOOR_DB = 40.0
MCD_RECIPE = (
    f"mel-cepstra c1 to c{MCD_ORDER} (c0 left out) of {MCD_BANDS} log mel bands up to 8 kHz, 25 ms Hann window every 10 ms; frames "
    f"more than {MCD_FLOOR_DB:.0f} dB below the loudest left out; dynamic time warping on the same coefficients; mean over the path "
    "of 10/ln 10 * sqrt(2 * sum of squared differences), in dB"
)


def mel_cepstra(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """(T, 24) float64 mel-cepstra of ``MCD_RECIPE``, quiet frames left out. Raises AudioError for silence.

    Scaled so that log amplitude = c0 + sum_m c_m cos(m w): the distortion of two frames is then the root mean square
    difference of their (smoothed, mel-warped) spectra in dB.
    """
    from scipy.fft import dct

    from vqvc.audio.features import log_mel

    hop = sample_rate // 100
    if len(samples) < 2 * hop or not np.any(samples):
        raise AudioError("mel-cepstral distortion needs sound: the recording is silent or shorter than 20 ms")
    log_amplitude = log_mel(
        samples,
        sample_rate,
        hop_length=hop,
        win_length=round(0.025 * sample_rate),
        n_mels=MCD_BANDS,
        f_max=min(8000.0, sample_rate / 2),
    ).T
    loud = loud_frames(samples, hop, len(log_amplitude), MCD_FLOOR_DB)
    return dct(log_amplitude[loud].astype(np.float64), type=2, axis=1)[:, 1 : MCD_ORDER + 1] / MCD_BANDS


def loud_frames(samples: np.ndarray, hop_length: int, count: int, below_db: float) -> np.ndarray:
    """(count,) bool: frames of ``hop_length`` whose energy is within ``below_db`` of the loudest; all of them in silence."""
    padded = np.zeros(count * hop_length)
    padded[: len(samples)] = samples[: len(padded)]
    energy = (padded.reshape(count, hop_length) ** 2).mean(axis=1)
    return energy >= energy.max() * 10 ** (-below_db / 10)


def warp(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cheapest monotonic path between frames (T1, D) and (T2, D), Euclidean: two index arrays of equal length."""
    import librosa

    _, path = librosa.sequence.dtw(X=one.T, Y=other.T, metric="euclidean")
    return path[::-1, 0], path[::-1, 1]


def cepstral_distortion(one: np.ndarray, other: np.ndarray) -> float:
    """Mel-cepstral distortion in dB of cepstra (T1, M) and (T2, M), aligned by ``warp``."""
    left, right = warp(one, other)
    squares = ((one[left] - other[right]) ** 2).sum(axis=1)
    return float((10 / np.log(10) * np.sqrt(2 * squares)).mean())


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
    difference in semitones after the mean difference is taken away (another voice may lie higher); voicing_error: share of
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
