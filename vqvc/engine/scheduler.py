"""Jobs of any length on a fixed number of streams: which job a stream works on, and how far all of them advance at once.

The same for every engine. The longest jobs begin first; a stream whose job has ended takes the next one. Several
workers, each with streams of its own, may share the jobs.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vqvc.engine.protocol import Job

SPAN = 8  # frames that streams advance between two looks at the list of jobs


class Streams(Protocol):
    """The state of ``count`` streams, which are begun again for one job after the other.

    move: lets stream ``target`` go on as ``source`` would, so that the streams in use are the first ones; None where an
    idle stream costs nothing.
    """

    count: int
    move: Callable[[int, int], None] | None

    def begin(self, rows: Sequence[int], seeds: Sequence[int], positions: Sequence[int]) -> None:
        """Silence before these streams; seeds of their draws and positions of their first samples."""


# (streams, frames (B, F, C), predictor (B, F, P), gain (B, F), temperature) -> classes (B, F * hop) uint8; predictor and
# gain are None for the categorical output
Advance = Callable[[Streams, np.ndarray, np.ndarray | None, np.ndarray | None, float], np.ndarray]


@dataclass
class _Lane:
    """A job under way; ``classes`` are filled up to ``done`` frames."""

    job: Job
    classes: np.ndarray
    done: int = 0

    @property
    def left(self) -> int:
        return len(self.job.frames) - self.done


def run(
    jobs: Sequence[Job],
    hop: int,
    start: Callable[[], Streams],
    advance: Advance,
    temperature: float,
    workers: int = 1,
    progress: Callable[[int], None] = lambda samples: None,
) -> list[np.ndarray]:
    """Classes (F * hop,) uint8 of every job.

    start: makes the streams of one worker. progress: called from the workers with the number of samples that were just
    made. What one worker raises, and Ctrl-C, ends the others within a span.
    """
    results = [np.zeros(len(job.frames) * hop, np.uint8) for job in jobs]
    longest_first = sorted((i for i in range(len(jobs)) if len(jobs[i].frames)), key=lambda i: -len(jobs[i].frames))
    if not longest_first:
        return results
    waiting = iter([_Lane(jobs[i], results[i]) for i in longest_first])
    lock, stop = threading.Lock(), threading.Event()

    def next_lane() -> _Lane | None:
        with lock:
            return next(waiting, None)

    def work() -> None:
        _work(next_lane, start(), advance, hop, temperature, progress, stop)

    if workers == 1:
        work()
        return results
    with ThreadPoolExecutor(workers) as pool:
        try:
            for done in as_completed([pool.submit(work) for _ in range(workers)]):
                done.result()
        finally:
            stop.set()  # the pool waits for all of its threads
    return results


def _work(
    next_lane: Callable[[], _Lane | None],
    streams: Streams,
    advance: Advance,
    hop: int,
    temperature: float,
    progress: Callable[[int], None],
    stop: threading.Event,
) -> None:
    """One worker's share: its streams take the next job when they have finished one, until there are no more or ``stop``."""
    lanes: dict[int, _Lane] = {}  # by stream
    idle = list(reversed(range(streams.count)))  # the next one to be used last
    while not stop.is_set():
        fresh = {}
        while idle and (lane := next_lane()) is not None:
            fresh[idle.pop()] = lane
        jobs = [lane.job for lane in fresh.values()]
        streams.begin(list(fresh), [job.seed for job in jobs], [job.position for job in jobs])
        lanes |= fresh
        if not lanes:
            return
        span = min(SPAN, *(lane.left for lane in lanes.values()))
        width = streams.count if streams.move is None else len(lanes)
        classes = advance(streams, *_conditioning(lanes, width, span), temperature)
        for row, lane in lanes.items():
            lane.classes[lane.done * hop : (lane.done + span) * hop] = classes[row]
            lane.done += span
        progress(span * hop * len(lanes))
        for row in sorted((row for row, lane in lanes.items() if not lane.left), reverse=True):
            del lanes[row]
            if streams.move is not None and row < len(lanes):  # the last one in use takes its place
                streams.move(len(lanes), row)
                lanes[row] = lanes.pop(len(lanes))
                row = len(lanes)
            idle.append(row)


def _conditioning(
    lanes: dict[int, _Lane], width: int, span: int
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The next ``span`` frames of every stream's job, for ``width`` streams; zeros, and a gain of 1, for idle ones."""

    def gathered(name: str, idle: float = 0.0) -> np.ndarray | None:
        if getattr(some, name) is None:
            return None
        result = np.full((width, span, *getattr(some, name).shape[1:]), idle, np.float32)
        for row, lane in lanes.items():
            result[row] = getattr(lane.job, name)[lane.done : lane.done + span]
        return result

    some = next(iter(lanes.values())).job
    frames = gathered("frames")
    assert frames is not None
    return frames, gathered("predictor"), gathered("gain", 1.0)
