"""The interface of the engines that run the sampling loop on a CPU or a GPU."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vqvc.errors import UsageError
from vqvc.nn.vqvae import Conditioning


@dataclass(frozen=True)
class Job:
    """A stretch of speech to synthesize, with silence before it.

    frames: (F, C) float32, conditioning. predictor: (F, P) and gain: (F,) float32; None for the categorical output.
    seed: of the random draws. position: of the first sample in the recording; a draw depends on seed and position.
    """

    frames: np.ndarray
    predictor: np.ndarray | None
    gain: np.ndarray | None
    seed: int
    position: int = 0


def check_temperature(temperature: float) -> None:
    """Raise UsageError unless the temperature is above 0."""
    if not temperature > 0:
        raise UsageError(f"temperature {temperature}: must be above 0 (1 samples from the model's own distribution)")


@runtime_checkable
class Engine(Protocol):
    """A model's decoder, ready to sample.

    precision: of the layers, "float32" or "bfloat16". mixture: whether the output is a mixture of logistics. hop:
    samples per conditioning frame. receptive_field: in samples. streams: how many ``run`` works on at a time.
    """

    precision: str
    mixture: bool
    hop: int
    receptive_field: int
    streams: int

    def start(self, streams: int, seeds: Sequence[int], positions: Sequence[int] | None = None) -> Any:
        """Make the state of ``streams`` streams with silence before them, for ``feed``.

        seeds: of the draws of each stream. positions: of its first sample in the recording, 0 when None.
        """

    def feed(
        self,
        state: Any,
        conditioning: Conditioning,
        temperature: float = 1.0,
        forced: np.ndarray | None = None,
        observe: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Generate the samples of F more conditioning frames: classes (streams, F * hop) uint8. Updates ``state``.

        forced: (streams, N) classes, N up to F * hop, that are used for the first N samples instead of drawing.
        observe: also return the raw outputs (streams, F * hop, outputs) float32.
        """

    def run(
        self,
        jobs: Sequence[Job],
        temperature: float = 1.0,
        lanes: int | None = None,
        progress: Callable[[int], None] = lambda samples: None,
    ) -> list[np.ndarray]:
        """Generate the classes (F * hop,) uint8 of every job.

        lanes: how many jobs are worked on at a time; the engine's own choice when None. progress: called with the
        number of samples that were just generated.
        """
