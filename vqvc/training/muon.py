"""Muon: orthogonalized momentum for weights that are matrices (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

A few large singular values dominate the gradient of a matrix. With all singular values near 1, the directions of the
small ones are learned at the same pace. ``torch.optim.Muon`` takes two-dimensional parameters only, but the WaveNet
keeps the matrices of its layers in one tensor.
"""

import math

import torch
from torch import Tensor

from vqvc.config import TrainingConfig
from vqvc.nn.convolution import Convolution
from vqvc.nn.vqvae import VQVAE

ROUNDS = 5  # of the Newton-Schulz iteration
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan et al.: steep at 0; singular values end between about 0.7 and 1.2
SIZE = 2.5  # of a step of the WaveNet's layers, in learning rates (measured: "Levers" in egs/vctk/RESULTS.md)
SIZE_AROUND = 1.0  # of a step of the convolutions before the WaveNet, which diverge with 2.5
DECAY = 2.0  # weight decay per step, in learning rates; without it, steps of constant size let weights grow for ever


def orthogonal(matrix: Tensor) -> Tensor:
    """Replace the singular values of matrices (..., A, B) by numbers near 1: quintic Newton-Schulz iteration."""
    if matrix.shape[-2] > matrix.shape[-1]:
        return orthogonal(matrix.mT).mT
    a, b, c = COEFFICIENTS
    x = matrix / matrix.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Optimizer of parameters (..., A, B), whose last two dimensions are matrices.

    A step changes a matrix by about ``size * lr`` in root mean square. Adam's steps change it by about ``lr``, so that
    both can share a learning rate. ``size`` is an option of a parameter group. Weight decay is decoupled (Loshchilov &
    Hutter 2019): every step multiplies a weight by 1 - DECAY * lr.
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.95, size: float = SIZE):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "size": size})

    @torch.no_grad()
    def step(self) -> None:
        """Take a step. Parameters without a gradient stay as they are."""
        for group in self.param_groups:
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(gradient)
                momentum = state["momentum"]
                momentum.lerp_(gradient, 1 - group["momentum"])
                change = orthogonal(gradient.lerp(momentum, group["momentum"]))  # Nesterov momentum
                parameter.mul_(1 - DECAY * group["lr"])
                # an orthogonal matrix has a root mean square of 1 / sqrt(its longer side)
                parameter.sub_(change * (group["size"] * math.sqrt(max(parameter.shape[-2:])) * group["lr"]))


def optimizers(model: VQVAE, settings: TrainingConfig) -> list[torch.optim.Optimizer]:
    """The optimizers of ``training.optimizer``: Adam alone, or Muon for matrices and Adam for the other parameters.

    On a GPU the learning rate is a tensor on the device, so that a recorded step reads its current value.
    """
    groups = _matrices(model, settings.optimizer)
    matrices = {id(matrix) for group in groups for matrix in group["params"]}
    others = [parameter for parameter in model.parameters() if id(parameter) not in matrices]
    rate, gpu = settings.learning_rate, others[0].is_cuda
    if gpu:
        rate = torch.tensor(rate, device=others[0].device)
    adam = torch.optim.Adam(others, lr=rate, betas=(0.9, 0.99), fused=True, capturable=gpu)
    return [adam, Muon(groups, rate)] if groups else [adam]


def _matrices(model: VQVAE, optimizer: str) -> list[dict]:
    """Muon's parameter groups: none for "adam", the WaveNet's layers for "muon", all layers for "muon_all"."""
    if optimizer == "adam":
        return []
    wavenet = {"params": model.wavenet.stack.matrices(), "size": SIZE}
    if optimizer == "muon":
        return [wavenet]
    layers = [*model.encoder.modules(), *model.conditioning.modules()]
    weights = [layer.weight for layer in layers if isinstance(layer, Convolution)]
    return [wavenet, {"params": [*weights, model.wavenet.mix.weight], "size": SIZE_AROUND}]
