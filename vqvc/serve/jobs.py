"""Work that a page shows the progress of: one at a time for all users, each in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

Result = TypeVar("Result")


class Stopped(Exception):
    """The work was given up: its user left, or the server ends."""


class Turns:
    """Whose turn it is, as one model works for all users; ``close`` ends what runs and what waits."""

    def __init__(self) -> None:
        self._lock, self.closed = threading.Lock(), threading.Event()

    def close(self) -> None:
        """Stop all work: it ends at its next report of progress."""
        self.closed.set()

    def start(self, work: Callable[[Callable[[float], None]], Result]) -> "Job[Result]":
        """Begin ``work`` when the others are done. It is called with a function that takes the share that is done, 0 to 1."""
        return Job(work, self)

    def enter(self, given_up: Callable[[], bool]) -> None:
        """Wait for a turn; raises Stopped when there is none any more."""
        while not self._lock.acquire(timeout=0.1):
            if given_up():
                raise Stopped
        if given_up():
            self.leave()
            raise Stopped

    def leave(self) -> None:
        """Give the turn to the next."""
        self._lock.release()


class Job(Generic[Result]):
    """One piece of work, see ``Turns.start``."""

    def __init__(self, work: Callable[[Callable[[float], None]], Result], turns: Turns):
        self._work, self._turns = work, turns
        self._share: float | None = None
        self._stop, self._done = threading.Event(), threading.Event()
        self._result: Result
        self._error: BaseException | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def shares(self, every_s: float = 0.2) -> Iterator[float | None]:
        """The share that is done, None while others work, every so many seconds until the end. Leaving early stops the work."""
        try:
            yield self._share
            while not self._done.wait(every_s):
                yield self._share
        finally:
            self._stop.set()

    def result(self) -> Result:
        """Wait for the end; raises what the work raised."""
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._result

    def _given_up(self) -> bool:
        return self._stop.is_set() or self._turns.closed.is_set()

    def _report(self, share: float) -> None:
        if self._given_up():
            raise Stopped
        self._share = min(max(share, 0.0), 1.0)

    def _run(self) -> None:
        try:
            self._turns.enter(self._given_up)
            try:
                self._report(0.0)
                self._result = self._work(self._report)
            finally:
                self._turns.leave()
        except BaseException as error:  # raised again by ``result``, in the thread that asks
            self._error = error
        finally:
            self._done.set()
