"""What differs between Linux, macOS and Windows: processor cores, file locks, flushing to the disk, memory.

The only module that uses functions of one operating system; each has an answer where the system lacks it.
"""

import ctypes
import errno
import os
import sys
from contextlib import suppress
from pathlib import Path

_CANNOT_SYNC = {errno.EACCES, errno.EPERM, errno.EBADF, errno.EINVAL, errno.EISDIR, errno.ENOSYS, errno.ENOTSUP}
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of the GNU C library


def cores() -> int:
    """Processor cores that this process may use, at least 1."""
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS, Windows
        return os.cpu_count() or 1


def is_running(process: int) -> bool:
    """Whether a process of this machine has that id; True where the system has no way to know (Windows)."""
    if os.name == "nt":
        return True  # os.kill would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


class LockedError(Exception):
    """Another process holds the lock; ``owner`` is its process id as text, "?" where that is not known."""

    def __init__(self, owner: str):
        super().__init__(f"in use by process {owner}")
        self.owner = owner


class Lock:
    """An exclusive lock that the system drops when this process ends, however it ends. Closed by hand or by ``with``.

    ``path`` is the lock's file; ``path.pid`` beside it holds the owner's process id while the lock is held. Raises
    LockedError at once when another holds it.
    """

    def __init__(self, path: str | os.PathLike[str]):
        import filelock  # torch requires it too: training from a packed store needs no further package

        self._owner = Path(f"{os.fspath(path)}.pid")
        self._lock = filelock.FileLock(path, timeout=0, thread_local=False)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise LockedError(_read_owner(self._owner)) from None
        try:
            self._owner.write_text(str(os.getpid()), encoding="ascii")
        except BaseException:  # a full disk, say: nothing of the lock is left
            for left in (self._owner, Path(path)):
                with suppress(OSError):
                    left.unlink()
            self._lock.release()
            raise

    def close(self) -> None:
        """Release the lock; a second call does nothing."""
        if self._lock.is_locked:
            self._owner.unlink(missing_ok=True)
            self._lock.release()

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _read_owner(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="ascii").strip() or "?"
    return "?"


def fsync_file(path: str | os.PathLike[str]) -> None:
    """Make the contents of ``path`` survive a power cut."""
    fd = os.open(path, os.O_RDWR)  # Windows flushes only what is open for writing
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def fsync_directory(directory: str | os.PathLike[str]) -> None:
    """Make a rename inside ``directory`` survive a power cut, where the system can: Windows opens no folders.

    Raises OSError when the disk fails.
    """
    try:
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def peak_memory_bytes() -> int | None:
    """Peak resident memory of this process; None where the system has no figure (Windows)."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def keep_freed_memory() -> bool:
    """Let the GNU C library keep large freed blocks instead of returning them to the system at once.

    A training step frees and takes the same gigabyte again and again; every return costs page faults (a fifth of a
    step when measured). True when it was possible.
    """
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_M_MMAP_THRESHOLD, 32 << 20), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20))
    return all(mallopt(key, value) == 1 for key, value in settings)
