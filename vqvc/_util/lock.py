"""A name on disk belongs to one process at a time.

The lock of ``data`` is the file ``.data.lock`` beside it, which holds the number of the process. The system lets go of
it when the process ends in whatever way, so a kill leaves nothing that blocks the next one.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vqvc.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

_FAR = 1 << 30  # Windows keeps others from reading the locked byte: lock one that nobody reads


@contextmanager
def hold(target: str | os.PathLike) -> Iterator[None]:
    """Hold ``target`` (a file or folder that need not exist) while the block runs.

    Raises UsageError, which names the other process, when another one holds it.
    """
    target = Path(target)
    path = target.with_name(f".{target.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _locked(path, target)
    try:
        yield
    finally:
        _remove(path, file)


def _locked(path: Path, target: Path) -> IO[str]:
    while True:
        file = open(path, "a+", encoding="utf-8")
        if not _try(file):
            file.seek(0)
            owner = file.read(32).strip() or "?"
            file.close()
            raise UsageError(f"{target}: in use by process {owner}; wait for it or stop it")
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            return file
        file.close()  # its holder removed it between our opening and our locking


def _try(file: IO[str]) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            file.seek(_FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        return True
    except OSError:
        return False


def _remove(path: Path, file: IO[str]) -> None:
    """Remove while it is locked, so that nobody can lock the removed one unnoticed; where open files stay, after."""
    try:
        path.unlink(missing_ok=True)
        file.close()
    except PermissionError:
        file.close()
        path.unlink(missing_ok=True)
