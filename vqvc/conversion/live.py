"""A stream against the clock: blocks as they come, how long each takes, and samples on their way to a loudspeaker.

Times are of the wall clock unless ``clock`` says otherwise.
"""

import gc
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vqvc.conversion.stream import Stream

CUSHION_BLOCKS = 2  # in ten minutes on a virtual machine one block of 30,000 comes 20 ms later than one would allow
SILENT_DB = -100.0  # of full scale: the lowest level that is shown


class Figures:
    """How a stream keeps up.

    times_s: of each block; work_s: all together; sample_rate: Hz; taken, given: samples; in_db, out_db: level of the latest block, of
    full scale.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate, self.times_s, self.work_s = sample_rate, array("f"), 0.0
        self.taken = self.given = 0
        self.in_db = self.out_db = SILENT_DB

    def add(self, took_s: float, block: np.ndarray, made: np.ndarray) -> None:
        """Count a block, what came out for it, and the seconds that it took."""
        self.times_s.append(took_s)
        self.work_s += took_s
        self.taken, self.given = self.taken + len(block), self.given + len(made)
        self.in_db = level_db(block)
        if len(made):
            self.out_db = level_db(made)

    @property
    def real_time_factor(self) -> float:
        """Seconds of work for each second of sound; nan before there is any."""
        return self.work_s / (self.taken / self.sample_rate) if self.taken else float("nan")

    def percentile_ms(self, share: float) -> float:
        """The time within which that share (0 to 1) of the blocks were done; nan before there are any."""
        return 1000 * float(np.quantile(self.times_s, share)) if self.times_s else float("nan")


def level_db(samples: np.ndarray) -> float:
    """Root mean square of samples in dB of full scale, at least SILENT_DB."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return max(10 * np.log10(power + 1e-12), SILENT_DB)


def cushion_samples(cushion_ms: float | None, block: int, sample_rate: int) -> int:
    """Samples of converted speech that are kept ready: ``cushion_ms`` of them, or ``CUSHION_BLOCKS`` blocks when None."""
    return CUSHION_BLOCKS * block if cushion_ms is None else round(sample_rate * cushion_ms / 1000)


@contextmanager
def without_pauses() -> Iterator[None]:
    """A context in which Python's garbage collector leaves alone what exists already: to look through it takes longer than a block."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def converted(
    blocks: Iterable[np.ndarray], stream: "Stream", figures: Figures, clock: Callable[[], float] = time.perf_counter
) -> Iterator[np.ndarray]:
    """What each block completes of the stream's output, and at the end what is left; the figures count along."""
    with without_pauses():
        for block in blocks:
            begin = clock()
            made = stream.convert(block)
            figures.add(clock() - begin, block, made)
            yield made
        yield stream.flush()


def blocks_of(parts: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Parts of any size as blocks of ``size`` samples; the last may be shorter."""
    held = np.zeros(0, np.float32)
    for part in parts:
        held = np.concatenate([held, np.asarray(part, np.float32)])
        whole = len(held) // size * size
        yield from (held[begin : begin + size] for begin in range(0, whole, size))
        held = held[whole:]
    if len(held):
        yield held


class Pace:
    """Microphone and loudspeaker by the clock: blocks come when they would have been spoken, and what is played is read when due.

    As devices do, it takes in a block and reads one of the same length at the same moment. late_s: of each block, from its arrival
    until its output was there; more than a block and the cushion, in whole blocks, is a dropout.
    """

    def __init__(
        self,
        sample_rate: int,
        playout: "Playout",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.sample_rate, self.playout, self.clock, self.sleep = sample_rate, playout, clock, sleep
        self.begin, self.late_s = 0.0, array("f")
        self.size = self.arrived = 0  # samples of a block, and of all so far

    def blocks(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Each block when its last sample has been spoken; the clock starts with the first. All but the last are equally long."""
        try:
            for block in blocks:
                if not self.size:
                    self.begin, self.size = self.clock(), len(block)
                self.arrived += len(block)
                wait = self._arrival_s() - self.clock()
                if wait > 0:
                    self.sleep(wait)
                yield block
        finally:
            self.size = 0  # once the microphone is off, nothing is due

    def play(self, made: np.ndarray) -> None:
        """Hand samples to the loudspeaker, which has read until now what was due."""
        if self.size:
            now = self.clock()
            self.late_s.append(now - self._arrival_s())
            due = int((now - self.begin) * self.sample_rate + 1e-6) // self.size * self.size
            self.playout.read(max(due - self.playout.read_samples, 0))
        self.playout.write(made)

    def _arrival_s(self) -> float:
        """When the latest block has been spoken."""
        return self.begin + self.arrived / self.sample_rate


class Playout:
    """Samples on their way to a loudspeaker, which reads ``delay`` samples of silence first. Safe between two threads.

    What is not there when it is due is replaced by silence and left out when it comes, so that the delay stays. dropouts: how often
    that happened.
    """

    def __init__(self, delay: int) -> None:
        self.held, self.missing = np.zeros(delay, np.float32), 0
        self.dropouts = self.read_samples = 0
        self._lock = threading.Lock()

    def write(self, samples: np.ndarray) -> None:
        """Add samples (t,)."""
        with self._lock:
            late = min(self.missing, len(samples))
            self.missing -= late
            self.held = np.concatenate([self.held, samples[late:]])

    def skip(self, count: int) -> None:
        """Count samples that will never come; those that are missing, or else silence in their place."""
        self.write(np.zeros(count, np.float32))

    def read(self, count: int) -> np.ndarray:
        """The next ``count`` samples (count,) float32."""
        with self._lock:
            made, self.held = self.held[:count], self.held[count:]
            self.read_samples += count
            if len(made) < count:
                self.missing += count - len(made)
                self.dropouts += 1
                made = np.pad(made, (0, count - len(made)))
            return made
