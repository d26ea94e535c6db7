"""Time jitter (Chorowski et al. 2019, section III-C): a code must not carry what its neighbours cannot say."""

import torch
from torch import Tensor

from vqvc.nn import draws


def jitter(z_q: Tensor, probability: float, generator: draws.AnyGenerator = None) -> Tensor:
    """Each step of z_q (B, D, T) becomes its left or right neighbour with ``probability`` / 2 each.

    Drawn for each sequence; gradients flow to the vector that was taken. For training only.
    """
    batch, dim, steps = z_q.shape
    draw = draws.rand((batch, steps), generator, z_q.device)
    shift = (draw < probability).long() - 2 * (draw < probability / 2).long()  # -1, 0 or 1
    index = (torch.arange(steps, device=z_q.device) + shift).clamp(0, steps - 1)
    return z_q.gather(2, index[:, None].expand(batch, dim, steps))
