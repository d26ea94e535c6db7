"""Signals during training: the first Ctrl-C or SIGTERM makes a run save and stop, the second stops it at once."""

import os
import signal


class Interrupt:
    """Context manager that catches signals; ``received`` is the number of the first one, or None. Main thread only."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict = {}

    def _note(self, number: int, frame) -> None:
        if self.received is not None:
            os._exit(128 + number)  # the second signal; checkpoints are written atomically, so none is damaged
        self.received = number

    def __enter__(self) -> "Interrupt":
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *exc) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
