"""Log-mel spectra and cepstra of a waveform, for baselines and measures (the model's own front end is in ``nn``).

Frame i is centred on sample ``(i + 0.5) * hop_length``: the centre of code i of the same hop, so that features, codes
and phone labels speak of the same moment. Beyond the ends stands silence. A waveform of T samples has
``ceil(T / hop_length)`` frames, as it has codes.
"""

from functools import lru_cache

import numpy as np
from scipy import fft

from vqvc.errors import AudioError, UsageError

FLOOR = 1e-5  # added to mel magnitudes before the logarithm (-100 dB)


def frame_times_s(length_samples: int, sample_rate: int, hop_length: int) -> np.ndarray:
    """(frames,) float64: the centre of each frame in seconds."""
    return (np.arange(-(-length_samples // hop_length)) + 0.5) * hop_length / sample_rate


def spectrum(samples: np.ndarray, *, n_fft: int, hop_length: int, win_length: int | None = None) -> np.ndarray:
    """(n_fft // 2 + 1, frames) float32 magnitudes under a periodic Hann window. Raises AudioError for empty input."""
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1 or samples.size == 0:
        raise AudioError("features need a mono waveform with at least one sample")
    if (win_length or n_fft) > n_fft:
        raise UsageError(f"a window of {win_length} samples does not fit n_fft of {n_fft}")
    count = -(-len(samples) // hop_length)
    before = n_fft // 2 - hop_length // 2  # so that frame 0 is centred on hop_length / 2
    padded = np.zeros((count - 1) * hop_length + n_fft + abs(before), np.float32)
    first = max(-before, 0)
    kept = samples[first:][: len(padded) - max(before, 0)]
    padded[max(before, 0) : max(before, 0) + len(kept)] = kept
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length][:count]
    return np.abs(fft.rfft(frames * _window(n_fft, win_length or n_fft), axis=1)).astype(np.float32).T


def log_mel(
    samples: np.ndarray,
    sample_rate: int,
    *,
    hop_length: int = 160,
    n_fft: int = 1024,
    win_length: int = 400,
    n_mels: int = 80,
    f_min: float = 40.0,
    f_max: float | None = None,
) -> np.ndarray:
    """(n_mels, frames) float32: natural logarithm of mel-weighted magnitudes (Slaney's scale and areas)."""
    magnitudes = spectrum(samples, n_fft=n_fft, hop_length=hop_length, win_length=win_length)
    return np.log(mel_filters(sample_rate, n_fft, n_mels, f_min, f_max or sample_rate / 2) @ magnitudes + FLOOR)


def mfcc(
    samples: np.ndarray, sample_rate: int, *, hop_length: int = 160, n_mfcc: int = 13, n_mels: int = 40
) -> np.ndarray:
    """(n_mfcc, frames) float32: the first cepstra, c0 included, of ``log_mel`` (orthonormal DCT-II)."""
    mel = log_mel(samples, sample_rate, hop_length=hop_length, n_mels=n_mels)
    return fft.dct(mel, type=2, norm="ortho", axis=0)[:n_mfcc]


def deltas(frames: np.ndarray, reach: int = 4) -> np.ndarray:
    """(D, T) -> (D, T): change per frame by linear regression over ``2 reach + 1`` frames; the edges repeat."""
    padded = np.pad(frames, ((0, 0), (reach, reach)), mode="edge")
    count = frames.shape[1]
    total = sum(step * padded[:, reach + step : reach + step + count] for step in range(-reach, reach + 1))
    return total / (2 * sum(step * step for step in range(1, reach + 1)))


@lru_cache(maxsize=16)
def mel_filters(sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> np.ndarray:
    """(n_mels, n_fft // 2 + 1) float32 triangles of equal area on Slaney's mel scale (equal to librosa.filters.mel)."""
    bins_hz = np.fft.rfftfreq(n_fft, 1 / sample_rate)
    edges_hz = _mel_to_hz(np.linspace(_hz_to_mel(f_min), _hz_to_mel(f_max), n_mels + 2))
    widths = np.diff(edges_hz)
    ramps = edges_hz[:, None] - bins_hz[None, :]
    rising, falling = -ramps[:-2] / widths[:-1, None], ramps[2:] / widths[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling)) * (2 / (edges_hz[2:] - edges_hz[:-2]))[:, None]
    return filters.astype(np.float32)


_LINEAR_HZ, _BREAK_HZ, _LOG_STEP = 200 / 3, 1000.0, np.log(6.4) / 27  # Slaney, Auditory Toolbox 1998


def _hz_to_mel(hz: float) -> float:
    return hz / _LINEAR_HZ if hz < _BREAK_HZ else _BREAK_HZ / _LINEAR_HZ + np.log(hz / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    knee = _BREAK_HZ / _LINEAR_HZ
    return np.where(mel < knee, mel * _LINEAR_HZ, _BREAK_HZ * np.exp(_LOG_STEP * (np.maximum(mel, knee) - knee)))


@lru_cache(maxsize=16)
def _window(n_fft: int, win_length: int) -> np.ndarray:
    """A periodic Hann window of ``win_length`` in the middle of ``n_fft``."""
    window = np.zeros(n_fft, np.float32)
    start = (n_fft - win_length) // 2
    window[start : start + win_length] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(win_length) / win_length)
    return window
