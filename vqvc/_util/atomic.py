"""Atomic writes: a file is either the old one or the whole new one, never half of it."""

import json
import os
import secrets
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqvc._util import platform
from vqvc.errors import explained

TAIL = 40  # characters of the target's name that the temporary name keeps: together they are short enough


@contextmanager
def atomic_path(target: str | os.PathLike, *, needs_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; on a clean exit it is fsynced and renamed onto ``target``.

    On any error the temporary file is removed and ``target`` is as it was. An OSError becomes a FileError, which names
    ``target``. The temporary name is hidden, names the process that writes it, and ends as ``target`` does, for writers
    that choose the format by its suffix.
    """
    target = Path(target)
    partial = target.with_name(f"{_mark(os.getpid())}{secrets.token_hex(4)}-{target.name[-TAIL:]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        platform.fsync_file(partial)
        os.replace(partial, target)
        platform.fsync_directory(target.parent)
    except OSError as error:
        ours = error.filename is None or os.fsdecode(error.filename) == str(partial)
        raise explained(error, target if ours else None, needs_bytes=needs_bytes) from error
    finally:
        try:
            partial.unlink(missing_ok=True)
        except OSError:
            pass  # the error above has the reason


def remove_stale_partials(folder: str | os.PathLike) -> int:
    """Remove what processes of this machine that are gone left unfinished in ``folder``; returns the number of files."""
    here, removed = _mark(0).rsplit("-", 2)[0], 0
    for path in Path(folder).glob(f"{here}-*-*-*"):
        owner = path.name[len(here) + 1 :].partition("-")[0]
        if owner.isdigit() and not platform.is_running(int(owner)):
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _mark(process: int) -> str:
    """The beginning of an unfinished file's name: this machine and the process, so that a stale one can be recognised."""
    return f".partial-{zlib.crc32(socket.gethostname().encode()):08x}-{process}-"


def write_bytes(target: str | os.PathLike, data: bytes) -> None:
    """Write ``data`` to ``target`` atomically."""
    with atomic_path(target, needs_bytes=len(data)) as partial:
        partial.write_bytes(data)


def write_text(target: str | os.PathLike, text: str) -> None:
    """Write ``text`` as UTF-8 to ``target`` atomically."""
    write_bytes(target, text.encode("utf-8"))


def write_json(target: str | os.PathLike, value: object) -> None:
    """Write ``value`` as indented JSON to ``target`` atomically; NaN and infinity are refused."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
