"""A recording to be converted: a sound file or samples, of any length, read whole or in blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from vqvc.audio import io, resample
from vqvc.errors import AudioError

# a path; samples (T,) at the model's rate; samples and their rate in Hz
Given: TypeAlias = "str | Path | np.ndarray | tuple[np.ndarray, int] | Source"
BLOCK_S = 30.0


@dataclass(frozen=True, eq=False)
class Source:
    """Where samples come from, before any is read of a file."""

    path: Path | None  # of the file, or
    samples: np.ndarray | None  # (T,) float32
    sample_rate: int  # Hz, of the file or of the samples
    length_samples: int  # at that rate; an estimate for formats whose headers have none

    @classmethod
    def of(cls, given: Given, sample_rate: int) -> "Source":
        """``given`` as a source; samples without a rate are at ``sample_rate``. Reads the header of a file.

        Raises AudioError for a file that is missing or not readable, and for samples that are not one channel.
        """
        if isinstance(given, Source):
            return given
        if isinstance(given, (str, Path)):
            facts = io.info(given)
            return cls(Path(given), None, facts.sample_rate, facts.length_samples)
        if isinstance(given, tuple):
            given, sample_rate = given
        samples = np.asarray(given, np.float32)
        if samples.ndim != 1:
            raise AudioError(f"samples of shape {samples.shape}: give one channel, (T,)")
        if not 1000 <= sample_rate <= 768000:
            raise AudioError(f"a sample rate of {sample_rate} Hz: give one from 1000 to 768000")
        return cls(None, samples, int(sample_rate), len(samples))

    @property
    def name(self) -> str:
        """For messages."""
        return "samples" if self.path is None else str(self.path)

    @property
    def duration_s(self) -> float:
        return self.length_samples / self.sample_rate

    def read(self, sample_rate: int) -> io.Recording:
        """The whole at ``sample_rate``. Raises AudioError as ``io.read`` does."""
        if self.samples is None:
            return io.read(self.path, sample_rate)
        resampled = resample.resample(self.samples, self.sample_rate, sample_rate)
        return io.Recording(resampled, sample_rate, (), self.sample_rate, len(self.samples))

    def stream(self) -> Iterator[np.ndarray]:
        """The same in blocks (T,) at its own rate; memory holds one block of a file."""
        if self.samples is None:
            yield from io.stream(self.path)
            return
        size = max(int(BLOCK_S * self.sample_rate), 1)
        for begin in range(0, len(self.samples), size):
            yield self.samples[begin : begin + size]

    def notes(self, sample_rate: int) -> tuple[str, ...]:
        """What ``read`` converts on the way in, without holding the recording."""
        return io.notes_on(self.path, sample_rate) if self.samples is None else ()
