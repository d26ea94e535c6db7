"""The log of a run: JSON lines always, TensorBoard when it is installed."""

import json
import math
from pathlib import Path


class Tracker:
    """Appends one JSON object per event to ``log.jsonl``; numbers go to TensorBoard too, when ``tensorboard`` is there.

    Events: start, train, epoch, valid, end. Every event has step and minutes (of training, over all resumptions).
    """

    def __init__(self, folder: Path, tensorboard: bool = True):
        self.path = folder / "log.jsonl"
        _cut_back(self.path)
        self.file = open(self.path, "a", encoding="utf-8")
        self.board = self._open_board(folder) if tensorboard else None

    @staticmethod
    def _open_board(folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except Exception:  # whatever is wrong with an optional package, training goes on without it
            return None
        return SummaryWriter(str(folder / "tensorboard"))

    def write(self, event: str, *, step: int, minutes: float, **values) -> None:
        """One line; a number that is not finite is written as null."""
        clean = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}
        line = {"event": event, "step": step, "minutes": round(minutes, 3), **clean}
        self.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.file.flush()
        if self.board:
            for key, value in clean.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    self.board.add_scalar(f"{event}/{key}", value, step)

    def close(self) -> None:
        """Finish both files."""
        self.file.close()
        if self.board:
            self.board.close()


def _cut_back(path: Path) -> None:
    """Remove a last line that a killed process left half-written, so that what follows stands on a line of its own."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        text = file.read()
        if not text.endswith(b"\n"):
            file.truncate(text.rfind(b"\n") + 1)
