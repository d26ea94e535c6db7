"""Judging while speech is made: recognisers, encoders and predictors of quality work in threads of their own."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeAlias, TypeVar

import torch
from tqdm import tqdm

from vqvc._util.platform import cores
from vqvc.evaluation.evaluation_set import EvaluationClip

Judge: TypeAlias = Callable[[Sequence[EvaluationClip]], None]  # gives recordings what it measures, each once
Result = TypeVar("Result")


class BackgroundJudges:
    """Judges recordings as they are handed over, ``threads`` of them at once; ``wait`` until all are done.

    judges: called for each recording in turn, from any thread. threads: all cores when None; each judge works on one.
    total: recordings that will come, for the progress bar. Used as a context: what has not begun when it is left by an
    exception is dropped.
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
        """Hand over recordings; returns at once. Raises what a judge has raised so far."""
        for future in [future for future in self._waiting if future.done()]:
            future.result()
        self._waiting += [self._pool.submit(self._judge, clip) for clip in clips]

    def submit(self, work: Callable[[], Result]) -> "Future[Result]":
        """Have something else done among the recordings."""
        return self._pool.submit(work)

    def wait(self) -> None:
        """Until everything that was handed over is judged; raises what a judge raised."""
        for future in self._waiting:
            future.result()
        self._waiting = []

    def _judge(self, clip: EvaluationClip) -> None:
        for judge in self._judges:
            judge([clip])
        self._bar.update()
