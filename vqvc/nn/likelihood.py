"""Distributions over the 256 µ-law classes of the next sample, from the raw outputs of the WaveNet.

categorical: a softmax over the classes (van den Oord et al. 2016, section 2.2).
mixture: a discretized mixture of logistics (PixelCNN++, Salimans et al. 2017, equation 2) around the linear prediction.
    Each class gets the probability mass between its edges, so bits per sample are comparable with those of a softmax.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vqvc.nn.features import CLASSES, mulaw_edges

FAR = 1e4  # finite stand-in for the infinite outermost edges, far beyond any mean and scale
MIN_LOG_SCALE = -11.0  # exp(-11): a tenth of the narrowest class, so that digital silence costs next to nothing


def categorical_nll(logits: Tensor, classes: Tensor) -> Tensor:
    """Negative log-likelihood in nats, of the shape of ``classes`` (...), for logits (..., 256)."""
    rows = logits.float().reshape(-1, CLASSES)
    return torch.nn.functional.cross_entropy(rows, classes.reshape(-1), reduction="none").view(classes.shape)


def mixture_parameters(raw: Tensor, prediction: Tensor, log_gain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log weights, means and log scales, (..., M) each, for raw outputs (..., 3 * M); means and scales are amplitudes.

    prediction, log_gain: (...). Raw offsets from the prediction and raw scales are in units of the gain.
    """
    logit, offset, log_scale = raw.float().chunk(3, dim=-1)
    mean = prediction[..., None] + log_gain.exp()[..., None] * offset
    return logit.log_softmax(-1), mean, (log_gain[..., None] + log_scale).clamp(min=MIN_LOG_SCALE)


def mixture_nll(parameters: tuple[Tensor, Tensor, Tensor], classes: Tensor) -> Tensor:
    """Negative log-likelihood in nats, of the shape of ``classes`` (...): -log of the mixture's mass between the edges.

    parameters: from ``mixture_parameters``, (..., M) each.
    """
    edges = _edges(classes.device)
    low, high = edges[classes], edges[classes + 1]
    log_weight, mean, log_scale = parameters
    inverse = torch.exp(-log_scale)
    a = (low[..., None] - mean) * inverse
    b = (high[..., None] - mean) * inverse
    # sigmoid(b) - sigmoid(a) = sigmoid(b) * sigmoid(-a) * (1 - exp(a - b)), without cancellation
    inside = torch.log(-torch.expm1((a - b).clamp(max=-1e-6)))
    return -torch.logsumexp(log_weight + logsigmoid(b) + logsigmoid(-a) + inside, dim=-1)


@cache
@torch.inference_mode(False)  # the cached tensor must be usable in training, also if inference asks for it first
def _edges(device: torch.device) -> Tensor:
    return mulaw_edges().clamp(-FAR, FAR).to(device)


def bits(nats: float) -> float:
    """Convert nats to bits."""
    return nats / math.log(2)
