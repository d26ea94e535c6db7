"""What the training loop knows of a model: its data, its steps and its figures. See ``vqvae_task`` and ``prior_task``."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vqvc.config import PriorTrainingConfig, TrainingConfig
from vqvc.training.average import AveragedModel

Settings = TrainingConfig | PriorTrainingConfig


@dataclass(frozen=True)
class Position:
    """Where a run is: its step, and its progress from 0 to 1 by steps or by minutes, whichever is further.

    limited: whether minutes end the run.
    """

    step: int
    progress: float
    limited: bool


class HeldOutFigures(Protocol):
    """What a validation found."""

    @property
    def bits(self) -> float:
        """The figure that a run is judged by: bits per sample, or per code."""

    def as_dict(self) -> dict:
        """Plain numbers, for logs."""

    def __str__(self) -> str: ...


class Task(Protocol):
    """A model, its data and its losses, as the loop sees them. What is returned is the same on every worker."""

    settings: Settings
    model: nn.Module
    average: AveragedModel
    optimizers: Sequence[torch.optim.Optimizer]
    device: torch.device
    unit: str  # of ``units_per_step``, for the log
    units_per_step: int
    guess_bits: float  # what a uniform guess costs

    def check_data(self) -> None:
        """Read what is to be learned and raise VqvcError where it is not what its checksum says; the first worker only."""

    def prepare(self) -> None:
        """What is found in the data before the first step, unless a checkpoint had it; not counted as training. Every worker."""

    def describe(self) -> dict:
        """Figures of the model and its data, for the log's first line."""

    def configuration(self) -> dict:
        """All settings, for the folder's ``config.yaml``."""

    def batches(self, first_step: int, last_step: int) -> Iterator[Any]:
        """The batches of steps first_step .. last_step - 1; each has ``utt_ids``."""

    def train_step(self, batch: Any, position: Position, rate: float) -> dict | None:
        """Learn from a batch at a learning rate. None when a figure is not finite; no weight has moved then."""

    def end_step(self, step: int, log: Callable[..., None]) -> None:
        """What is to be done after ``step`` steps, such as ending an epoch."""

    def figures(self, found: dict) -> tuple[dict, str]:
        """Plain numbers of what ``train_step`` returned, and the same as a sentence."""

    def unseen_bits(self, model: nn.Module, position: Position) -> float:
        """Bits of a few fixed crops of held-out data (of training data, without any), under weights that are to be saved."""

    def validate(self, position: Position, final: bool, stop: Callable[[], bool]) -> HeldOutFigures | None:
        """Score held-out data with the averaged weights; None without any, and when ``stop`` says so. The first worker only."""

    def finish(self) -> None:
        """What is measured once training has ended. The first worker only."""

    def facts(self) -> dict:
        """What a checkpoint states beside its tensors (JSON)."""

    def require_same(self, facts: dict, path: Path) -> None:
        """Raise ModelError when a checkpoint's facts are of another model or other data."""

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps beside model, average and optimizers."""

    def restore(self, tensors: dict[str, Tensor], facts: dict) -> None:
        """The inverse of ``tensors`` and ``facts``."""
