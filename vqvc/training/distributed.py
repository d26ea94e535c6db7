"""Training by several workers under torchrun: exchange of gradients and statistics (gloo on CPUs, NCCL on GPUs)."""

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
    """Join the process group that torchrun describes in the environment, if there is one; yields (rank, world size).

    Raises TrainingError if another worker is gone, at the latest after ``TIMEOUT``.
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
    has_gradient = [parameter.grad is not None for parameter in parameters]
    workers_with_gradient = sum_over_workers(
        torch.tensor(has_gradient, dtype=torch.float32, device=parameters[0].device)
    )
    parameters = [parameter for parameter, count in zip(parameters, workers_with_gradient.tolist()) if count]
    for parameter in parameters:
        if parameter.grad is None:  # this worker's share of the batch did not use it
            parameter.grad = torch.zeros_like(parameter)
    gradients = [p.grad for p in parameters]
    flat = torch.cat([g.reshape(-1) for g in gradients])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients])):
        gradient.copy_(mean.view_as(gradient))


def same_everywhere(module: nn.Module) -> None:
    """Copy the parameters and buffers of the first worker to all workers."""
    if dist.is_initialized():
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, src=0)


def mean_over_workers(values: Tensor) -> Tensor:
    """The mean of a tensor over all workers, without a gradient; the tensor itself if there is one worker."""
    if not dist.is_initialized():
        return values
    return sum_over_workers(values.detach().clone()) / dist.get_world_size()


def agree(seconds: float, flag: bool) -> tuple[float, bool]:
    """The mean of the workers' ``seconds``, and whether any worker's ``flag`` is set.

    With both, all workers decide at the same step that a run ends.
    """
    if not dist.is_initialized():
        return seconds, flag
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    sums = sum_over_workers(torch.tensor([seconds, float(flag)], dtype=torch.float64, device=device))
    return float(sums[0]) / dist.get_world_size(), bool(sums[1] > 0)


def sum_over_workers(values: Tensor) -> Tensor:
    """The sum of a tensor over all workers, in place."""
    if dist.is_initialized():
        dist.all_reduce(values)
    return values
