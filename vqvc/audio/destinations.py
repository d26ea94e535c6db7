"""Whether an output can be written, found out before the work that makes it: its place, its name, and what it would replace."""

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from vqvc.errors import FileError, UsageError, explained

NAME_MAX = 255  # bytes, where the system has no limit to ask for


def require_place(path: Path) -> None:
    """Raise UsageError for a folder and for what is no ordinary file, FileError for a place that cannot be written."""
    try:
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; name a file in it")
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: is no ordinary file; name one that is (commands take - for stdout)")
        _require_writable(path)
    except OSError as error:
        raise explained(error, path) from None


def identities(paths: Iterable[Path]) -> frozenset[tuple[int, int]]:
    """Device and inode of the files that exist: the same for every name of a file, links too."""
    return frozenset(identity for path in paths if (identity := _identity(path)) is not None)


def require_no_source(path: Path, sources: frozenset[tuple[int, int]]) -> None:
    """Raise UsageError where an output is one of the sources, given by their ``identities``."""
    if _identity(path) in sources:
        raise UsageError(f"{path}: is the input itself; write the output elsewhere")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _require_writable(path: Path) -> None:
    """Raise FileError for a name that is too long, a file where a folder is needed, and a folder without rights."""
    folder = path.parent
    while not folder.exists():
        if folder == folder.parent:
            break
        folder = folder.parent
    if not folder.is_dir():
        raise explained(NotADirectoryError(errno.ENOTDIR, ""), path)
    longest = _longest_name(folder)
    for part in path.relative_to(folder).parts:
        if len(os.fsencode(part)) > longest:
            raise FileError(
                f"{path}: the name is too long; give a shorter one, of at most {longest} bytes", errno.ENAMETOOLONG
            )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(
            f"{path}: the folder {folder} is not writable; choose another path or change its rights", errno.EACCES
        )


def _longest_name(folder: Path) -> int:
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (AttributeError, OSError, ValueError):  # Windows
        return NAME_MAX
