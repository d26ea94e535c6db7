"""The log of a run: JSON lines, and TensorBoard if it is installed."""

import json
import math
from pathlib import Path


class Tracker:
    """Appends one JSON object per event to ``log.jsonl`` in a folder; also writes to TensorBoard if it is installed.

    Events: start, train, epoch, valid, end. Every event has a step and minutes (of training, over all resumptions).
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
        except Exception:  # an optional package that does not work must not stop training
            return None
        return SummaryWriter(str(folder / "tensorboard"))

    def write(self, event: str, *, step: int, minutes: float, **values) -> None:
        """Write an event. Numbers that are not finite become null."""
        clean = {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}
        line = {"event": event, "step": step, "minutes": round(minutes, 3), **clean}
        self.file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self.file.flush()
        if self.board:
            for key, value in clean.items():
                if isinstance(value, (int, float)) and not isinstance(value, bool):
                    self.board.add_scalar(f"{event}/{key}", value, step)

    def close(self) -> None:
        """Close the log and TensorBoard's file."""
        self.file.close()
        if self.board:
            self.board.close()


def _cut_back(path: Path) -> None:
    """Remove an incomplete last line, which a killed process may leave, so that the next event begins a new line."""
    if not path.exists():
        return
    with open(path, "rb+") as file:
        text = file.read()
        if not text.endswith(b"\n"):
            file.truncate(text.rfind(b"\n") + 1)
