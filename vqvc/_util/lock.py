"""Locks on what a command writes and on a run's folder: one process at a time."""

import os
from contextlib import suppress
from pathlib import Path

from vqvc._util import platform
from vqvc.errors import TrainingError, UsageError, explained


class Lock:
    """Locks ``target``, a file or folder that need not exist, until ``close`` or the end of ``with``.

    The lock of ``data`` is ``.data.lock`` beside it. The system drops it when the process ends, however it ends.
    Raises UsageError, which names the other process, when another one has it.
    """

    def __init__(self, target: str | os.PathLike):
        target = Path(target)
        self._path = target.with_name(f".{target.name}.lock")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = platform.Lock(self._path)
        except platform.LockedError as error:
            raise UsageError(f"{target}: {error}; wait for it or stop it") from None
        except OSError as error:
            raise explained(error, None if error.filename else target) from None

    def close(self) -> None:
        """Release the lock; a second call does nothing. The lock's file is removed while it is locked, so that no process locks a
        file that is about to be removed; Windows keeps open files, there it is removed after."""
        if self._lock is None:
            return
        removed = False
        with suppress(OSError):
            self._path.unlink()
            removed = True
        self._lock.close()
        self._lock = None
        if not removed:
            with suppress(OSError):
                self._path.unlink()

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def lock_folder(folder: Path, name: str = ".lock0") -> platform.Lock:
    """Hold a run's folder for this process until the returned lock is closed; raises TrainingError when another one has it.

    The file ``name`` in it stays.
    """
    try:
        return platform.Lock(folder / name)
    except platform.LockedError as error:
        raise TrainingError(f"{folder}: {error}; wait for it or stop it") from None
    except OSError as error:
        raise explained(error, folder) from None
