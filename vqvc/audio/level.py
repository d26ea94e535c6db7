"""One rule for silence at the ends, DC and loudness, used for training and for conversion alike.

The mean is taken off; leading and trailing silence is cut but for a margin; what is left is scaled to a root mean
square of ``level_rms``, or to less when a peak would pass ``PEAK_LIMIT``. Model figures in bits depend on that level.
"""

from array import array
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
    peak = float(np.abs(samples).max()) if not trim else float(np.abs(speech).max())
    gain, limited = _gain(rms, peak, level_rms)
    kept = speech if trim else samples
    cut = (start, len(samples) - end) if trim else (0, 0)
    return Levelled(kept * np.float32(gain), *cut, float(20 * np.log10(gain)), dc, limited)


class LevelMeter:
    """The level of a recording that comes in blocks: ``normalise`` with ``trim=False`` for what memory does not hold."""

    def __init__(self, sample_rate: int):
        self.sample_rate = sample_rate
        self.frame = _frame_samples(sample_rate)
        self.length = 0
        self.low, self.high = np.inf, -np.inf
        self._about: np.float32 | None = None  # the first block's mean: sums around it keep their precision
        self._sums, self._squares = array("f"), array("f")  # of each frame's samples less that mean
        self._rest = np.zeros(0, np.float32)

    def add(self, block: np.ndarray) -> None:
        """Count a block (T,) float32."""
        if not len(block):
            return
        if self._about is None:
            self._about = np.float32(block.mean(dtype=np.float64))
        self.length += len(block)
        self.low, self.high = min(self.low, float(block.min())), max(self.high, float(block.max()))
        held = np.concatenate([self._rest, block - self._about])
        whole = len(held) // self.frame * self.frame
        self._count(held[:whole].reshape(-1, self.frame))
        self._rest = held[whole:]

    def _count(self, frames: np.ndarray) -> None:
        self._sums.frombytes(frames.sum(1, dtype=np.float32).tobytes())
        self._squares.frombytes(np.einsum("ij,ij->i", frames, frames).astype(np.float32).tobytes())

    def result(self, level_rms: float = LEVEL_RMS) -> tuple[float, float]:
        """The mean to take off, and what to multiply by then; raises AudioError for no samples and for silence."""
        if not self.length:
            raise AudioError("holds no samples")
        whole = self.length // self.frame
        if len(self._rest):
            self._count(self._rest[None])
            self._rest = self._rest[:0]
        sums, energy = np.frombuffer(self._sums, np.float32), np.frombuffer(self._squares, np.float32)
        offset = float(sums.sum(dtype=np.float64)) / self.length
        energy = energy - np.float32(2 * offset) * sums + np.float32(self.frame * offset**2)
        level_db = 10 * np.log10(energy[:whole].clip(min=0) / self.frame + 1e-12)
        start, end = _bounds(level_db, self.frame, self.length, self.sample_rate)
        speech = slice(start // self.frame, -(-end // self.frame))
        rms = float(np.sqrt(max(energy[speech].sum(dtype=np.float64), 0.0) / (min(end, self.length) - start)))
        dc = float(self._about) + offset
        return dc, _gain(rms, max(self.high - dc, dc - self.low), level_rms)[0]


def _gain(rms: float, peak: float, level_rms: float) -> tuple[float, bool]:
    """What brings speech to the level, and whether a peak kept it lower; raises AudioError for silence."""
    if rms < SILENT_RMS:
        raise AudioError("digital silence: no sample differs from zero")
    gain = level_rms / rms
    limited = gain * peak > PEAK_LIMIT
    return (PEAK_LIMIT / peak if limited else gain), limited


def _frame_samples(sample_rate: int) -> int:
    return max(int(round(FRAME_S * sample_rate)), 1)


def speech_bounds(samples: np.ndarray, sample_rate: int) -> tuple[int, int]:
    """First and one-past-last sample of the speech with its margin; the whole when no frame stands out."""
    frame = _frame_samples(sample_rate)
    frames = samples[: len(samples) // frame * frame].reshape(-1, frame)
    level_db = 10 * np.log10(np.einsum("ij,ij->i", frames, frames) / frame + 1e-12)
    return _bounds(level_db, frame, len(samples), sample_rate)


def _bounds(level_db: np.ndarray, frame: int, length: int, sample_rate: int) -> tuple[int, int]:
    """``speech_bounds`` of a recording of ``length`` samples by the level of each of its frames."""
    if len(level_db) < STEADY_FRAMES:
        return 0, length
    loud, floor = np.percentile(level_db, (95, 5))
    threshold = max(loud - BELOW_LOUD_DB, min(floor + ABOVE_FLOOR_DB, loud - NEAREST_DB))
    loud_enough, count = level_db > threshold, len(level_db) - STEADY_FRAMES + 1
    speech = np.logical_and.reduce([loud_enough[n : n + count] for n in range(STEADY_FRAMES)])
    if not speech.any():
        return 0, length
    first = int(np.argmax(speech)) * frame
    last = (len(speech) - int(np.argmax(speech[::-1])) + STEADY_FRAMES - 1) * frame
    margin = int(round(MARGIN_S * sample_rate))
    return max(first - margin, 0), min(last + margin, length)
