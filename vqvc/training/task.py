"""The interface between the training loop and a model: data, steps and figures. See ``vqvae_task``, ``prior_task``."""

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
    """How far a run is.

    step: from 0 on. progress: from 0 to 1, by steps or by minutes, whichever is further. limited: whether the run has a
    limit of minutes.
    """

    step: int
    progress: float
    limited: bool


class HeldOutFigures(Protocol):
    """The result of a validation."""

    @property
    def bits(self) -> float:
        """The main figure: bits per sample, or per code."""

    def as_dict(self) -> dict:
        """The figures as plain numbers, for the log."""

    def __str__(self) -> str: ...


class Task(Protocol):
    """A model, its data and its losses. Methods must return the same on every worker."""

    settings: Settings
    model: nn.Module
    average: AveragedModel
    optimizers: Sequence[torch.optim.Optimizer]
    device: torch.device
    unit: str  # of ``units_per_step``, for the log
    units_per_step: int
    guess_bits: float  # bits that a uniform guess costs

    def check_data(self) -> None:
        """Compare the data with its checksum; raise VqvcError if they differ. Called on the first worker only."""

    def prepare(self) -> None:
        """Compute what the first step needs from the data, unless a checkpoint held it. Does not count as training."""

    def describe(self) -> dict:
        """Return figures of the model and its data, for the first line of the log."""

    def configuration(self) -> dict:
        """Return all settings, for ``config.yaml`` in the run's folder."""

    def batches(self, first_step: int, last_step: int) -> Iterator[Any]:
        """Yield the batches of steps first_step to last_step - 1. Every batch has ``utt_ids``."""

    def train_step(self, batch: Any, position: Position, rate: float) -> dict | None:
        """Take a step at learning rate ``rate``. Returns None, and changes no weight, if a figure is not finite."""

    def end_step(self, step: int, log: Callable[..., None]) -> None:
        """Called after ``step`` steps, for example to end an epoch. ``log(event, **values)`` writes to the log."""

    def figures(self, result: dict) -> tuple[dict, str]:
        """Convert the result of ``train_step`` to plain numbers, and to a sentence for the terminal."""

    def unseen_bits(self, model: nn.Module, position: Position) -> float:
        """Bits per sample (or code) on a few fixed held-out crops, or training crops if nothing is held out."""

    def validate(self, position: Position, final: bool, stop: Callable[[], bool]) -> HeldOutFigures | None:
        """Score held-out data with the averaged weights. Called on the first worker only.

        Returns None if nothing is held out, or if ``stop()`` becomes true.
        """

    def finish(self) -> None:
        """Measure what a released model needs, once training has ended. Called on the first worker only."""

    def facts(self) -> dict:
        """Return the JSON metadata of a checkpoint."""

    def require_same(self, facts: dict, path: Path) -> None:
        """Raise ModelError if a checkpoint's ``facts`` are of another model or other data. path: of the checkpoint."""

    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of a checkpoint beside those of model, average and optimizers."""

    def restore(self, tensors: dict[str, Tensor], facts: dict) -> None:
        """Restore the state that ``tensors`` and ``facts`` of a checkpoint describe."""
