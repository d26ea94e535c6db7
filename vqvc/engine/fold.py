"""Folding: one utterance becomes many streams, cut where it is quiet, and is put together again without a click.

A stream begins ``warm_up`` frames before its part, from silence, so that the network's past is filled when its part
begins. Draws belong to places in the recording (see ``kernels``), so neighbouring streams draw alike where they
overlap. A short crossfade at the end of the overlap joins them, where both are equally loud and with gains by which it is
as loud as its surroundings.
"""

import math
from dataclasses import dataclass

import numpy as np

CROSSFADE_S = 0.008
SEARCH_S = 0.002  # by which a crossfade may lie earlier
SIDE_S = 0.005  # on either side of a crossfade's middle, over which loudness is compared
OVERLAP_S = CROSSFADE_S + SEARCH_S  # where streams must have warmed up
LEAST_ALIKE = -0.4  # correlation; below it gains would grow without bound
FAINT = 1e-10  # energy of a quiet room
REACH = 0.125  # streams are longer or shorter than their mean by at most this share, so that cuts find quieter places
EVENNESS = 0.01  # cost of a stream of twice the mean length, in units of the mean loudness


@dataclass(frozen=True)
class Part:
    """A stream generates frames [start, end), of which [begin, end) are kept; those before are its warm-up."""

    start: int
    begin: int
    end: int


def cuts(loudness: np.ndarray, count: int, warm_up: int) -> list[int]:
    """Frames at which to cut into ``count`` parts, 0 and F included: the choice with the least loudness at the cuts.

    Streams, warm-up included, differ from their mean length by at most REACH (or a frame, when that is more): the longest
    decides how long all take. Where nothing is quieter they are even. By dynamic programming over the cuts in turn.
    loudness: (F,) of each frame, on any scale. ``count`` must leave parts longer than the warm-up.
    """
    frames = len(loudness)
    mean = (frames + (count - 1) * warm_up) / count
    shortest = min(math.ceil((1 - REACH) * mean), math.floor(mean))
    longest = max(math.floor((1 + REACH) * mean), math.ceil(mean))
    lengths = np.arange(shortest, longest + 1)
    uneven = EVENNESS * ((lengths - mean) / mean) ** 2
    price = np.append(loudness / (loudness.mean() or 1.0), 0.0)
    least, low = np.zeros(1), 0  # the price of all cuts up to each frame from ``low`` on, if it is one
    chosen = []  # for every part, where it may end first, and its length if it ends there or at a later frame
    for part in range(count):
        before, start = least, low
        fewest, most = max(1, shortest - warm_up), longest - warm_up  # of a part but the first, without its warm-up
        low = max(shortest + part * fewest, frames - (count - 1 - part) * most)
        high = min(
            longest + part * most, frames - (count - 1 - part) * fewest
        )  # so that enough is left for the parts after it
        least, length = np.full(high + 1 - low, np.inf), np.zeros(high + 1 - low, np.int64)
        for kept, cost in zip(lengths - (warm_up if part else 0), uneven):
            first, last = max(low, start + kept), min(high, start + len(before) - 1 + kept)
            if kept < 1 or first > last:
                continue
            ends, found = (
                slice(first - low, last + 1 - low),
                before[first - kept - start : last + 1 - kept - start] + cost,
            )
            better = found < least[ends]
            least[ends][better] = found[better]
            length[ends][better] = kept
        least += price[low : high + 1]
        chosen.append((low, length))
    at = [frames]
    for first, length in reversed(chosen):
        at.append(at[-1] - int(length[at[-1] - first]))
    return at[::-1]


def fold(loudness: np.ndarray, count: int, warm_up: int) -> list[Part]:
    """The parts of an utterance of F frames; together they cover it without gap or overlap."""
    at = cuts(loudness, count, warm_up)
    return [Part(max(0, begin - warm_up), begin, end) for begin, end in zip(at[:-1], at[1:])]


@dataclass(frozen=True)
class Joined:
    """samples: (F * hop,) float32. middles: the sample in the middle of each crossfade."""

    samples: np.ndarray
    middles: np.ndarray


def join(pieces: list[np.ndarray], parts: list[Part], hop: int, sample_rate: int) -> Joined:
    """Joined amplitudes of the streams' samples, each from its ``start`` on.

    The end of a stream's warm-up fades in while the stream before it fades out, so nothing is shifted.
    """
    result = np.zeros(parts[-1].end * hop, np.float32)
    middles = []
    for piece, part in zip(pieces, parts):
        start, end = part.start * hop, part.end * hop
        warm_up = part.begin * hop - start
        if not warm_up:
            result[start:end] = piece
            continue
        before, fade = result[start : start + warm_up], min(int(CROSSFADE_S * sample_rate), warm_up)
        begin = _as_loud(before, piece, fade, sample_rate)
        fading = slice(begin, begin + fade)
        mixed = crossfade(before[fading], piece[fading])
        result[start + begin : end] = piece[begin:]
        result[start:end][fading] = mixed
        middles.append(start + begin + fade // 2)
    return Joined(result, np.array(middles, int))


def _as_loud(before: np.ndarray, after: np.ndarray, fade: int, sample_rate: int) -> int:
    """Where a crossfade of ``fade`` samples from ``before`` to ``after`` begins, so that the step in loudness is least.

    Both begin at the same place; ``before`` ends where the crossfade must have ended. Of equals the latest.
    """
    side, last = int(SIDE_S * sample_rate), len(before) - fade
    begins = np.arange(last, max(0, last - int(SEARCH_S * sample_rate)) - 1, -1)
    middles = begins + fade // 2
    left = _energies(before, middles - side, side)
    right = _energies(after[: len(before) + side], middles, side)
    return int(begins[np.argmin(np.abs(np.log(left / right)))])


def _energies(samples: np.ndarray, begins: np.ndarray, count: int) -> np.ndarray:
    """Mean squares of ``count`` samples from each of ``begins`` on, or of as many as there are."""
    total = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    low, high = (np.clip(at, 0, len(samples)) for at in (begins, begins + count))
    return (total[high] - total[low]) / np.maximum(high - low, 1) + FAINT


def crossfade(leaving: np.ndarray, coming: np.ndarray) -> np.ndarray:
    """From one signal (T,) to the other, as loud as they are however alike they are (Fink et al. 2016, DAFx).

    Linear gains alone would dip by 3 dB between signals that have nothing in common.
    """
    rise = np.arange(1, len(coming) + 1, dtype=np.float32) / (len(coming) + 1)
    fall = 1 - rise
    alike = float(leaving @ coming) / math.sqrt(float(leaving @ leaving) * float(coming @ coming) + FAINT)
    alike = max(LEAST_ALIKE, alike)
    return (rise * coming + fall * leaving) / np.sqrt(rise**2 + fall**2 + 2 * alike * rise * fall)
