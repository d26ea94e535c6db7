"""Logging for commands: results go to stdout, everything else to stderr."""

import logging
import sys


def setup(verbose: bool = False) -> None:
    """Send the package's log records to stderr as plain lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.getLogger("vqvc")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
