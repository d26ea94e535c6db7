"""Schedules jobs of any length on a fixed number of streams, for every engine.

The longest jobs begin first. A stream whose job has ended takes the next one. Several workers, each with its own
streams, may share the jobs.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vqvc.engine.protocol import Job

SPAN = 8  # frames that streams advance before finished jobs are replaced


class Streams(Protocol):
    """The state of ``count`` streams, each of which is reset for one job after another.

    move: ``move(source, target)`` copies the state of a stream, so that the streams in use can be kept first; None for
    an engine in which idle streams cost nothing.
    """

    count: int
    move: Callable[[int, int], None] | None

    def begin(self, rows: Sequence[int], seeds: Sequence[int], positions: Sequence[int]) -> None:
        """Reset streams ``rows`` to silence. seeds: of their draws. positions: of their first samples."""


# (streams, frames (B, F, C), predictor (B, F, P), gain (B, F), temperature) -> classes (B, F * hop) uint8;
# predictor and gain are None for the categorical output
Advance = Callable[[Streams, np.ndarray, np.ndarray | None, np.ndarray | None, float], np.ndarray]


@dataclass
class _Lane:
    """A job in progress. ``classes`` is filled up to ``done`` frames."""

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
    """Generate the classes (F * hop,) uint8 of every job.

    hop: samples per frame. start: makes the streams of one worker. advance: generates some frames of all streams.
    progress: called from the workers with the number of samples that were just generated.

    Raises what a worker raises; the other workers then stop within ``SPAN`` frames, as they do on Ctrl-C.
    """
    results = [np.zeros(len(job.frames) * hop, np.uint8) for job in jobs]
    not_empty = [i for i, job in enumerate(jobs) if len(job.frames)]
    longest_first = sorted(not_empty, key=lambda i: len(jobs[i].frames), reverse=True)
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
            stop.set()  # leaving the context waits for all threads
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
    """One worker: each stream takes another job when it has finished one, until none is left or ``stop`` is set."""
    lanes: dict[int, _Lane] = {}  # by stream
    idle = list(reversed(range(streams.count)))  # a stack: the first stream is used first
    while not stop.is_set():
        new_lanes = {}
        while idle and (lane := next_lane()) is not None:
            new_lanes[idle.pop()] = lane
        jobs = [lane.job for lane in new_lanes.values()]
        streams.begin(list(new_lanes), [job.seed for job in jobs], [job.position for job in jobs])
        lanes |= new_lanes
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
            if streams.move is not None and row < len(lanes):  # the last stream in use moves to the free row
                streams.move(len(lanes), row)
                lanes[row] = lanes.pop(len(lanes))
                row = len(lanes)
            idle.append(row)


def _conditioning(
    lanes: dict[int, _Lane], width: int, span: int
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Frames, predictor and gain of the next ``span`` frames for ``width`` streams; zeros, and a gain of 1, if idle."""
    first_job = next(iter(lanes.values())).job

    def gathered(name: str, idle: float = 0.0) -> np.ndarray | None:
        example = getattr(first_job, name)
        if example is None:
            return None
        result = np.full((width, span, *example.shape[1:]), idle, np.float32)
        for row, lane in lanes.items():
            result[row] = getattr(lane.job, name)[lane.done : lane.done + span]
        return result

    frames = gathered("frames")
    assert frames is not None
    return frames, gathered("predictor"), gathered("gain", 1.0)
