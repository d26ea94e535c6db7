"""What fits of a voice or of codes to a recording have in common: the model is frozen, and vectors of speakers are near its table."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vqvc.conversion.encoding import device_of
from vqvc.nn.precision import working_dtype
from vqvc.nn.vqvae import VQVAE

SHRINKAGE = 0.1  # share of the covariance that is made isotropic, as a table of few speakers needs


@contextmanager
def frozen(model: VQVAE) -> Iterator[None]:
    """The model's weights without gradients: they stay as they are, and to find them takes as long as what is wanted."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_()


def mixed(model: VQVAE) -> torch.autocast:
    """Layers in bfloat16 where the model and its device have it."""
    device = device_of(model)
    dtype = working_dtype(model.config.precision, device)
    return torch.autocast(device.type, dtype, enabled=dtype == torch.bfloat16)


def whitening(table: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (S,) and factor L (S, S) of the rows (N, S) of a speaker table: rows are mean + L u with u of about unit variance."""
    table = table.detach().float()
    mean, size = table.mean(0), table.shape[1]
    covariance = torch.cov(table.T) if len(table) > 1 else table.new_zeros(size, size)
    spread = covariance.diagonal().mean().clamp(min=1e-6)
    covariance = (1 - SHRINKAGE) * covariance.reshape(size, size) + SHRINKAGE * spread * torch.eye(
        size, device=table.device
    )
    return mean, torch.linalg.cholesky(covariance)
