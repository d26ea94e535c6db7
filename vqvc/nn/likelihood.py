"""What the WaveNet's last layer means: a distribution over the 256 µ-law classes of the next sample.

categorical: a softmax over the classes, as in the paper.
mixture: logistic distributions around the linear prediction, integrated over each class (PixelCNN++, Salimans et al.
2017, eq. 2). The probability of a class is exact, so bits per sample mean the same as with a softmax.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from vqvc.nn.features import CLASSES, mulaw_edges

FAR = 1e4  # stands for an infinite edge, in units of any scale that occurs
MIN_LOG_SCALE = -11.0  # exp(-11): a tenth of the narrowest class, so that digital silence costs next to nothing


def categorical_nll(logits: Tensor, classes: Tensor) -> Tensor:
    """Negative log-likelihood in nats, shape of ``classes`` (...), for logits (..., 256)."""
    return torch.nn.functional.cross_entropy(
        logits.float().reshape(-1, CLASSES), classes.reshape(-1), reduction="none"
    ).view(classes.shape)


def mixture_parameters(raw: Tensor, prediction: Tensor, log_gain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log weights, means and log scales (..., M) of raw outputs (..., 3 * M), in units of amplitude.

    prediction, log_gain: (...). Means lie around the prediction; offsets and scales are relative to the gain.
    """
    logit, offset, log_scale = raw.float().chunk(3, dim=-1)
    mean = prediction[..., None] + log_gain.exp()[..., None] * offset
    return logit.log_softmax(-1), mean, (log_gain[..., None] + log_scale).clamp(min=MIN_LOG_SCALE)


def mixture_nll(parameters: tuple[Tensor, Tensor, Tensor], classes: Tensor) -> Tensor:
    """Negative log-likelihood in nats, shape of ``classes``: minus the log mass that the mixture puts on the class."""
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
@torch.inference_mode(False)  # whoever asks first, training can use them
def _edges(device: torch.device) -> Tensor:
    return mulaw_edges().clamp(-FAR, FAR).to(device)


def bits(nats: float) -> float:
    """Nats as bits."""
    return nats / math.log(2)
