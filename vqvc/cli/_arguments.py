"""Arguments that several commands take: what is out of range is refused in one sentence, with status 2."""

import argparse
import math

from vqvc.errors import UsageError

MOST_THREADS = 1024
LARGEST_SEED = 2**31 - 1


def positive(text: str) -> int:
    """The type of an argument: a number of threads or processes, 1 to ``MOST_THREADS``."""
    return _whole(text, 1, MOST_THREADS)


def seed(text: str) -> int:
    """The type of ``--seed``: a whole number that every generator of random numbers takes, 0 to ``LARGEST_SEED``."""
    return _whole(text, 0, LARGEST_SEED)


def add_switch(parser: argparse.ArgumentParser, name: str, help: str) -> None:
    """An option that is ``on`` unless it is given as ``off``."""
    parser.add_argument(name, choices=("on", "off"), default="on", help=help)


def _whole(text: str, least: int, most: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number from {least} to {most:,}")
    return number


def require_possible(max_minutes: float | None, threads: int | None) -> None:
    """Raise UsageError for a limit in minutes or a number of threads that no run can have."""
    if max_minutes is not None and not (0 < max_minutes < math.inf):
        raise UsageError(f"--max-minutes: must be above 0 and finite, not {max_minutes}")
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"--threads: must be from 1 to {MOST_THREADS:,}, not {threads}")
