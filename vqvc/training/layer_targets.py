"""A layer of a trained encoder, for which another is to make codes: what codes and their neighbours have to tell of it.

The nearest of 128 codes in the layer itself stands for a phone between its neighbours and in a speaker's mouth. Codes from which
a decoder restores the layer need not, when it sees the codes beside each and what the crop has in common: it adds what
follows from them, as the decoder of a VQ-VAE does (Chorowski et al. 2019). No labels are used.
"""

import torch
from torch import Tensor

from vqvc.errors import TrainingError
from vqvc.nn.code_encoder import CodeEncoder
from vqvc.nn.encoder import Encoder

PASSES = 4.0  # deviations above 0 at which the rectifier before the output begins, so that hardly a number is cut off


class LayerTargets:
    """The outputs of the first ``layers`` context layers of a trained encoder, for waveforms; nothing of it learns."""

    def __init__(self, source: CodeEncoder, layers: int):
        self.source, self.layers = source.eval().requires_grad_(False), layers

    def __call__(self, waveform: Tensor, dtype: torch.dtype) -> Tensor:
        """(B, T) -> (B, T / hop, C) float32, each step over its own mean and deviation. dtype: of the layers."""
        mixed = torch.autocast(waveform.device.type, dtype, enabled=dtype != torch.float32)
        with torch.no_grad(), mixed:
            return self.source.layer(waveform, self.layers).float()

    @torch.no_grad()
    def give(self, encoder: Encoder, waveforms: Tensor, generator: torch.Generator) -> None:
        """Let ``encoder`` begin with the layers up to the predicted one, which then stay as they are, and change nothing above them.

        Its context layers above begin as the identity, its output as the principal components of the layer for ``waveforms``
        (B, T), rotated at random so that all have about the same variance. Raises TrainingError when the layers differ.
        """
        theirs, count = self.source.encoder, self.layers
        shared = [(encoder.strided, theirs.strided), (encoder.norm, theirs.norm)]
        shared += zip(encoder.context[:count], theirs.context)
        if not _alike(encoder, theirs, count):
            raise TrainingError(
                f"--targets: its encoder differs from that of --conf before context layer {count}, which training.layer_weight predicts"
            )
        for mine, trained in shared:
            mine.load_state_dict(trained.state_dict())
            mine.requires_grad_(False)
        for block in encoder.context[count:]:
            block.mix.weight.zero_()
        rows = self(waveforms, torch.float32).flatten(0, 1)
        dim, width = encoder.project.weight.shape
        vectors = torch.linalg.eigh(torch.cov(rows.T)).eigenvectors[:, -dim:]
        random = torch.randn(dim, vectors.shape[1], generator=generator).to(rows)
        components = torch.linalg.qr(random).Q @ vectors.T
        encoder.norm_out.weight.fill_(1.0)
        encoder.norm_out.bias.fill_(PASSES)
        encoder.project.weight.copy_(components)
        encoder.project.bias.copy_(-components @ (rows.mean(0) + PASSES))


def _alike(ours: Encoder, theirs: Encoder, count: int) -> bool:
    """Whether two encoders compute the first ``count`` context layers from weights of the same shapes in the same way."""
    if len(ours.context) < count or len(theirs.context) < count:
        return False
    dilations = [[block.dilated.dilation for block in one.context[:count]] for one in (ours, theirs)]
    shapes = [
        [p.shape for part in (one.strided, one.norm, *one.context[:count]) for p in part.parameters()]
        for one in (ours, theirs)
    ]
    ways = [(one.input_gain, one.norm_reach, [layer.stride for layer in one.strided]) for one in (ours, theirs)]
    return dilations[0] == dilations[1] and shapes[0] == shapes[1] and ways[0] == ways[1]
