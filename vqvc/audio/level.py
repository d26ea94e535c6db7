"""One rule for silence at the ends, DC and loudness, used for training and for conversion alike.

The mean is taken off; leading and trailing silence is cut but for a margin; what is left is scaled to a root mean
square of ``level_rms``, or to less when a peak would pass ``PEAK_LIMIT``. Model figures in bits depend on that level.
"""

from dataclasses import dataclass

import numpy as np

from vqvc.errors import AudioError

LEVEL_RMS = 0.06  # of full scale, over the trimmed signal
PEAK_LIMIT = 0.99  # of full scale
MARGIN_S = 0.05  # silence kept before and after the speech
FRAME_S = 0.01  # resolution of the search for speech
BELOW_LOUD_DB = 40.0  # a frame is speech when at most this far under the loud ones ...
ABOVE_FLOOR_DB = 6.0  # ... and this far over the background, in a noisy recording
NEAREST_DB = 20.0  # but what lies within this of the loud frames is speech in any case
STEADY_FRAMES = 3  # frames in a row that make speech, so that a click makes none
SILENT_RMS = 1e-5  # of full scale (-100 dB): digital silence
RULE_VERSION = 1  # counts up when anything above or below changes, so that packed stores are made again


@dataclass(frozen=True)
class Levelled:
    """What ``normalise`` made, and how to undo it."""

    samples: np.ndarray  # (T,) float32
    trim_start_samples: int  # samples cut from the start
    trim_end_samples: int  # samples cut from the end
    gain_db: float  # what the samples were multiplied by; divide by it for the source's level
    dc: float  # the mean that was taken off
    limited: bool  # a peak kept the level under level_rms


def normalise(samples: np.ndarray, sample_rate: int, level_rms: float = LEVEL_RMS, *, trim: bool = True) -> Levelled:
    """Bring ``samples`` (T,) float at ``sample_rate`` Hz to the level of training.

    With ``trim=False`` the length is kept, and the level is still measured over the part that trimming would keep.
    Raises AudioError for empty, silent or non-finite input.
    """
    samples = np.asarray(samples, dtype=np.float32)
    if samples.size == 0:
        raise AudioError("holds no samples")
    dc = float(samples.mean(dtype=np.float64))
    if not np.isfinite(dc):
        raise AudioError(
            f"non-finite at sample {int(np.argmin(np.isfinite(samples)))}; write the file again without it"
        )
    samples = samples - np.float32(dc)
    start, end = speech_bounds(samples, sample_rate)
    speech = samples[start:end]
    rms = float(np.sqrt(np.dot(speech, speech) / len(speech)))
    if rms < SILENT_RMS:
        raise AudioError("digital silence: there is nothing to hear")
    peak = float(np.abs(samples).max()) if not trim else float(np.abs(speech).max())
    gain = level_rms / rms
    limited = gain * peak > PEAK_LIMIT
    if limited:
        gain = PEAK_LIMIT / peak
    kept = speech if trim else samples
    cut = (start, len(samples) - end) if trim else (0, 0)
    return Levelled(kept * np.float32(gain), *cut, float(20 * np.log10(gain)), dc, limited)


def speech_bounds(samples: np.ndarray, sample_rate: int) -> tuple[int, int]:
    """First and one-past-last sample of the speech with its margin; the whole when no frame stands out."""
    frame = max(int(round(FRAME_S * sample_rate)), 1)
    count = len(samples) // frame
    if count < STEADY_FRAMES:
        return 0, len(samples)
    frames = samples[: count * frame].reshape(count, frame)
    first, last = speech_frames(np.einsum("ij,ij->i", frames, frames) / frame)
    if last > count:
        return 0, len(samples)
    margin = int(round(MARGIN_S * sample_rate))
    return max(first * frame - margin, 0), min(last * frame + margin, len(samples))


def speech_frames(power: np.ndarray) -> tuple[int, int]:
    """First and one-past-last frame of the speech, of frames' mean squares (N,); (0, N + 1), beyond all, when none stands out."""
    if len(power) < STEADY_FRAMES:
        return 0, len(power) + 1
    level_db = 10 * np.log10(power + 1e-12)
    loud, floor = np.percentile(level_db, (95, 5))
    threshold = max(loud - BELOW_LOUD_DB, min(floor + ABOVE_FLOOR_DB, loud - NEAREST_DB))
    speech = np.convolve(level_db > threshold, np.ones(STEADY_FRAMES, int), "valid") == STEADY_FRAMES
    if not speech.any():
        return 0, len(power) + 1
    return int(np.argmax(speech)), len(speech) - int(np.argmax(speech[::-1])) + STEADY_FRAMES - 1
