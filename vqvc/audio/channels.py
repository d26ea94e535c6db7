"""From several channels to one: their mean, or the first where the mean would cancel the speech."""

from collections.abc import Iterable

import numpy as np

CANCELS_DB = 20.0  # the mean is this much weaker than the channels themselves


class Channels:
    """What the channels of a recording add up to; fill it with all of its blocks, then mix."""

    def __init__(self) -> None:
        self.mean_energy = self.own_energy = 0.0

    def add(self, block: np.ndarray) -> None:
        """Count a block (T, channels)."""
        self.mean_energy += float(np.square(block.mean(axis=1, dtype=np.float64)).sum())
        self.own_energy += float(np.square(block, dtype=np.float64).sum()) / block.shape[1]

    @property
    def cancel(self) -> bool:
        """Whether the mean throws the speech away: one channel is the other upside down."""
        return self.mean_energy * 10 ** (CANCELS_DB / 10) < self.own_energy


def cancels(blocks: Iterable[np.ndarray]) -> bool:
    """Whether the channels of the recording cancel; memory holds one block."""
    channels = Channels()
    for block in blocks:
        channels.add(block)
    return channels.cancel


def mix(block: np.ndarray, cancel: bool) -> np.ndarray:
    """(T, channels) to (T,) float32."""
    if block.shape[1] == 1 or cancel:
        return np.ascontiguousarray(block[:, 0])
    return block.mean(axis=1, dtype=np.float32)


def note(count: int, cancel: bool) -> str:
    """What was done, in words; nothing for one channel."""
    if count == 1:
        return ""
    if cancel:
        return f"channels cancel; using the {'left' if count == 2 else 'first'}"
    return f"{count} channels averaged"
