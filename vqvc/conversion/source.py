"""A recording to be converted: a sound file or samples, of any length, read whole or in blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vqvc.audio import io, resample
from vqvc.errors import AudioError, UsageError

if TYPE_CHECKING:
    import torch

# a path; samples (T,) at the model's rate, as an array or a tensor; samples and their rate in Hz
Given: TypeAlias = "str | Path | np.ndarray | torch.Tensor | tuple[np.ndarray | torch.Tensor, int] | Source"
BLOCK_S = 30.0
RATES_HZ = io.RATES_HZ
WANTED = "give a path, samples (T,), or a pair of samples and their rate in Hz"


def samples_of(given: object) -> np.ndarray:
    """An array, a tensor of any device or a sequence of numbers as samples (T,) float32, full scale 1.

    int16, int32 and uint8 are scaled as those of a sound file are. Raises UsageError for what holds no samples, AudioError for
    samples that are not one channel or not finite.
    """
    if hasattr(given, "detach") and hasattr(
        given, "cpu"
    ):  # a tensor, which may be on a GPU, part of a graph, or bfloat16
        given = given.detach().cpu()
        given = (given.float() if given.is_floating_point() else given).numpy()
    try:
        samples = np.asarray(given)
    except (TypeError, ValueError):
        raise UsageError(f"{type(given).__name__}: holds no samples; {WANTED}") from None
    if samples.dtype.kind not in "iuf":
        raise UsageError(f"{type(given).__name__} of type {samples.dtype}: holds no samples; {WANTED}")
    if samples.ndim != 1:
        raise AudioError(f"samples of shape {samples.shape}: give one channel, (T,)")
    if samples.dtype.kind in "iu":
        samples = _scaled(samples)
    samples = samples.astype(np.float32, copy=False)
    if not np.isfinite(samples.sum(dtype=np.float64)):
        raise AudioError(f"samples: non-finite at sample {int(np.argmin(np.isfinite(samples)))}; leave it out")
    return samples


def _scaled(samples: np.ndarray) -> np.ndarray:
    """Whole numbers as float32 of full scale 1."""
    size = samples.dtype.itemsize
    if samples.dtype.kind == "i" and size in (2, 4):
        return samples.astype(np.float32) / np.float32(2 ** (8 * size - 1))
    if samples.dtype.kind == "u" and size == 1:
        return (samples.astype(np.float32) - 128) / 128
    raise UsageError(
        f"samples of type {samples.dtype}: full scale is unknown; give floats up to 1, int16, int32 or uint8"
    )


def checked_rate(sample_rate: object) -> int:
    """A sample rate in Hz as int; raises UsageError for what is none, AudioError for one out of range."""
    if isinstance(sample_rate, bool) or not isinstance(sample_rate, Real) or sample_rate != sample_rate // 1:
        raise UsageError(f"a sample rate of {sample_rate!r}: give a whole number of Hz")
    if not RATES_HZ[0] <= sample_rate <= RATES_HZ[1]:
        raise AudioError(f"a sample rate of {sample_rate} Hz: give one from {RATES_HZ[0]} to {RATES_HZ[1]}")
    return int(sample_rate)


def _pair(given: tuple) -> tuple[object, int]:
    """Samples and rate; raises UsageError for other tuples."""
    if len(given) != 2:
        raise UsageError(f"a tuple of {len(given)}: {WANTED}; a batch is a list")
    samples, rate = given
    if isinstance(samples, (str, PathLike)):
        raise UsageError(f"{samples}: a file has its rate itself; give the path alone, and a batch as a list")
    if isinstance(samples, Real) and not isinstance(rate, Real):
        raise UsageError("a pair of a number and samples: give the samples first, then their rate in Hz")
    return samples, checked_rate(rate)


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

        Raises AudioError for a file that is missing or not readable, and as ``samples_of`` and ``checked_rate`` do.
        """
        if isinstance(given, Source):
            return given
        if isinstance(given, (str, PathLike)):
            facts = io.info(given)
            return cls(Path(given), None, facts.sample_rate, facts.length_samples)
        if isinstance(given, tuple):
            given, sample_rate = _pair(given)
        samples = samples_of(given)
        return cls(None, samples, sample_rate, len(samples))

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
