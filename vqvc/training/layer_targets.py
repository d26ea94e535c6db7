"""A layer of a trained encoder, which another is to make codes for: what the codes, their neighbours and the speaker have to tell.

The nearest code in the encoder's own space stands for a phone between its neighbours and in a speaker's mouth. Codes from which
a decoder with context and a speaker table restores the same space need not: the decoder adds what follows from the neighbours and
the speaker (Chorowski et al. 2019 have the same of a VQ-VAE's decoder). No labels are used.
"""

import torch
from torch import Tensor

from vqvc.errors import TrainingError
from vqvc.nn.code_encoder import CodeEncoder
from vqvc.nn.vqvae import VQVAE


class LayerTargets:
    """The outputs of the first ``layers`` context layers of a trained encoder, for waveforms; nothing of it learns."""

    def __init__(self, source: CodeEncoder, layers: int):
        self.source, self.layers = source.eval().requires_grad_(False), layers

    def __call__(self, waveform: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, T) -> (B, T / hop, C) float32, each step over its own mean and deviation. dtype: of the layers."""
        mixed = torch.autocast(waveform.device.type, dtype, enabled=dtype != torch.float32)
        with torch.no_grad(), mixed:
            return self.source.layer(waveform, self.layers).float()

    def give(self, model: VQVAE) -> None:
        """Let the encoder of ``model`` begin as the trained one; its codebook starts from data, as any does.

        Raises TrainingError when the two are not built alike.
        """
        ours, theirs = model.config.to_dict(), self.source.config.to_dict()
        for section, keys in (("encoder", ours["encoder"]), ("quantizer", ("codebook_dim",))):
            for key in keys:
                if ours[section][key] != theirs[section][key]:
                    raise TrainingError(
                        f"--targets: was made with {section}.{key} = {theirs[section][key]}, --conf has {ours[section][key]}; "
                        "training.layer_weight wants the same encoder in both"
                    )
        model.encoder.load_state_dict(self.source.encoder.state_dict())
