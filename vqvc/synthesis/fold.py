"""Folding: one utterance becomes many streams, cut where it is quiet, and is put together again without a click.

A stream begins ``warm_up`` frames before its part, from silence, so that the network's past is filled when its part
begins. Draws belong to places in the recording (see ``kernels``), so neighbouring streams draw alike where they
overlap. A short crossfade inside the overlap joins them.
"""

from dataclasses import dataclass

import numpy as np

CROSSFADE_S = 0.004
SEARCH = 0.5  # a cut is moved by at most this share of a part to a quieter place


@dataclass(frozen=True)
class Part:
    """Frames [begin, end) that a stream says, the first ``begin - start`` of them unheard: [start, end)."""

    start: int
    begin: int
    end: int


def cuts(loudness: np.ndarray, part_frames: int) -> list[int]:
    """Frames at which to cut, 0 and F included: about every ``part_frames``, at the quietest frame near by.

    Of equally quiet ones it is the nearest, so that parts are even where nothing tells them apart.
    loudness: (F,) of each frame, on any scale.
    """
    frames = len(loudness)
    count = max(1, round(frames / part_frames))
    reach = int(SEARCH * part_frames / 2)
    found = [0]
    for i in range(1, count):
        middle = round(i * frames / count)
        low, high = max(found[-1] + 1, middle - reach), min(frames - 1, middle + reach)
        if low < high:
            quietest = low + np.flatnonzero(loudness[low : high + 1] == loudness[low : high + 1].min())
            found.append(int(quietest[np.abs(quietest - middle).argmin()]))
    return found + [frames]


def fold(loudness: np.ndarray, part_frames: int, warm_up: int) -> list[Part]:
    """The parts of an utterance of F frames; together they cover it without gap or overlap."""
    at = cuts(loudness, part_frames)
    return [Part(max(0, begin - warm_up), begin, end) for begin, end in zip(at[:-1], at[1:])]


def join(pieces: list[np.ndarray], parts: list[Part], hop: int, sample_rate: int) -> np.ndarray:
    """(F * hop,) amplitudes from what each stream said from its ``start`` on.

    The end of a stream's warm-up fades in while the stream before it fades out, so nothing is shifted.
    """
    fade = max(1, int(CROSSFADE_S * sample_rate))
    result = np.zeros(parts[-1].end * hop, np.float32)
    for piece, part in zip(pieces, parts):
        lead = (part.begin - part.start) * hop
        overlap = min(fade, lead)
        first = part.begin * hop - overlap
        heard = piece[lead - overlap :].copy()
        if overlap:
            rise = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
            heard[:overlap] = rise * heard[:overlap] + (1 - rise) * result[first : part.begin * hop]
        result[first : part.end * hop] = heard
    return result
