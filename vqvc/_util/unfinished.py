"""Folders that are made under ``NAME.partial`` and appear under ``NAME`` when they are whole.

A file inside marks what was begun here. Only a folder with that mark is ever taken up or removed: one that somebody
else called ``NAME.partial`` stays as it is.
"""

import fnmatch
import glob
import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vqvc._util import atomic, platform
from vqvc.errors import UsageError

MARKER = ".vqvc-unfinished"
_REPLACED = ".replaced-"
_NOTE = "Unfinished work of vqvc. The command that made this folder takes it up or begins again; it may be removed.\n"


def path_of(target: str | os.PathLike) -> Path:
    """Where the unfinished ``target`` is made."""
    target = Path(target)
    return target.with_name(target.name + ".partial")


def take(target: str | os.PathLike) -> Path:
    """The folder for unfinished work on ``target``: the one that an earlier run left, or a new empty one.

    Raises UsageError when something else has its name.
    """
    partial = path_of(target)
    require_ours(partial)
    partial.mkdir(parents=True, exist_ok=True)
    _mark(partial)
    atomic.remove_stale_partials(partial)
    return partial


def begin(target: str | os.PathLike) -> Path:
    """The same, always empty: what an earlier run left is removed."""
    remove(path_of(target))
    return take(target)


@contextmanager
def replacing(target: str | os.PathLike, *, overwrite: bool) -> Iterator[Path]:
    """The folder of ``begin``, which becomes ``target`` as ``finish`` does at the end; removed where an error comes first."""
    partial = begin(target)
    try:
        yield partial
    except BaseException:
        with suppress(OSError, UsageError):  # the error itself has the reason
            remove(partial)
        raise
    finish(partial, target, overwrite=overwrite)


def _mark(folder: Path) -> None:
    """By one call: a temporary file that a kill leaves would be something foreign in a folder without the mark."""
    (folder / MARKER).write_text(_NOTE, encoding="utf-8")


def tidy(target: Path, notes: Collection[str] = ()) -> None:
    """Remove the mark and ``notes`` from a finished folder, where a kill has left them."""
    if (target / MARKER).is_file():
        for name in (*notes, MARKER):
            (target / name).unlink(missing_ok=True)


def require_ours(partial: Path) -> None:
    """Raise UsageError when ``partial`` exists and is not unfinished work of ours. An empty folder counts as ours."""
    if not os.path.lexists(partial):
        return
    if partial.is_dir() and not partial.is_symlink() and ((partial / MARKER).is_file() or not any(partial.iterdir())):
        return
    raise UsageError(
        f"{partial}: was not made by vqvc, and unfinished work needs that name; move it, or give another --out"
    )


def remove(partial: Path) -> None:
    """Remove unfinished work; raises UsageError for what is not ours, nothing when there is none.

    The mark goes last, so that a removal that is cut short can be finished.
    """
    require_ours(partial)
    if not partial.exists():
        return
    for entry in partial.iterdir():
        if entry.name == MARKER:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    (partial / MARKER).unlink(missing_ok=True)
    partial.rmdir()


def require_only(folder: Path, names: Collection[str]) -> None:
    """Raise UsageError when ``folder``, which is to be replaced, holds what we did not write there: other than ``names``
    (patterns as ``audio*.s16``). Hidden files, which file managers leave, do not count."""
    for entry in sorted(folder.iterdir()):
        if not entry.name.startswith(".") and not any(fnmatch.fnmatch(entry.name, name) for name in names):
            raise UsageError(
                f"{folder}: holds {entry.name}, which is not of this command; move it, or give another --out"
            )


def finish(made: Path, target: str | os.PathLike, *, overwrite: bool, notes: Collection[str] = ()) -> None:
    """Rename ``made`` to ``target``; an existing ``target`` is moved aside first and deleted last.

    ``notes``: files that only unfinished work needs. They and the mark go after the renaming, so that work which is cut
    short at any moment is taken up again.
    """
    target = Path(target)
    if target.exists():
        if not overwrite:
            raise UsageError(f"{target}: exists already; give --overwrite to replace it")
        _mark(target)
        os.rename(target, target.with_name(f".{target.name}{_REPLACED}{secrets.token_hex(4)}"))
    os.rename(made, target)
    platform.fsync_directory(target.parent)
    tidy(target, notes)
    for old in target.parent.glob(f".{glob.escape(target.name)}{_REPLACED}*"):  # one may be left by a kill
        if (old / MARKER).is_file():
            shutil.rmtree(old)
