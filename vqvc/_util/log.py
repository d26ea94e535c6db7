"""Logging for commands: results go to stdout, everything else to stderr."""

import logging
import re
import sys

# C0 and C1 controls but tab and newline, and the marks that turn the direction of text
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """``text`` as a terminal may show it: control characters, which a file's name can hold, are written as escapes."""
    return CONTROL.sub(lambda found: found.group().encode("unicode_escape").decode(), text)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def setup(verbose: bool = False) -> None:
    """Send the package's log records to stderr as plain lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(message)s"))
    logger = logging.getLogger("vqvc")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
