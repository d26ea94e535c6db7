"""A run's folder belongs to one process at a time."""

import fcntl
import os
from pathlib import Path
from typing import IO

from vqvc.errors import TrainingError


def hold(folder: Path, name: str = ".lock0") -> IO[str]:
    """Hold ``folder`` for this process until the returned file is closed; raises TrainingError when another one has it."""
    handle = open(folder / name, "a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        owner = handle.read().strip() or "unknown"
        handle.close()
        raise TrainingError(f"{folder}: in use by process {owner}; wait for it or stop it") from None
    handle.seek(0)
    handle.truncate()
    handle.write(str(os.getpid()))
    handle.flush()
    return handle
