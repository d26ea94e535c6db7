"""What the network itself computes, all samples at once: what the engines, which compute one after the other, are compared with."""

import torch
from torch import Tensor

from vqvc.nn import likelihood
from vqvc.nn.features import CLASSES
from vqvc.nn.vqvae import VQVAE, Conditioning


@torch.no_grad()
def raw_outputs(
    model: VQVAE, classes: Tensor, conditioning: Conditioning, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Raw outputs (B, T, O) of the last layer after the classes (B, T) before each sample, with silence before the first."""
    quantized, before, previous = model._shift(classes, None)
    lpc_inputs = model.lpc_inputs(quantized, conditioning, before)[2] if model.mixture else None
    return model._raw(previous, lpc_inputs, conditioning, dtype)


@torch.no_grad()
def log_probabilities(
    model: VQVAE, raw: Tensor, classes: Tensor, conditioning: Conditioning, history: Tensor | None = None
) -> Tensor:
    """log p (B, T, 256) of every class, as raw outputs of the network or of an engine mean it: what is sampled from."""
    if not model.mixture:
        return raw.log_softmax(-1)
    quantized, before, _ = model._shift(classes, history)
    prediction, log_gain, _ = model.lpc_inputs(quantized, conditioning, before)
    return mixture_log_probabilities(likelihood.mixture_parameters(raw, prediction, log_gain))


def mixture_log_probabilities(parameters: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """log p (..., 256) of every class under a mixture's parameters: minus what the loss would be for it."""
    shape = parameters[1].shape[:-1]
    every = torch.arange(CLASSES, device=parameters[1].device)
    return torch.stack([-likelihood.mixture_nll(parameters, one.expand(shape)) for one in every], dim=-1)
