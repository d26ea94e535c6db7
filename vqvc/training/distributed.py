"""Several workers under torchrun: the same codebook, averaged gradients, one writer (gloo on CPUs, NCCL on GPUs)."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vqvc.errors import TrainingError

TIMEOUT = timedelta(minutes=5)  # after which a missing worker becomes an error


@contextmanager
def workers(device: torch.device) -> Iterator[tuple[int, int]]:
    """Join the group that torchrun describes in the environment, if any; yields (rank, world size).

    Raises TrainingError when another worker is gone, at the latest after ``TIMEOUT``.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, 1
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield dist.get_rank(), dist.get_world_size()
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error).lower():
            raise TrainingError(
                f"worker {dist.get_rank()}: another worker is gone ({str(error).splitlines()[0]}); "
                "the same command goes on from the last checkpoint"
            ) from error
        raise
    finally:
        dist.destroy_process_group()


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace every gradient by its mean over the workers, in one exchange."""
    if not dist.is_initialized():
        return
    parameters = list(parameters)
    moved = sum_over_workers(
        torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32, device=parameters[0].device)
    )
    parameters = [p for p, count in zip(parameters, moved.tolist()) if count]
    for parameter in parameters:
        if parameter.grad is None:  # a worker whose share did not reach it
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(mean.view_as(gradient))


def same_everywhere(module: nn.Module) -> None:
    """Give every worker the parameters and buffers of the first."""
    if dist.is_initialized():
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def mean_over_workers(values: Tensor) -> Tensor:
    """The mean of a tensor over all workers; the tensor itself when there is one."""
    if not dist.is_initialized():
        return values
    return sum_over_workers(values.detach().clone()) / dist.get_world_size()


def agree(seconds: float, flag: bool) -> tuple[float, bool]:
    """The mean of the workers' seconds, and True when one worker's flag is, so that all decide alike at the same step."""
    if not dist.is_initialized():
        return seconds, flag
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    found = sum_over_workers(torch.tensor([seconds, float(flag)], dtype=torch.float64, device=device))
    return float(found[0]) / dist.get_world_size(), bool(found[1] > 0)


def sum_over_workers(values: Tensor) -> Tensor:
    """The sum of a tensor over all workers, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values
