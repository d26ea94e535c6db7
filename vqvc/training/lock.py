"""A run's folder belongs to one process at a time."""

from pathlib import Path

from vqvc._util import platform
from vqvc.errors import TrainingError


def lock_folder(folder: Path, name: str = ".lock0") -> platform.Lock:
    """Hold ``folder`` for this process until the returned lock is closed; raises TrainingError when another one has it."""
    try:
        return platform.Lock(folder / name)
    except platform.LockedError as error:
        raise TrainingError(f"{folder}: {error}; wait for it or stop it") from None
