"""Recordings of any length in pieces, so that memory does not grow with them."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from vqvc.audio import io, resample
from vqvc.errors import AudioError

PIECE_S = 40.0  # a longer recording is converted in pieces of about this length
SEARCH_S = 8.0  # a piece ends at the quietest place of its last so many seconds
FRAME_S = 0.02


def convert_file(
    path: str | Path, out: str | Path, convert: Callable[[np.ndarray], np.ndarray], model_hz: int, out_hz: int | None = None
) -> int:
    """Convert the recording at ``path`` piece by piece and write ``out``; returns the samples said (at ``model_hz``).

    convert: (T,) float32 at ``model_hz`` -> as many. out_hz: rate of the output, the source's when None; the output
    is exactly as long as the source. Silent pieces stay silent; raises AudioError when all of them are.
    """
    facts = io.info(path)
    rate = out_hz or facts.sample_rate
    length = resample.resampled_length(facts.length_samples, facts.sample_rate, rate)
    said = 0

    def spoken() -> Iterator[np.ndarray]:
        nonlocal said
        heard = resample.resample_blocks(io.stream(path), facts.sample_rate, model_hz)
        for piece in pieces(heard, model_hz):
            try:
                result = convert(piece)
                said += len(piece)
            except AudioError:
                result = np.zeros_like(piece)
            yield result
        if not said:
            raise AudioError("digital silence: there is nothing to hear")

    io.write_blocks(out, resample.resample_blocks(spoken(), model_hz, rate), rate, length)
    return said


def pieces(blocks: Iterable[np.ndarray], sample_rate: int) -> Iterator[np.ndarray]:
    """Blocks of any size as pieces of at most about ``PIECE_S``, cut where it is quiet; together they are the blocks."""
    longest, search, frame = (int(s * sample_rate) for s in (PIECE_S, SEARCH_S, FRAME_S))
    held = np.zeros(0, np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > longest + search:  # never leaves a crumb for the last piece
            window = held[longest - search : longest].reshape(-1, frame)
            cut = longest - search + int(np.argmin((window**2).sum(1))) * frame
            yield held[:cut]
            held = held[cut:]
    if len(held):
        yield held
