"""Log-mel spectra and cepstra of a waveform, for baselines and measures (the model's own front end is in ``nn``).

Spectra, filters, cepstra and differences are librosa's, which is imported when the first is made: it takes a second.

Frame i is centred on sample ``(i + 0.5) * hop_length``: the centre of code i of the same hop, so that features, codes
and phone labels describe the same moment. Beyond the ends stands silence. A waveform of T samples has
``ceil(T / hop_length)`` frames, as it has codes.
"""

import numpy as np

from vqvc.errors import AudioError, UsageError

FLOOR = 1e-5  # added to mel magnitudes before the logarithm (-100 dB)


def frame_times_s(length_samples: int, sample_rate: int, hop_length: int) -> np.ndarray:
    """(frames,) float64: the centre of each frame in seconds."""
    return (np.arange(-(-length_samples // hop_length)) + 0.5) * hop_length / sample_rate


def spectrum(samples: np.ndarray, *, n_fft: int, hop_length: int, win_length: int | None = None) -> np.ndarray:
    """(n_fft // 2 + 1, frames) float32 magnitudes under a periodic Hann window. Raises AudioError for empty input."""
    import librosa

    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1 or samples.size == 0:
        raise AudioError("features need a mono waveform with at least one sample")
    if (win_length or n_fft) > n_fft:
        raise UsageError(f"a window of {win_length} samples does not fit n_fft of {n_fft}")
    count = -(-len(samples) // hop_length)
    before = n_fft // 2 - hop_length // 2  # so that frame 0 is centred on hop_length / 2
    padded = np.zeros((count - 1) * hop_length + n_fft, np.float32)
    kept = samples[max(-before, 0) :][: len(padded) - max(before, 0)]
    padded[max(before, 0) : max(before, 0) + len(kept)] = kept
    return np.abs(librosa.stft(padded, n_fft=n_fft, hop_length=hop_length, win_length=win_length, center=False))


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
    import librosa

    magnitudes = spectrum(samples, n_fft=n_fft, hop_length=hop_length, win_length=win_length)
    filters = librosa.filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max or sample_rate / 2)
    return np.log(filters @ magnitudes + FLOOR)


def mfcc(
    samples: np.ndarray, sample_rate: int, *, hop_length: int = 160, n_mfcc: int = 13, n_mels: int = 40
) -> np.ndarray:
    """(n_mfcc, frames) float32: the first cepstra, c0 included, of ``log_mel`` (orthonormal DCT-II)."""
    import librosa

    mel = log_mel(samples, sample_rate, hop_length=hop_length, n_mels=n_mels)
    return librosa.feature.mfcc(S=mel, n_mfcc=n_mfcc)


def deltas(frames: np.ndarray, reach: int = 4) -> np.ndarray:
    """(D, T) -> (D, T): change per frame by linear regression over ``2 reach + 1`` frames; the edges repeat."""
    import librosa

    return librosa.feature.delta(frames, width=2 * reach + 1, mode="nearest")
