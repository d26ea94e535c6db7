"""The VQ-VAE (van den Oord et al. 2017): encoder, codebook, conditioning and WaveNet, joined.

    waveform --encoder--> z_e --quantizer--> codes, z_q --conditioning(+ speaker, F0)--> frames --WaveNet--> next sample

Read this file first, then ``encoder``, ``quantizer`` and ``wavenet``. ``builder`` makes the parts from settings;
``vqvc.training.objective`` holds the losses. Code i stands for samples [i * hop_length, (i + 1) * hop_length); the WaveNet at
sample t sees the samples before t and the conditioning frame of t.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqvc.config import ModelConfig
from vqvc.nn import likelihood
from vqvc.nn.adaptation import Adaptation
from vqvc.nn.cepstra import COEFFICIENTS
from vqvc.nn.code_encoder import CodeEncoder
from vqvc.nn.conditioning import Conditioner
from vqvc.nn.features import SILENCE, LogMel, mulaw_decode
from vqvc.nn.linear_prediction import LPC_INPUT_GAIN, LPC_RESIDUAL_LIMIT, predict, predictor
from vqvc.nn.pitch import F0Conditioner
from vqvc.nn.quantizer import Quantizer
from vqvc.nn.wavenet import WaveNet


@dataclass(frozen=True)
class Conditioning:
    """What the WaveNet is conditioned on, for F frames of ``conditioning_hop`` samples each.

    frames: (B, F, C). predictor: (B, F, P), coefficients of the linear prediction, and log_gain: (B, F), the natural logarithm
    of its residual's scale; both None for the categorical output.
    """

    frames: Tensor
    predictor: Tensor | None
    log_gain: Tensor | None

    def __getitem__(self, index: slice | tuple[slice, ...]) -> "Conditioning":
        """The same slice of every tensor: ``[rows]`` of the batch, or ``[:, frames]``."""
        parts = (self.frames, self.predictor, self.log_gain)
        return Conditioning(*(None if part is None else part[index] for part in parts))


class VQVAE(CodeEncoder):
    """A model made of built parts; see ``vqvc.nn.builder.build_model``. ``CodeEncoder`` describes those that make codes.

    f0_conditioner: F0 contours of waveforms, or None. conditioning: z_q, F0 contour and speaker -> frames.
    wavenet: past samples and frames -> parameters of the next sample's distribution.
    prediction: frames -> linear prediction that the mixture output is centred on; None for the categorical output.
    mel, mel_head: log-mel frames of waveforms, and their estimate from the conditioning frames; None without the auxiliary head.
    """

    def __init__(
        self,
        config: ModelConfig,
        *,
        front: nn.Module | None,
        encoder: nn.Module,
        quantizer: Quantizer,
        f0_conditioner: F0Conditioner | None,
        conditioning: Conditioner,
        wavenet: WaveNet,
        prediction: nn.Linear | None,
        mel: LogMel | None,
        mel_head: nn.Linear | None,
    ):
        super().__init__(config, front, encoder, quantizer)
        self.f0_conditioner, self.conditioning, self.wavenet = f0_conditioner, conditioning, wavenet
        self.mixture = prediction is not None
        if self.mixture:
            self.prediction = prediction
        self.has_mel = mel_head is not None
        if self.has_mel:
            self.mel, self.mel_head = mel, mel_head
            # of each speaker's cepstra, measured when training ends: what the post-filter restores
            speakers, coefficients = conditioning.speaker.num_embeddings, min(COEFFICIENTS, config.n_mels)
            self.register_buffer("global_variance", torch.zeros(speakers, coefficients))

    def f0_contour(self, waveform: Tensor) -> Tensor | None:
        """F0 contour (B, 3, T / hop) of recordings (B, T), as ``condition`` takes it; None without ``decoder.f0``."""
        return self.f0_conditioner(waveform) if self.f0_conditioner is not None else None

    def condition(
        self, z_q: Tensor, speaker: Tensor, f0_contour: Tensor | None = None, adaptation: Adaptation | None = None
    ) -> Conditioning:
        """Conditioning of the WaveNet for codes' vectors (B, D, T / hop) and speakers.

        speaker: indices (B,) int64 into the speaker table, or vectors (B, speaker_dim) float of voices outside it.
        f0_contour: (B, 3, T / hop), see ``F0Conditioner``; None leaves F0 to the decoder. adaptation: of a voice outside the table.
        """
        if self.f0_conditioner is not None:
            if f0_contour is None:
                f0_contour = z_q.new_zeros(len(z_q), F0Conditioner.ROWS, z_q.shape[2])
            z_q = torch.cat([z_q, f0_contour], dim=1)
        return self.of_frames(self.conditioning(z_q, speaker, adaptation))

    def of_frames(self, frames: Tensor) -> Conditioning:
        """Conditioning of the WaveNet for the conditioner's frames (B, F, C), each on its own."""
        if not self.mixture:
            return Conditioning(frames, None, None)
        raw = self.prediction(frames).float()
        return Conditioning(frames, predictor(torch.tanh(raw[..., :-1])), raw[..., -1])

    def lpc_inputs(
        self, quantized: Tensor, conditioning: Conditioning, history: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Linear prediction (B, T), its log gain (B, T) and the WaveNet's LPC inputs (B, T, LPC_INPUTS).

        quantized: (B, T) amplitudes of the classes; history: (B, P) those before them. The LPC inputs at t are the
        prediction of t and the normalised LPC residual of t - 1: sample less prediction, in units of the gain.
        """
        hop = quantized.shape[1] // conditioning.frames.shape[1]
        signal = torch.cat([history, quantized], dim=1)
        prediction = predict(signal, conditioning.predictor, hop)
        log_gain = conditioning.log_gain.repeat_interleave(hop, dim=1)
        with torch.no_grad():
            lpc_residual = (quantized - prediction) * torch.exp(-log_gain)
            lpc_residual = nn.functional.pad(lpc_residual[:, :-1], (1, 0)).clamp(
                -LPC_RESIDUAL_LIMIT, LPC_RESIDUAL_LIMIT
            )
            lpc_inputs = torch.stack([prediction * LPC_INPUT_GAIN, lpc_residual], dim=-1)
        return prediction, log_gain, lpc_inputs

    def negative_log_likelihood(
        self,
        classes: Tensor,
        conditioning: Conditioning,
        history: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
        skip_decoder: bool = False,
        inputs: Tensor | None = None,
    ) -> Tensor:
        """-log p(class) in nats, (B, T), of µ-law classes (B, T) given those before and the conditioning.

        history: (B, P) int64, the classes before the first; silence when None. dtype: of the WaveNet's layers.
        skip_decoder: leave the WaveNet out; what remains is a linear-predictive vocoder (or, categorical, a histogram).
        inputs: (B, T) int64, past samples that the WaveNet reads instead of ``classes``, such as noisy ones.
        """
        quantized, before, previous = self._shift(classes if inputs is None else inputs, history)
        if not self.mixture:
            return likelihood.categorical_nll(self._raw(previous, None, conditioning, dtype, skip_decoder), classes)
        prediction, log_gain, lpc_inputs = self.lpc_inputs(quantized, conditioning, before)
        raw = self._raw(previous, lpc_inputs, conditioning, dtype, skip_decoder)
        return likelihood.mixture_nll(likelihood.mixture_parameters(raw, prediction, log_gain), classes)

    def _raw(
        self,
        previous: Tensor,
        lpc_inputs: Tensor | None,
        conditioning: Conditioning,
        dtype: torch.dtype = torch.float32,
        skip_decoder: bool = False,
    ) -> Tensor:
        """The last layer's outputs (B, T, out_channels)."""
        if skip_decoder:
            return self.wavenet.out.bias.expand(*previous.shape, -1)
        return self.wavenet(previous, lpc_inputs, conditioning.frames, dtype).transpose(0, 1)

    def _shift(self, classes: Tensor, history: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Amplitudes (B, T), the P amplitudes before them, and the class before each sample: the only shift by one sample."""
        if history is None:
            history = classes.new_full((classes.shape[0], max(1, self.config.decoder.lpc_order)), SILENCE)
        previous = torch.cat([history[:, -1:], classes[:, :-1]], dim=1)
        return mulaw_decode(classes), mulaw_decode(history[:, -self.config.decoder.lpc_order :]), previous

    def predicted_mel(self, conditioning: Conditioning) -> Tensor:
        """Log-mel frames (B, F, n_mels), as ``LogMel`` scales them, estimated from the conditioning frames by the auxiliary head."""
        return self.mel_head(conditioning.frames).float()
