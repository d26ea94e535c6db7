"""``python -m vqvc COMMAND ...``: any command, also where the folder of the console scripts is not on the PATH."""

import importlib
import pkgutil
import sys
from collections.abc import Sequence

from vqvc import cli
from vqvc._util.nearest import nearest
from vqvc.errors import EXIT_USAGE

COMMANDS = tuple(
    sorted(each.name.replace("_", "-") for each in pkgutil.iter_modules(cli.__path__) if each.name[0] != "_")
)
USAGE = f"usage: python -m vqvc COMMAND [options]\n\ncommands, each of which explains itself with --help:\n  {' '.join(COMMANDS)}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the first word names, with or without ``vqvc-`` before it."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if words else sys.stderr)
        return 0 if words else EXIT_USAGE
    name = words[0].removeprefix("vqvc-").replace("_", "-")
    if name not in COMMANDS:
        print(
            f"error: there is no command {words[0]!r}; the nearest are {', '.join(nearest(name, COMMANDS))}",
            file=sys.stderr,
        )
        return EXIT_USAGE
    sys.argv[0] = f"vqvc-{name}"  # what usage and examples call it
    return importlib.import_module(f"vqvc.cli.{name.replace('-', '_')}").main(words[1:])


if __name__ == "__main__":
    raise SystemExit(main())
