"""The one door to the disk: a file is either the old one or the whole new one, never half of it."""

import errno
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vqvc._util import platform
from vqvc.errors import VqvcError


@contextmanager
def atomic_path(target: str | os.PathLike, *, needs_bytes: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; on a clean exit it is fsynced and renamed onto ``target``.

    On any error the temporary file is removed and ``target`` is as it was. A full disk becomes one sentence.
    The temporary name keeps the suffix of ``target``, for writers that choose the format by it.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".partial-{secrets.token_hex(4)}-{target.name}")
    try:
        yield partial
        platform.fsync_file(partial)
        os.replace(partial, target)
        platform.fsync_directory(target.parent)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            size = f", needs about {needs_bytes / 1e6:.0f} MB" if needs_bytes else ""
            raise VqvcError(f"{target}: disk full{size}; what was there before is untouched") from error
        raise
    finally:
        partial.unlink(missing_ok=True)


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
