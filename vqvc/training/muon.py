"""Muon: momentum made orthogonal, for weights that are matrices (Jordan et al. 2024, kellerjordan.github.io/posts/muon).

A gradient's few large directions drown its many small ones; made orthogonal, all of them are learned at the same pace.
PyTorch's own ``torch.optim.Muon`` takes two dimensions alone, the WaveNet keeps its layers side by side in one tensor.
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
SIZE_AROUND = 1.0  # of the convolutions before them: with 2.5 they go astray
DECAY = 2.0  # of a weight in a step, in learning rates: steps of one size would let weights grow without end


def orthogonal(matrix: Tensor) -> Tensor:
    """(..., A, B) -> (..., A, B): each matrix with its singular vectors kept and its singular values near 1."""
    if matrix.shape[-2] > matrix.shape[-1]:
        return orthogonal(matrix.mT).mT
    a, b, c = COEFFICIENTS
    x = matrix / matrix.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-12)
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


class Muon(torch.optim.Optimizer):
    """Parameters (..., A, B): the last two dimensions are a matrix, those before count matrices.

    Every step changes a matrix by about ``size * lr`` in root mean square; Adam's first steps change it by ``lr``, so that the
    two share a learning rate. Groups of parameters may have a ``size`` of their own. Weights decay by ``DECAY * lr`` of themselves
    (Loshchilov & Hutter 2019).
    """

    def __init__(self, parameters, lr: float, momentum: float = 0.95, size: float = SIZE):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "size": size})

    @torch.no_grad()
    def step(self) -> None:
        """One step; a parameter without a gradient stays as it is."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if (gradient := parameter.grad) is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(gradient)
                momentum = state["momentum"]
                momentum.lerp_(gradient, 1 - group["momentum"])
                change = orthogonal(gradient.lerp(momentum, group["momentum"]))  # Nesterov's look ahead
                parameter.mul_(1 - DECAY * group["lr"])
                parameter.sub_(change * (group["size"] * math.sqrt(max(parameter.shape[-2:])) * group["lr"]))


def optimizers(model: VQVAE, settings: TrainingConfig) -> list[torch.optim.Optimizer]:
    """Adam for everything, or Muon for the matrices of layers (the WaveNet's, or all) and Adam for the rest.

    On a GPU their learning rate is a tensor there, so that a recorded step reads what it is then.
    """
    groups = _matrices(model, settings.optimizer)
    chosen = {id(matrix) for group in groups for matrix in group["params"]}
    rest = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    rate, gpu = settings.learning_rate, rest[0].is_cuda
    if gpu:
        rate = torch.tensor(rate, device=rest[0].device)
    adam = torch.optim.Adam(rest, lr=rate, betas=(0.9, 0.99), fused=True, capturable=gpu)
    return [adam, Muon(groups, rate)] if groups else [adam]


def _matrices(model: VQVAE, optimizer: str) -> list[dict]:
    if optimizer == "adam":
        return []
    layers = {"params": model.wavenet.stack.matrices(), "size": SIZE}
    if optimizer == "muon":
        return [layers]
    parts = (model.encoder, model.conditioning)
    around = [layer.weight for part in parts for layer in part.modules() if isinstance(layer, Convolution)]
    return [layers, {"params": [*around, model.wavenet.mix.weight], "size": SIZE_AROUND}]
