"""Numbers that several commands take: what is out of range is refused in one sentence, with status 2."""

import argparse
import math

from vqvc.errors import UsageError

MOST_THREADS = 1024


def positive(text: str) -> int:
    """The type of an argument: a whole number of at least 1, as of threads or processes."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number of at least 1")
    return number


def seed(text: str) -> int:
    """The type of ``--seed`` where NumPy or PyTorch draws: what both take. Synthesis alone takes any whole number."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number from 0 on, below 2^63")
    return number


def require_possible(max_minutes: float | None, threads: int | None) -> None:
    """Raise UsageError for a limit in minutes or a number of threads that no run can have."""
    if max_minutes is not None and not (0 < max_minutes < math.inf):
        raise UsageError(f"--max-minutes: must be above 0 and finite, not {max_minutes}")
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise UsageError(f"--threads: must be from 1 to {MOST_THREADS:,}, not {threads}")
