"""Linear prediction whose coefficients come from the conditioning frames, as in LPCNet (Valin & Skoglund 2019), learned end to end.

Stable by construction: a frame gives reflection coefficients in (-1, 1), which Levinson's recursion turns into the
predictor. The WaveNet then only has to model what the prediction leaves over.
"""

import torch
from torch import Tensor

LPC_INPUTS = 2  # of the WaveNet at each sample: its prediction, and the normalised residual of the sample before
LPC_INPUT_GAIN = 10.0  # brings amplitudes at an RMS of 0.06 to about unit size
LPC_RESIDUAL_LIMIT = 8.0  # of the residual, in units of the gain


def predictor(reflection: Tensor) -> Tensor:
    """Predictor coefficients a (..., P) of reflection coefficients (..., P): x[t] ~ sum_k a[k] * x[t - 1 - k].

    The step-up recursion of Levinson and Durbin (Markel & Gray 1976, chapter 5).
    """
    order = reflection.shape[-1]
    a = reflection[..., :1]
    for i in range(1, order):
        k = reflection[..., i : i + 1]
        a = torch.cat([a - k * a.flip(-1), k], dim=-1)
    return a


def predict(x: Tensor, a: Tensor, hop: int) -> Tensor:
    """Prediction (B, T) of each sample from those before it.

    x: (B, P + T), the signal with P samples of history; a: (B, F, P) with F * hop = T.
    """
    batch, frames, order = a.shape
    windows = x[:, :-1].unfold(1, order, 1).view(batch, frames, hop, order)  # windows[t] = x[t .. t + P - 1]
    return torch.einsum("bfhp,bfp->bfh", windows, a.flip(-1)).reshape(batch, frames * hop)
