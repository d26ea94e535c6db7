"""Evaluation in background threads: recordings are judged while others are still being converted."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeAlias, TypeVar

import torch
from tqdm import tqdm

from vqvc._util.platform import cores
from vqvc.evaluation.evaluation_set import EvaluationClip

Judge: TypeAlias = Callable[[Sequence[EvaluationClip]], None]  # stores its results in the recordings
Result = TypeVar("Result")


class BackgroundJudges:
    """Judges the recordings that are added, in a pool of threads. Use it as a context manager.

    judges: called in turn for each recording, from any thread. threads: recordings at a time, the number of cores when
    None; each uses one core. total: number of recordings, for the progress bar. If the context is left by an exception,
    recordings whose judging has not begun are dropped.
    """

    def __init__(self, judges: Sequence[Judge], threads: int | None = None, total: int | None = None):
        self._judges = judges
        self._pool = ThreadPoolExecutor(threads or cores(), "judges", initializer=torch.set_num_threads, initargs=(1,))
        self._waiting: list[Future] = []
        self._bar = tqdm(desc="judging", unit="recording", total=total, disable=None if judges else True)

    def __enter__(self) -> "BackgroundJudges":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=kind is not None)
        self._bar.close()

    def add(self, clips: Sequence[EvaluationClip]) -> None:
        """Add recordings, without waiting. Raises the error of a judge that has failed so far."""
        for future in [future for future in self._waiting if future.done()]:
            future.result()
        self._waiting += [self._pool.submit(self._judge, clip) for clip in clips]

    def submit(self, work: Callable[[], Result]) -> "Future[Result]":
        """Run other work in the pool."""
        return self._pool.submit(work)

    def wait(self) -> None:
        """Wait until all recordings are judged. Raises the error of a judge that has failed."""
        for future in self._waiting:
            future.result()
        self._waiting = []

    def _judge(self, clip: EvaluationClip) -> None:
        for judge in self._judges:
            judge([clip])
        self._bar.update()
