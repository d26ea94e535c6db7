"""The first Ctrl-C or SIGTERM asks a run to save and stop; the second stops at once."""

import os
import signal


class Interrupt:
    """Context in which ``received`` is the number of the first signal, or None. Main thread only."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict = {}

    def _note(self, number: int, frame) -> None:
        if self.received is not None:
            os._exit(128 + number)  # the second time: at once; checkpoints are whole or not there
        self.received = number

    def __enter__(self) -> "Interrupt":
        self._previous = {number: signal.signal(number, self._note) for number in self.SIGNALS}
        return self

    def __exit__(self, *exc) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
