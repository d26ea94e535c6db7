"""Other sample rates, by the SoX resampler at high quality."""

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
