"""The prior: a causal model of codes, fitted when the VQ-VAE is (section 3.3 of van den Oord et al. 2017).

A WaveNet over indices: it predicts each code from those before it and, where given, from the speaker. Sampled from the
first code on it generates speech unconditionally; its probabilities are the p(z) of the bound on log p(x).
"""

import torch
from torch import Generator, Tensor, nn

from vqvc.nn.wavenet import ResidualStack, WaveNet


class Prior(nn.Module):
    """log p(code t | codes before t, speaker).

    Speaker 0 stands for an unknown speaker; speaker i + 1 is the i-th of the table.
    ``start`` (= codebook_size) stands for what is before the first code.
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
        """Codes before one that can influence it."""
        return self.wavenet.stack.receptive_field

    def forward(
        self,
        codes: Tensor,
        speaker: Tensor,
        before: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
        generator: Generator | None = None,
    ) -> Tensor:
        """Logits (B, T, codebook_size) float32 for codes (B, T) int64 of speakers (B,); those at t see codes < t.

        before: (B,) int64, the code before the first, ``start`` when None. generator: of the dropout, in training.
        """
        if before is None:
            before = torch.full_like(codes[:, 0], self.start)
        previous = torch.cat([before[:, None], codes[:, :-1]], dim=1)  # the only shift by one code
        x = self.wavenet.embed(previous.T)
        if self.training and self.token_dropout:
            x = x * _kept((*x.shape[:2], 1), self.token_dropout, generator, x)
        skip = self.wavenet.stack(x.to(dtype), self.speaker(speaker)[None].to(dtype))
        if self.training and self.dropout:
            skip = skip * _kept(skip.shape, self.dropout, generator, skip) / (1 - self.dropout)
        return self.wavenet.head(skip).transpose(0, 1)

    def nll(self, codes: Tensor, speaker: Tensor, before: Tensor | None = None, **options) -> Tensor:
        """-log p of every code in nats, (B, T)."""
        logits = self(codes, speaker, before, **options)
        return nn.functional.cross_entropy(logits.transpose(1, 2), codes, reduction="none")


def _kept(shape: tuple[int, ...], dropped: float, generator: Generator | None, like: Tensor) -> Tensor:
    return (torch.rand(shape, generator=generator) >= dropped).to(like)
