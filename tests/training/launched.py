"""vqvc-train as torchrun starts it, with a second worker that is killed once; run by ``test_workers``, which see.

python launched.py MARK ARGUMENTS    the worker of rank 1 kills itself before step 4 unless the file MARK is there
"""

import os
import signal
import sys
from pathlib import Path

import pytest
from tiny_training import before_step

from vqvc.cli import train
from vqvc.training.vqvae_task import VQVAETask


def die_once(mark: Path, step: int) -> None:
    """Before step 4, in the worker of rank 1, in the first of its lives."""
    if step == 4 and os.environ["RANK"] == "1" and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    before_step(pytest.MonkeyPatch(), VQVAETask, lambda step: die_once(Path(sys.argv[1]), step))
    sys.exit(train.main(sys.argv[2:]))
