"""Folding: an utterance is cut at quiet places into parts, which are generated in parallel and joined by crossfades.

Each part is one stream. A stream begins from silence, ``warm_up`` frames before its part, so that the network has a
past when the part begins. Random draws depend on the position in the recording, so neighbouring streams draw the same
numbers where they overlap. A short crossfade at the end of the overlap joins them. It lies where both are equally loud,
and its gains keep the loudness constant.
"""

import math
from dataclasses import dataclass

import numpy as np

CROSSFADE_S = 0.008  # length of a crossfade
SEARCH_S = 0.002  # a crossfade may begin earlier by up to this much
SIDE_S = 0.005  # span on either side of a crossfade's middle over which loudness is compared
OVERLAP_S = CROSSFADE_S + SEARCH_S  # in which a stream must be warmed up
LEAST_ALIKE = -0.4  # correlations are clipped to this; below it the gains of a crossfade would become very large
FAINT = 1e-10  # energy of a quiet room, added so that no division is by zero
REACH = 0.125  # largest difference of a stream's length from the mean, as a share of the mean
EVENNESS = 0.01  # cost of a stream of twice the mean length, in units of the mean loudness


@dataclass(frozen=True)
class Part:
    """A stream that generates frames [start, end). Frames [start, begin) are its warm-up, [begin, end) are its part."""

    start: int
    begin: int
    end: int


def cuts(loudness: np.ndarray, count: int, warm_up: int) -> list[int]:
    """Choose the frames at which to cut F frames into ``count`` parts: count + 1 numbers from 0 to F.

    loudness: (F,) of each frame, on any scale. count: must leave parts longer than ``warm_up`` frames.

    The sum of the loudness at the cuts is minimal, by dynamic programming over the cuts in order of time. The lengths
    of the streams, with warm-up, differ from their mean by at most REACH or one frame, since the longest stream
    determines how long the synthesis takes. Between equally quiet places, even lengths are preferred.
    """
    frames = len(loudness)
    mean = (frames + (count - 1) * warm_up) / count
    shortest = min(math.ceil((1 - REACH) * mean), math.floor(mean))
    longest = max(math.floor((1 + REACH) * mean), math.ceil(mean))
    lengths = np.arange(shortest, longest + 1)
    uneven = EVENNESS * ((lengths - mean) / mean) ** 2
    price = np.append(loudness / (loudness.mean() or 1.0), 0.0)
    fewest, most = max(1, shortest - warm_up), longest - warm_up  # frames of a part, without warm-up, but for the first
    least, low = np.zeros(1), 0  # least[i]: the smallest price of all cuts so far if the last one is at frame low + i
    best_lengths = []  # for every part: (low, length of the part in the best solution that ends at low + i)
    for part in range(count):
        previous, previous_low = least, low
        remaining = count - 1 - part
        low = max(shortest + part * fewest, frames - remaining * most)
        high = min(longest + part * most, frames - remaining * fewest)
        least, best = np.full(high + 1 - low, np.inf), np.zeros(high + 1 - low, np.int64)
        for length, cost in zip(lengths - (warm_up if part else 0), uneven):
            first, last = max(low, previous_low + length), min(high, previous_low + len(previous) - 1 + length)
            if length < 1 or first > last:
                continue
            ends = slice(first - low, last + 1 - low)
            prices = previous[first - length - previous_low : last + 1 - length - previous_low] + cost
            better = prices < least[ends]
            least[ends][better] = prices[better]
            best[ends][better] = length
        least += price[low : high + 1]
        best_lengths.append((low, best))
    at = [frames]
    for low, best in reversed(best_lengths):
        at.append(at[-1] - int(best[at[-1] - low]))
    return at[::-1]


def fold(loudness: np.ndarray, count: int, warm_up: int) -> list[Part]:
    """The streams for an utterance of F frames; arguments as for ``cuts``. Their parts cover all frames once."""
    at = cuts(loudness, count, warm_up)
    return [Part(max(0, begin - warm_up), begin, end) for begin, end in zip(at[:-1], at[1:])]


@dataclass(frozen=True)
class Joined:
    """samples: (F * hop,) float32. middles: (number of crossfades,) int, the sample in the middle of each."""

    samples: np.ndarray
    middles: np.ndarray


def join(pieces: list[np.ndarray], parts: list[Part], hop: int, sample_rate: int) -> Joined:
    """Join the streams of an utterance by crossfades.

    pieces: the amplitudes of each stream, from its ``start`` on. hop: samples per frame. The end of a stream's warm-up
    fades in while the stream before it fades out, so nothing is shifted in time.
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
        begin = _crossfade_start(before, piece, fade, sample_rate)
        fading = slice(begin, begin + fade)
        mixed = crossfade(before[fading], piece[fading])
        result[start + begin : end] = piece[begin:]
        result[start:end][fading] = mixed
        middles.append(start + begin + fade // 2)
    return Joined(result, np.array(middles, int))


def _crossfade_start(before: np.ndarray, after: np.ndarray, fade: int, sample_rate: int) -> int:
    """The start of a crossfade of ``fade`` samples from ``before`` to ``after`` with the smallest step in loudness.

    Both signals begin at the same time, and the crossfade must end within ``before``. Of equal steps the latest is
    taken.
    """
    side, last = int(SIDE_S * sample_rate), len(before) - fade
    begins = np.arange(last, max(0, last - int(SEARCH_S * sample_rate)) - 1, -1)
    middles = begins + fade // 2
    left = _energies(before, middles - side, side)
    right = _energies(after[: len(before) + side], middles, side)
    return int(begins[np.argmin(np.abs(np.log(left / right)))])


def _energies(samples: np.ndarray, begins: np.ndarray, count: int) -> np.ndarray:
    """Mean squares of ``count`` samples from each of ``begins`` on; of fewer at the ends of the signal."""
    total = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    low, high = (np.clip(at, 0, len(samples)) for at in (begins, begins + count))
    return (total[high] - total[low]) / np.maximum(high - low, 1) + FAINT


def crossfade(leaving: np.ndarray, coming: np.ndarray) -> np.ndarray:
    """Fade from ``leaving`` (T,) to ``coming`` (T,) at constant power, for any correlation (Fink et al. 2016, DAFx).

    With linear gains alone, the level would drop by 3 dB between uncorrelated signals.
    """
    rise = np.arange(1, len(coming) + 1, dtype=np.float32) / (len(coming) + 1)
    fall = 1 - rise
    correlation = float(leaving @ coming) / math.sqrt(float(leaving @ leaving) * float(coming @ coming) + FAINT)
    correlation = max(LEAST_ALIKE, correlation)
    return (rise * coming + fall * leaving) / np.sqrt(rise**2 + fall**2 + 2 * correlation * rise * fall)
