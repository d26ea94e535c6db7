"""The level of a recording that is read in blocks: what ``level.normalise`` measures, in memory that hardly grows."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vqvc.audio.level import FRAME_S, LEVEL_RMS, MARGIN_S, PEAK_LIMIT, SILENT_RMS, speech_frames
from vqvc.errors import AudioError


@dataclass(frozen=True)
class Gain:
    """How a recording comes to the level of training: ``apply`` to each of its blocks."""

    dc: float  # the mean that is taken off
    factor: float  # what is multiplied
    length_samples: int  # of the recording

    def apply(self, samples: np.ndarray) -> np.ndarray:
        """(T,) float32 at the level of training."""
        return (samples - np.float32(self.dc)) * np.float32(self.factor)


def measure(blocks: Iterable[np.ndarray], sample_rate: int, level_rms: float = LEVEL_RMS) -> Gain:
    """The gain of the recording that ``blocks`` (float32, of any size) make up; 24 bytes are held for each 10 ms.

    As ``level.normalise(..., trim=False)`` up to the rounding of sums; where a margin is no whole number of frames, the
    frame at its end counts as a whole. Raises AudioError for no samples and for silence.
    """
    frame = max(int(round(FRAME_S * sample_rate)), 1)
    sums, squares, held = [], [], np.zeros(0, np.float32)
    length, lowest, highest = 0, np.inf, -np.inf
    for block in blocks:
        if not len(block):
            continue
        length += len(block)
        lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
        held = np.concatenate([held, np.asarray(block, np.float32)])
        whole = len(held) // frame * frame
        frames = held[:whole].reshape(-1, frame).astype(np.float64)
        sums.append(frames.sum(1))
        squares.append(np.einsum("ij,ij->i", frames, frames))
        held = held[whole:]
    if not length:
        raise AudioError("holds no samples")
    rest = held.astype(np.float64)
    sums, squares = np.concatenate(sums), np.concatenate(squares)
    dc = float((sums.sum() + rest.sum()) / length)
    energy = np.maximum(squares - 2 * dc * sums + frame * dc * dc, 0.0)
    rest_energy = float(np.square(rest - dc).sum())
    first, last = speech_frames(energy / frame)
    margin = -(-int(round(MARGIN_S * sample_rate)) // frame)
    first, last = max(first - margin, 0), last + margin
    total, count = float(energy[first:last].sum()), min(last, len(energy)) - first
    samples = count * frame
    if last > len(energy):
        total, samples = total + rest_energy, samples + len(rest)
    rms = np.sqrt(total / samples)
    if rms < SILENT_RMS:
        raise AudioError("digital silence: there is nothing to hear")
    factor = min(level_rms / rms, PEAK_LIMIT / max(highest - dc, dc - lowest))
    return Gain(dc, float(factor), length)
