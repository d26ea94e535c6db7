"""Averaged weights (Polyak & Juditsky 1992), which validation, conversion and the released model file use."""

from torch import nn
from torch.optim import swa_utils


class AveragedModel(swa_utils.AveragedModel):
    """A copy of a model with exponentially averaged weights: a <- d a + (1 - d) w, with d rising to ``decay``.

    Buffers (the codebook, running statistics) are copied, not averaged.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__(model)
        self.module.eval().requires_grad_(False)
        self.decay = decay

    def update(self, model: nn.Module, step: int) -> None:
        """Average in the weights of ``model`` after step ``step`` (from 0 on)."""
        self.multi_avg_fn = swa_utils.get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step)))
        # derived from the step, since a resumed run begins with a new object; above 0, since 0 would copy the weights
        self.n_averaged.fill_(step + 1)
        self.update_parameters(model)
