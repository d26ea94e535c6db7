"""What every command shares: exit statuses, signals, one-sentence errors."""

import argparse
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from vqvc._util import log
from vqvc._util.nearest import nearest
from vqvc.errors import EXIT_USAGE, UsageError, explained

logger = logging.getLogger("vqvc")


class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help with defaults shown, where an option has a value without being given, and examples kept as they are written."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_value = action.default is not None and action.default is not False and action.default not in ("", [])
        return super()._get_help_string(action) if has_value else action.help


class _Parser(argparse.ArgumentParser):
    """Wrong words are answered in one sentence, with what was perhaps meant."""

    example = ""

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Raises SystemExit for words that belong to no option too."""
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(self._about(unknown[0].partition("=")[0]))
        return found

    def _about(self, word: str) -> str:
        if not word.startswith("-") or word == "-":
            return f"{word}: belongs to no option; type for example: {self.example}"
        known = [name for name in self._option_string_actions if name.startswith("--")]
        return f"{word}: there is no such option; the nearest are {', '.join(nearest(word, known))}"

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(EXIT_USAGE, f"error: {message}; {self.prog} --help lists all options\n")

    def _print_message(self, message: str, file: IO[str] | None = None) -> None:
        super()._print_message(log.printable(message) if message else message, file)


def parser(description: str, *, examples: str = "") -> argparse.ArgumentParser:
    """The argument parser of every command: no abbreviations, ``--verbose``, examples at the end."""
    result = _Parser(
        description=description,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    result.example = re.split(r"\s{2,}", examples.strip().partition("\n")[0])[0]
    result.add_argument("--verbose", action="store_true", help="log more to stderr")
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

    ``work`` returns a status or None for 0. SIGTERM raises SystemExit(143) in ``work``, so that ``finally`` runs. Every
    error of the operating system and of libsndfile becomes one sentence here, if nothing below has made one of it.
    """
    with _safe_streams():
        args = make_parser().parse_args(argv)
        log.setup(args.verbose)
        previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        try:
            status = work(args) or 0
            sys.stdout.flush()
            return status
        except KeyboardInterrupt:
            logger.error("stopped by Ctrl-C")
            return 128 + signal.SIGINT
        except BrokenPipeError:  # `| head` closed our stdout: a quiet end
            _drop_stdout()
            return 0
        except Exception as error:
            sentence = explained(error)
            if sentence is None:
                raise
            logger.error("%s", f"error: {sentence}")
            _drop_unwritable_stdout()
            return sentence.exit_status
        finally:
            signal.signal(signal.SIGTERM, previous)


class _Terminal:
    """Text to a terminal, the control characters of names escaped."""

    def __init__(self, stream: IO[str]):
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write(log.printable(text))

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


@contextmanager
def _safe_streams() -> Iterator[None]:
    """A stdout that takes every name: closed, it takes none; a terminal gets escapes; a pipe the bytes of the name. A closed stderr
    takes what is logged too."""
    before = sys.stdout, sys.stderr
    if sys.stdout is None:  # closed by the caller; its number must not go to another file
        sys.stdout = _nowhere()
    elif sys.stdout.isatty():
        sys.stdout = _Terminal(sys.stdout)
    elif hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="surrogateescape")
    sys.stderr = sys.stderr or _nowhere()
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def _nowhere() -> IO[str]:
    return open(os.open(os.devnull, os.O_WRONLY), "w")


def _drop_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _drop_unwritable_stdout() -> None:
    """What could not be written would be tried again, and complained of, when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        _drop_stdout()
