"""F0 by Praat's autocorrelation method, its range fitted to the speaker in a first pass."""

import numpy as np

from vqvc._util import extras
from vqvc.errors import AudioError

WIDE_HZ = (60.0, 700.0)  # range of the first pass
BELOW, ABOVE = 0.75, 1.5  # second range: these times the speaker's lower and upper quartile (Hirst 2011; De Looze 2010)
STEP_S = 0.01
MIN_VOICED = 5  # frames of the first pass that are needed to fit a range


def f0(
    samples: np.ndarray, sample_rate: int, *, step_s: float = STEP_S, range_hz: tuple[float, float] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) in seconds and pitch (n,) in Hz, NaN where unvoiced.

    Input too short or silent gives NaN rows every ``step_s`` (at least one), never an error. ``range_hz`` leaves out
    the first pass. Raises AudioError for samples that are not finite, MissingExtraError without praat-parselmouth.
    """
    samples = np.asarray(samples, dtype=np.float64)
    if not np.isfinite(samples).all():
        raise AudioError(f"non-finite at sample {int(np.argmin(np.isfinite(samples)))}; pitch needs finite samples")
    if range_hz is None:
        range_hz = _fitted_range(_track(samples, sample_rate, step_s, *WIDE_HZ)[1])
    return _track(samples, sample_rate, step_s, *range_hz)


def _fitted_range(pitch_hz: np.ndarray) -> tuple[float, float]:
    voiced = pitch_hz[np.isfinite(pitch_hz)]
    if len(voiced) < MIN_VOICED:
        return WIDE_HZ
    low, high = np.percentile(voiced, (25, 75))
    return max(BELOW * low, WIDE_HZ[0]), min(max(ABOVE * high, 2 * BELOW * low), WIDE_HZ[1])


def _track(
    samples: np.ndarray, sample_rate: int, step_s: float, low_hz: float, high_hz: float
) -> tuple[np.ndarray, np.ndarray]:
    parselmouth = extras.load("parselmouth", "evaluate", "praat-parselmouth")
    duration_s = len(samples) / sample_rate
    empty = (np.arange(max(int(duration_s / step_s), 1)) + 0.5) * step_s
    if duration_s < 3.0 / low_hz + step_s or not samples.any():  # Praat's window is three periods long
        return empty, np.full(len(empty), np.nan)
    pitch = parselmouth.Sound(samples, sample_rate).to_pitch(step_s, low_hz, high_hz)
    values = pitch.selected_array["frequency"].astype(np.float64)
    return pitch.xs(), np.where(values > 0, values, np.nan)
