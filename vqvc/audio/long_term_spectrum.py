"""The long-term average spectrum of speech, which shows the channel of a recording: microphone, room and line.

Power is averaged over the louder frames and added up in triangular bands on a logarithmic axis. It is relative to the
power of these frames, and the bins below FIRST_BIN are left out, so that neither the level nor an offset (DC) changes it.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

BANDS = 12
LOWEST_HZ, HIGHEST_HZ = 80.0, 7800.0  # centres of the first and the last band
HIGHEST_SHARE = 0.4875  # of the sample rate, which the last centre does not exceed
FRAME_S, HOP_S = 0.032, 0.008
FIRST_BIN = 2  # an offset reaches the two bins below, and no other, under a Hann window
QUIET_SHARE = 0.4  # the quietest frames, which do not count
LOUD_SHARE = 0.01  # the loudest frames; a frame that is ...
BELOW_LOUD_DB = 35.0  # ... further below them than this does not count either
LOWEST_DB, HIGHEST_DB, STEP_DB = -140.0, 20.0, 0.25  # of the levels that frames are sorted by
TOGETHER = 1024  # frames that are transformed at a time
SMALLEST = 1e-12  # share of the power in a band, at least


@dataclass(frozen=True)
class Spectrum:
    """What was measured.

    power: (bins,) of the frames that count, whose sum is 1. bands_db: (BANDS,), mean of ``power`` in each band.
    seconds: of the frames that count.
    """

    power: np.ndarray
    bands_db: np.ndarray
    seconds: float


class SpectrumMeter:
    """The long-term spectrum of a recording that comes in blocks, in memory that does not grow with it.

    Frames are sorted by their level in steps of STEP_DB, with a sum of power spectra for each step, since it is known
    at the end only which of them count.
    """

    def __init__(self, sample_rate: int) -> None:
        self.size, self.hop = frame_samples(sample_rate), max(round(HOP_S * sample_rate), 1)
        self.rate = sample_rate / self.hop  # frames a second
        self.window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(self.size) / self.size)
        self.filters = band_filters(sample_rate)
        levels = round((HIGHEST_DB - LOWEST_DB) / STEP_DB) + 1
        self.counts, self.sums = np.zeros(levels), np.zeros((levels, self.size // 2 + 1))
        self.held = np.zeros(0, np.float32)

    def add(self, block: np.ndarray) -> None:
        """Count a block (T,) of samples."""
        held = np.concatenate([self.held, block])
        span = (TOGETHER - 1) * self.hop + self.size
        while len(held) >= span:
            self._count(held[:span])
            held = held[TOGETHER * self.hop :]
        self.held = held

    def result(self) -> Spectrum | None:
        """The spectrum of what was counted so far; None for silence. A recording shorter than a frame is padded."""
        if len(self.held) >= self.size or not self.counts.any():
            self._count(np.pad(self.held, (0, max(self.size - len(self.held), 0))))
            self.held = self.held[max((len(self.held) - self.size) // self.hop + 1, 0) * self.hop :]
        quieter = np.cumsum(self.counts)
        counted = (quieter > QUIET_SHARE * quieter[-1]) & self._within(BELOW_LOUD_DB)
        power = self.sums[counted].sum(0)
        if not power.sum() > 0:
            return None
        power /= power.sum()
        bands_db = 10 * np.log10(np.maximum(self.filters @ power, SMALLEST))
        return Spectrum(power, bands_db, float(self.counts[counted].sum()) / self.rate)

    @property
    def speech_s(self) -> float:
        """Seconds of frames within BELOW_LOUD_DB of the loud ones."""
        return float(self.counts[self._within(BELOW_LOUD_DB)].sum()) / self.rate

    def forget(self, kept: float) -> None:
        """Weight what was counted so far by ``kept``, from 0 to 1."""
        self.counts *= kept
        self.sums *= kept

    def _within(self, range_db: float) -> np.ndarray:
        """Which levels lie at most so far below the loud frames, (levels,) bool."""
        louder = np.cumsum(self.counts[::-1])[::-1]
        loud = int(np.flatnonzero(louder >= LOUD_SHARE * louder[0])[-1])
        return np.arange(len(self.counts)) >= loud - range_db / STEP_DB

    def _count(self, samples: np.ndarray) -> None:
        """Count the frames of samples (T,), each HOP_S after the one before."""
        windows = np.lib.stride_tricks.sliding_window_view(samples, self.size)[:: self.hop]
        power = np.abs(np.fft.rfft(windows * self.window)) ** 2
        power[:, :FIRST_BIN] = 0.0
        mean_square = 2 * power.sum(1) / (self.size * (self.window**2).sum())
        levels = (10 * np.log10(np.maximum(mean_square, 1e-30)) - LOWEST_DB) / STEP_DB
        levels = np.clip(np.round(levels), 0, len(self.counts) - 1).astype(np.int64)
        order = np.argsort(levels, kind="stable")
        found, starts, counts = np.unique(levels[order], return_index=True, return_counts=True)
        self.sums[found] += np.add.reduceat(power[order], starts)
        self.counts[found] += counts


def measure(samples: np.ndarray, sample_rate: int) -> Spectrum | None:
    """The long-term spectrum of samples (T,); None for silence."""
    meter = SpectrumMeter(sample_rate)
    meter.add(samples)
    return meter.result()


def frame_samples(sample_rate: int) -> int:
    """Length of a frame, which is even."""
    return 2 * max(round(FRAME_S * sample_rate / 2), 8)


def centres_hz(sample_rate: int) -> np.ndarray:
    """Centres (BANDS,) of the bands."""
    return np.geomspace(LOWEST_HZ, min(HIGHEST_HZ, HIGHEST_SHARE * sample_rate), BANDS)


def over_bins(bands: np.ndarray, sample_rate: int, size: int) -> np.ndarray:
    """A value for each band (BANDS,), interpolated over log frequency: (size / 2 + 1,), for bins of a transform of that size."""
    hz = np.arange(size // 2 + 1) * sample_rate / size
    return np.interp(np.log(np.maximum(hz, 1.0)), np.log(centres_hz(sample_rate)), bands)


@cache
def band_filters(sample_rate: int) -> np.ndarray:
    """Triangular filters (BANDS, bins) on a logarithmic axis, each of which reaches to the centres beside it; each sum is 1."""
    centres, size = centres_hz(sample_rate), frame_samples(sample_rate)
    hz = np.maximum(np.arange(size // 2 + 1) * sample_rate / size, 1.0)
    width = math.log(centres[1] / centres[0])
    filters = np.maximum(0.0, 1 - np.abs(np.log(hz) - np.log(centres)[:, None]) / width)
    filters[:, :FIRST_BIN] = 0.0
    return filters / np.maximum(filters.sum(1, keepdims=True), SMALLEST)
