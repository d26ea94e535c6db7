"""Averaged (Polyak) weights: what validation, conversion and the released file use."""

from torch import nn
from torch.optim import swa_utils


class AveragedModel(swa_utils.AveragedModel):
    """A copy of a model whose weights follow it slowly: a <- d a + (1 - d) w with d rising to ``decay``.

    Buffers (the codebook, running statistics) are copied as they are.
    """

    def __init__(self, model: nn.Module, decay: float):
        super().__init__(model)
        self.module.eval().requires_grad_(False)
        self.decay = decay

    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights that step ``step`` (from 0 on) left behind."""
        self.multi_avg_fn = swa_utils.get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step)))
        self.n_averaged.fill_(
            step + 1
        )  # the weights before step 0 are the first; counted from the step, as runs are resumed
        self.update_parameters(model)
