"""What every command shares: its exit statuses, its signals, its one-sentence errors."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from vqvc._util import log
from vqvc.errors import EXIT_USAGE, UsageError, VqvcError

logger = logging.getLogger("vqvc")


class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help with defaults shown and examples kept as they are written."""


def parser(description: str, *, examples: str = "") -> argparse.ArgumentParser:
    """An argument parser in the house style: no abbreviations, ``--verbose``, examples at the end."""
    result = argparse.ArgumentParser(
        description=description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    result.add_argument("--verbose", action="store_true", help="say more on stderr")
    return result


def refuse_overwrite(target: str | os.PathLike, overwrite: bool, source: str | os.PathLike | None = None) -> None:
    """Raise UsageError when ``target`` exists (unless ``overwrite``) or is ``source`` itself."""
    target = Path(target)
    if source is not None and target.exists() and Path(source).exists() and os.path.samefile(target, source):
        raise UsageError(f"{target}: is the input itself; give another --out")
    if target.exists() and not overwrite:
        raise UsageError(f"{target}: exists already; give --overwrite to replace it")


def run(
    make_parser: Callable[[], argparse.ArgumentParser],
    work: Callable[[argparse.Namespace], int | None],
    argv: Sequence[str] | None = None,
) -> int:
    """Parse, work, and turn what happened into an exit status (FAULTS: 0, 1, 2, 3, 130, 143).

    ``work`` returns a status or None for 0. SIGTERM raises SystemExit(143) in ``work``, so that ``finally`` runs.
    """
    args = make_parser().parse_args(argv)
    log.setup(args.verbose)
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        status = work(args) or 0
        sys.stdout.flush()
        return status
    except VqvcError as error:
        logger.error("%s", f"error: {error}")
        return error.exit_status
    except KeyboardInterrupt:
        logger.error("stopped by Ctrl-C")
        return 128 + signal.SIGINT
    except BrokenPipeError:  # `| head` closed our stdout: a quiet end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except PermissionError as error:
        logger.error("error: %s: not permitted; choose another path or change its rights", error.filename)
        return EXIT_USAGE
    finally:
        signal.signal(signal.SIGTERM, previous)
