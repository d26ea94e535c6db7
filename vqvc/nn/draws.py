"""Random numbers of a training step that do not depend on how many workers share the batch.

Every worker draws the numbers of the whole batch from equally seeded generators, and uses those of its own rows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Generator, Tensor


@dataclass(frozen=True)
class SharedGenerator:
    """A generator that every worker seeds alike, and this worker's rows of the batch: rank, rank + workers, ..."""

    generator: Generator
    batch_size: int  # rows of all workers together
    rank: int = 0
    workers: int = 1


# a plain generator, or None for PyTorch's default one, is for a worker that has the whole batch
AnyGenerator = Generator | SharedGenerator | None


def rand(shape: tuple[int, ...], generator: AnyGenerator, device: torch.device) -> Tensor:
    """Uniform numbers from [0, 1), shape (B, ...), for the first B of this worker's rows."""
    return _rows(torch.rand, shape, generator, device)


def randn(shape: tuple[int, ...], generator: AnyGenerator, device: torch.device) -> Tensor:
    """Normally distributed numbers, shape (B, ...), for the first B of this worker's rows."""
    return _rows(torch.randn, shape, generator, device)


def integer(limit: int, generator: AnyGenerator, device: torch.device) -> int:
    """A uniform integer from 0 to limit - 1, the same on every worker."""
    plain = _plain(generator)
    return int(torch.randint(limit, (), generator=plain, device=plain.device if plain else device))


def rows_of_share(share: float, rows: int, generator: AnyGenerator) -> int:
    """How many of this worker's ``rows`` are in the first ``share`` (0 to 1, rounded up to rows) of the whole batch."""
    if not isinstance(generator, SharedGenerator):
        return math.ceil(share * rows)
    return len(range(generator.rank, math.ceil(share * generator.batch_size), generator.workers))


def vectors(z: Tensor, count: int, generator: AnyGenerator) -> Tensor:
    """Draw vectors (count, D) uniformly from z (B, T, D) of the whole batch; the same on every worker."""
    if not isinstance(generator, SharedGenerator) or generator.workers == 1:
        flat = z.reshape(-1, z.shape[2])
        return flat[torch.randint(len(flat), (count,), generator=_plain(generator), device=z.device)]
    time = z.shape[1]
    index = torch.randint(generator.batch_size * time, (count,), generator=generator.generator, device=z.device)
    row, step = index // time, index % time
    here = row % generator.workers == generator.rank
    drawn = z[torch.where(here, row // generator.workers, 0), step]
    drawn = torch.where(here[:, None], drawn, 0.0)
    dist.all_reduce(drawn)  # a vector is on one worker; the others add zeros
    return drawn


def _plain(generator: AnyGenerator) -> Generator | None:
    return generator.generator if isinstance(generator, SharedGenerator) else generator


def _rows(draw: Callable[..., Tensor], shape: tuple[int, ...], generator: AnyGenerator, device: torch.device) -> Tensor:
    if not isinstance(generator, SharedGenerator):
        return draw(shape, generator=generator, device=device)
    whole = draw((generator.batch_size, *shape[1:]), generator=generator.generator, device=device)
    return whole[generator.rank :: generator.workers][: shape[0]]
