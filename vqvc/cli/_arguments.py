"""Types of arguments: what is out of range is refused while the words are read, in one sentence, with status 2."""

import argparse


def positive(text: str) -> int:
    """A whole number of at least 1, as of threads or processes."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: must be a whole number of at least 1")
    return number
