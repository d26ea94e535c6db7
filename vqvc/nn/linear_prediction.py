"""Linear prediction as in LPCNet (Valin & Skoglund 2019), with coefficients that are learned end to end.

Conditioning frames give reflection coefficients in (-1, 1), and Levinson's recursion turns them into a predictor. The
synthesis filter is therefore stable. The WaveNet models what the prediction leaves over.
"""

import torch
from torch import Tensor

LPC_INPUTS = 2  # further inputs of the WaveNet: the prediction, and the normalised residual of the sample before
LPC_INPUT_GAIN = 10.0  # factor on the prediction: brings amplitudes at an RMS of 0.06 to about unit size
LPC_RESIDUAL_LIMIT = 8.0  # the normalised residual is clipped to this magnitude, in units of the gain


def predictor(reflection: Tensor) -> Tensor:
    """Convert reflection coefficients (..., P) to predictor coefficients a (..., P): x[t] ~ sum_k a[k] * x[t - 1 - k].

    This is the step-up recursion of Levinson and Durbin (Markel & Gray 1976, chapter 5).
    """
    order = reflection.shape[-1]
    a = reflection[..., :1]
    for i in range(1, order):
        k = reflection[..., i : i + 1]
        a = torch.cat([a - k * a.flip(-1), k], dim=-1)
    return a


def predict(x: Tensor, a: Tensor, hop: int) -> Tensor:
    """Predict each sample from the P samples before it: (B, T).

    x: (B, P + T), the signal with P samples of history. a: (B, F, P), coefficients per frame, with F * hop = T.
    """
    batch, frames, order = a.shape
    windows = x[:, :-1].unfold(1, order, 1).view(batch, frames, hop, order)  # windows[t] = x[t .. t + P - 1]
    return torch.einsum("bfhp,bfp->bfh", windows, a.flip(-1)).reshape(batch, frames * hop)
