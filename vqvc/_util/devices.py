"""Which device does the work: one that is there, or one sentence about the one that is not."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vqvc._util.extras import first_line
from vqvc.errors import TrainingError, UsageError

HELP = "auto, cpu, cuda or mps (a Mac's GPU)"


def choose(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is a CUDA GPU where there is one, else the CPU.

    Raises UsageError for a name that is none, and for a device that this machine or this build of PyTorch lacks.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"--device {name}: is no device; give {HELP}") from None
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if not count:
            raise UsageError(f"--device {name}: PyTorch {torch.__version__} finds no CUDA GPU here; give --device cpu")
        if (device.index or 0) >= count:
            raise UsageError(f"--device {name}: there are {count} GPUs, the last is cuda:{count - 1}")
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise UsageError(f"--device {name}: PyTorch {torch.__version__} finds no Apple GPU here; give --device cpu")
    elif device.type != "cpu":
        raise UsageError(f"--device {name}: is not supported; give {HELP}")
    return device


@contextmanager
def explained(device: torch.device) -> Iterator[None]:
    """Turn what only a device does wrong into one sentence: memory that is full, operations that an Apple GPU lacks."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise TrainingError(
            f"{device}: its memory is full; give a smaller batch, as in --set training.batch_size=8, or --device cpu"
        ) from None
    except (TypeError, NotImplementedError) as error:
        if device.type != "mps" or "mps" not in str(error).lower():
            raise
        raise TrainingError(f"{device}: lacks what this needs ({first_line(error)}); give --device cpu") from error
