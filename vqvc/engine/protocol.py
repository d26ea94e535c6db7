"""What every engine of the sampling loop offers, whatever it runs on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vqvc.errors import UsageError
from vqvc.nn.vqvae import Conditioning


@dataclass(frozen=True)
class Job:
    """One stretch of speech to be synthesized from a cold start.

    frames: (F, C); predictor: (F, P) and gain: (F,) or None for the categorical output; float32.
    seed: of its draws; position: of its first sample in the recording, so that draws belong to places.
    """

    frames: np.ndarray
    predictor: np.ndarray | None
    gain: np.ndarray | None
    seed: int
    position: int = 0


def check_temperature(temperature: float) -> None:
    """Raise UsageError for a temperature that draws cannot have."""
    if not temperature > 0:
        raise UsageError(f"temperature {temperature}: must be above 0 (1 samples from the model's own distribution)")


@runtime_checkable
class Engine(Protocol):
    """A model's decoder, ready to sample.

    precision: "float32" or "bfloat16", of the layers; mixture: whether the output is one of logistics; hop: samples per
    conditioning frame; receptive_field: samples; streams: how many ``run`` works on at a time.
    """

    precision: str
    mixture: bool
    hop: int
    receptive_field: int
    streams: int

    def start(self, streams: int, seeds: Sequence[int], positions: Sequence[int] | None = None) -> Any:
        """State of ``streams`` streams with silence before them; what ``feed`` advances.

        seeds: of the draws of each; positions: of its first sample in the recording, 0 when None.
        """

    def feed(
        self,
        state: Any,
        conditioning: Conditioning,
        temperature: float = 1.0,
        forced: np.ndarray | None = None,
        observe: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Classes (streams, F * hop) uint8 for F more conditioning frames.

        forced: (streams, up to F * hop) classes to take instead of drawing. With ``observe`` also the raw outputs
        (streams, F * hop, outputs) float32 that the draws were made from.
        """

    def run(
        self,
        jobs: Sequence[Job],
        temperature: float = 1.0,
        lanes: int | None = None,
        progress: Callable[[int], None] = lambda samples: None,
    ) -> list[np.ndarray]:
        """Classes (F * hop,) uint8 of every job, up to ``lanes`` of them at a time.

        progress: called with the number of samples that were just made.
        """
