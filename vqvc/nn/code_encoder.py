"""The half of a VQ-VAE that makes codes: features, encoder and codebook, without a decoder."""

from torch import Tensor, nn

from vqvc.config import ModelConfig
from vqvc.nn.quantizer import Quantizer


class CodeEncoder(nn.Module):
    """Codes of waveforms; see ``vqvc.nn.builder.build_code_encoder``.

    front: features (B, C, T / feature_hop) of waveforms (B, T), or None where the encoder reads the waveform.
    encoder: features -> z_e (B, D, T / hop_length). quantizer: z_e -> codes and z_q.
    """

    def __init__(self, config: ModelConfig, front: nn.Module | None, encoder: nn.Module, quantizer: Quantizer):
        super().__init__()
        self.config = config
        self.front, self.encoder, self.quantizer = front, encoder, quantizer

    @property
    def hop_length(self) -> int:
        """Samples per code."""
        return self.config.hop_length

    @property
    def encoder_window_samples(self) -> int:
        """Samples of one frame of the encoder's features; 1 for the waveform itself."""
        front = getattr(self.front, "log_mel", self.front)
        return 1 if front is None else front.n_fft

    def latents(self, waveform: Tensor, hidden: Tensor | None = None) -> Tensor:
        """z_e (B, D, T / hop) float32 of waveforms (B, T); T must be a multiple of the hop.

        hidden: (B, T / hop) bool, codes whose own frames the encoder's context does not see; None hides nothing.
        """
        features = self._features(waveform)
        return self.encoder(features) if hidden is None else self.encoder(features, hidden)

    def layer(self, waveform: Tensor, count: int) -> Tensor:
        """The output (B, T / hop, C) of the encoder's first ``count`` context layers, see ``Encoder.layer``."""
        return self.encoder.layer(self._features(waveform), count)

    def _features(self, waveform: Tensor) -> Tensor:
        return waveform[:, None] if self.front is None else self.front(waveform)

    def encode(self, waveform: Tensor) -> Tensor:
        """Codes (B, T / hop) int64 of waveforms (B, T) in [-1, 1]."""
        return self.quantizer.encode(self.latents(waveform))
