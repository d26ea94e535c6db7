"""Other sample rates, by the SoX resampler at high quality."""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import soxr

QUALITY = "HQ"


def resampled_length(length_samples: int, from_hz: int, to_hz: int) -> int:
    """Samples that ``length_samples`` at ``from_hz`` become at ``to_hz``: the nearest whole number, halves upwards."""
    return (2 * length_samples * to_hz + from_hz) // (2 * from_hz)


def resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """``samples`` (T,) float32 at ``to_hz``, exactly ``resampled_length`` long. Equal rates give the input back."""
    if from_hz == to_hz:
        return samples
    wanted = resampled_length(len(samples), from_hz, to_hz)
    if wanted == 0:
        return np.zeros(0, np.float32)
    result = soxr.resample(np.ascontiguousarray(samples, np.float32), from_hz, to_hz, QUALITY)
    return _fit(result, wanted)


def resample_blocks(blocks: Iterable[np.ndarray], from_hz: int, to_hz: int) -> Iterator[np.ndarray]:
    """The same for a stream of blocks: float32 blocks at ``to_hz``, together as long as ``resample`` of the whole.

    Memory is bounded by the block, whatever the length of the stream.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality=QUALITY)
    taken = given = 0
    for block in blocks:
        taken += len(block)
        out = stream.resample_chunk(np.ascontiguousarray(block, np.float32))
        given += len(out)
        yield out
    last = stream.resample_chunk(np.zeros(0, np.float32), last=True)
    yield _fit(last, max(resampled_length(taken, from_hz, to_hz) - given, 0))


def _fit(samples: np.ndarray, length: int) -> np.ndarray:
    """Cut or padded with silence to ``length``: the resampler's own rounding can differ by a sample."""
    if len(samples) >= length:
        return samples[:length]
    return np.pad(samples, (0, length - len(samples)))


class Resampler:
    """push(block (t,)) -> (t',) float32 at ``to_hz``: for streams, with little delay.

    A windowed sinc of CROSSINGS zero crossings to either side (Smith & Gossett 1984), where the SoX resampler holds back tens of
    milliseconds. Nothing is shifted: output m stands for the moment m / to_hz; it is there once ``delay_s`` more of the input is.
    """

    CROSSINGS = 24
    PASSED = 0.92  # share of the lower rate's band: the transition ends at its edge
    BETA = 8.0  # of the Kaiser window: 80 dB

    def __init__(self, from_hz: int, to_hz: int) -> None:
        divisor = math.gcd(from_hz, to_hz)
        self.up, self.down = to_hz // divisor, from_hz // divisor
        self.half = math.ceil(self.CROSSINGS * max(from_hz / to_hz, 1.0))  # input samples on either side
        self.delay_s = self.half / from_hz
        offsets = np.arange(1 - self.half, self.half + 1)
        away = offsets - np.arange(self.up)[:, None] / self.up  # (up, 2 half): distances of the inputs from each phase
        cutoff = self.PASSED * min(to_hz / from_hz, 1.0)
        window = np.i0(self.BETA * np.sqrt(np.clip(1 - (away / self.half) ** 2, 0, None))) / np.i0(self.BETA)
        kernel = cutoff * np.sinc(cutoff * away) * window
        self.kernel = (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)
        self.held = np.zeros(self.half - 1, np.float32)
        self.first = 1 - self.half  # number of the input that ``held`` begins with
        self.given = self.taken = 0

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """What ``block`` completes; ``last`` pads with silence and ends where the input ends."""
        self.taken += len(block)
        held = np.concatenate([self.held, np.asarray(block, np.float32)])
        if last:
            held = np.pad(held, (0, self.half + 1))
        # output m lies between inputs m * down // up and the next, and sees ``half`` from the latter on
        known = (
            self.first + len(held) - self.half - 1
        )  # the last input that has all after it which an output there sees
        end = ((known + 1) * self.up - 1) // self.down + 1 if known >= 0 else 0
        if last:
            end = min(end, -(-self.taken * self.up // self.down))
        numbers = np.arange(self.given, max(end, self.given))
        whole, phase = numbers * self.down // self.up, numbers * self.down % self.up
        begins = whole + 1 - self.half - self.first
        made = np.zeros(0, np.float32)
        if len(numbers):
            windows = np.lib.stride_tricks.sliding_window_view(held, 2 * self.half)[begins]
            made = np.einsum("ij,ij->i", windows, self.kernel[phase])
        self.given += len(numbers)
        next_first = self.given * self.down // self.up + 1 - self.half
        self.held, self.first = held[max(next_first - self.first, 0) :], max(next_first, self.first)
        return made
