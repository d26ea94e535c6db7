"""The prior: an autoregressive model of codes, trained after the VQ-VAE (van den Oord et al. 2017, section 3.3).

It is a WaveNet over code indices. It predicts each code from the codes before it and from the speaker, if one is given.
Codes sampled from it are speech without a source. Its probabilities are p(z) in the bound on log p(x).
"""

import torch
from torch import Generator, Tensor, nn

from vqvc.nn.wavenet import ResidualStack, WaveNet


class Prior(nn.Module):
    """Models log p(code t | codes before t, speaker).

    Speaker 0 is an unknown speaker; speaker i + 1 is row i of the speaker table. The index ``start`` (= codebook_size)
    stands before the first code. token_dropout: probability that an input code is replaced by zeros; dropout: of the
    summed skips; both apply in training mode only.
    """

    def __init__(
        self,
        codebook_size: int,
        speakers: int,
        *,
        layers: int,
        dilation_cycle: int,
        kernel: int,
        residual_channels: int,
        gate_channels: int,
        skip_channels: int,
        speaker_dim: int,
        token_dropout: float = 0.0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.start = codebook_size
        self.token_dropout, self.dropout = token_dropout, dropout
        self.speaker = nn.Embedding(speakers + 1, speaker_dim)
        nn.init.normal_(self.speaker.weight, std=0.1)
        stack = ResidualStack(
            layers, dilation_cycle, kernel, residual_channels, gate_channels, skip_channels, speaker_dim
        )
        self.wavenet = WaveNet(stack, classes=codebook_size + 1, lpc_inputs=0, out_channels=codebook_size)

    @property
    def receptive_field(self) -> int:
        """How many codes before a code its distribution depends on."""
        return self.wavenet.stack.receptive_field

    def forward(
        self,
        codes: Tensor,
        speaker: Tensor,
        before: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
        generator: Generator | None = None,
    ) -> Tensor:
        """Logits (B, T, codebook_size) float32. Those at t depend on the codes before t.

        codes: (B, T) int64. speaker: (B,) int64. before: (B,) int64, the code before the first; ``start`` when None.
        dtype: of the layers. generator: of the dropout in training mode.
        """
        if before is None:
            before = torch.full_like(codes[:, 0], self.start)
        previous = torch.cat([before[:, None], codes[:, :-1]], dim=1)  # the only shift by one code
        x = self.wavenet.embed(previous.T)
        if self.training and self.token_dropout:
            x = x * _keep_mask((*x.shape[:2], 1), self.token_dropout, generator, x)
        skip = self.wavenet.stack(x.to(dtype), self.speaker(speaker)[None].to(dtype))
        if self.training and self.dropout:
            skip = skip * _keep_mask(skip.shape, self.dropout, generator, skip) / (1 - self.dropout)
        return self.wavenet.head(skip).transpose(0, 1)

    def nll(self, codes: Tensor, speaker: Tensor, before: Tensor | None = None, **options) -> Tensor:
        """-log p of every code in nats, (B, T); arguments as for ``forward``."""
        logits = self(codes, speaker, before, **options)
        return nn.functional.cross_entropy(logits.transpose(1, 2), codes, reduction="none")


def _keep_mask(shape: tuple[int, ...], probability: float, generator: Generator | None, like: Tensor) -> Tensor:
    """1 for what dropout keeps and 0 for what it drops, with the device and dtype of ``like``."""
    return (torch.rand(shape, generator=generator) >= probability).to(like)
