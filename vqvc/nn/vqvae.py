"""The VQ-VAE (van den Oord et al. 2017): encoder, codebook, conditioning and WaveNet, joined.

    waveform --encoder--> z_e --quantizer--> codes, z_q --conditioning(+ speaker, F0)--> frames --WaveNet--> next sample

Read this file first, then ``encoder``, ``quantizer`` and ``wavenet``. ``builder`` makes the parts from settings;
``vqvc.training.objective`` holds the losses. Code i stands for samples [i * hop_length, (i + 1) * hop_length). The
WaveNet predicts sample t from the samples before t and from the conditioning frame that t lies in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vqvc.audio.long_term_spectrum import BANDS
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
    """The WaveNet's conditioning for F frames of ``conditioning_hop`` samples each.

    frames: (B, F, C), the conditioner's output.
    predictor: (B, F, P), coefficients of the linear prediction; None for the categorical output.
    log_gain: (B, F), natural logarithm of the scale of the prediction's residual; None for the categorical output.
    """

    frames: Tensor
    predictor: Tensor | None
    log_gain: Tensor | None

    def __getitem__(self, index: slice | tuple[slice, ...]) -> "Conditioning":
        """Slice every tensor alike: ``[rows]`` selects from the batch, ``[:, frames]`` selects frames."""
        tensors = (self.frames, self.predictor, self.log_gain)
        return Conditioning(*(None if tensor is None else tensor[index] for tensor in tensors))


class VQVAE(CodeEncoder):
    """The whole network. ``vqvc.nn.builder.build_model`` makes its parts from settings.

    front, encoder, quantizer: see ``CodeEncoder``.
    f0_conditioner: waveforms -> F0 contours; None for a model that is not conditioned on F0.
    conditioning: z_q, F0 contour and speaker -> conditioning frames.
    wavenet: past samples and conditioning frames -> parameters of the next sample's distribution.
    prediction: conditioning frames -> the linear prediction that the mixture is centred on; None for the categorical
        output.
    mel, mel_head: log-mel frames of waveforms, and the auxiliary head that estimates them from the conditioning frames;
        both None for a model without the head.
    """

    ADDED = ("source_spectrum",)  # buffers that files of earlier versions lack; they are zeros then

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
        # mean and deviation over training utterances of ``audio.long_term_spectrum``, in dB, measured at the end of
        # training; zeros: not measured
        self.register_buffer("source_spectrum", torch.zeros(2, BANDS))
        self.mixture = prediction is not None
        if self.mixture:
            self.prediction = prediction
        self.has_mel = mel_head is not None
        if self.has_mel:
            self.mel, self.mel_head = mel, mel_head
            # variance of each speaker's cepstra, measured at the end of training and restored by the post-filter
            speakers, coefficients = conditioning.speaker.num_embeddings, min(COEFFICIENTS, config.n_mels)
            self.register_buffer("global_variance", torch.zeros(speakers, coefficients))

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> Any:
        """As that of any module, with zeros for the buffers of ``ADDED`` that ``state_dict`` lacks."""
        zeros = {name: torch.zeros_like(getattr(self, name)) for name in self.ADDED}
        return super().load_state_dict({**zeros, **state_dict}, strict, assign)

    def f0_contour(self, waveform: Tensor) -> Tensor | None:
        """F0 contours (B, 3, T / hop) of whole recordings (B, T), for ``condition``; None without ``decoder.f0``."""
        return self.f0_conditioner(waveform) if self.f0_conditioner is not None else None

    def condition(
        self, z_q: Tensor, speaker: Tensor, f0_contour: Tensor | None = None, adaptation: Adaptation | None = None
    ) -> Conditioning:
        """Compute the WaveNet's conditioning from code vectors z_q (B, D, T / hop) and speakers.

        speaker: (B,) int64, indices into the speaker table; or (B, speaker_dim) float, vectors of speakers outside it.
        f0_contour: (B, 3, T / hop), see ``F0Conditioner``; with None the decoder chooses F0.
        adaptation: low-rank change of the conditioner for a speaker outside the table, see ``Adaptation``.
        """
        if self.f0_conditioner is not None:
            if f0_contour is None:
                f0_contour = z_q.new_zeros(len(z_q), F0Conditioner.ROWS, z_q.shape[2])
            z_q = torch.cat([z_q, f0_contour], dim=1)
        return self.of_frames(self.conditioning(z_q, speaker, adaptation))

    def of_frames(self, frames: Tensor) -> Conditioning:
        """Compute the WaveNet's conditioning from the conditioner's frames (B, F, C), frame by frame."""
        if not self.mixture:
            return Conditioning(frames, None, None)
        raw = self.prediction(frames).float()
        reflection = torch.tanh(raw[..., :-1])  # in (-1, 1): the predictor is stable
        return Conditioning(frames, predictor=predictor(reflection), log_gain=raw[..., -1])

    def lpc_inputs(
        self, quantized: Tensor, conditioning: Conditioning, history: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the linear prediction (B, T), its log gain (B, T) and the WaveNet's LPC inputs (B, T, LPC_INPUTS).

        quantized: (B, T), amplitudes of the µ-law classes. history: (B, P), the P amplitudes before them.
        The LPC inputs at sample t are the prediction of t and the normalised LPC residual of t - 1, that is,
        (sample - prediction) / gain. No gradient flows through them.
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
        """Return -log p(class) in nats, (B, T), of each µ-law class given the classes before it and the conditioning.

        classes: (B, T) int64, the targets.
        history: (B, P) int64, the classes before the first; silence when None.
        dtype: of the WaveNet's layers; the likelihood is computed in float32.
        skip_decoder: leave the WaveNet out. A linear-predictive vocoder remains (a histogram for the categorical
            output).
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
        """The WaveNet's raw outputs (B, T, out_channels), before ``likelihood`` interprets them."""
        if skip_decoder:
            return self.wavenet.out.bias.expand(*previous.shape, -1)
        return self.wavenet(previous, lpc_inputs, conditioning.frames, dtype).transpose(0, 1)

    def _shift(self, classes: Tensor, history: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Amplitudes (B, T), the P amplitudes before them, and the class (B, T) before each sample.

        The autoregressive shift by one sample happens here and nowhere else.
        """
        if history is None:
            history = classes.new_full((classes.shape[0], max(1, self.config.decoder.lpc_order)), SILENCE)
        previous = torch.cat([history[:, -1:], classes[:, :-1]], dim=1)
        return mulaw_decode(classes), mulaw_decode(history[:, -self.config.decoder.lpc_order :]), previous

    def predicted_mel(self, conditioning: Conditioning) -> Tensor:
        """Log-mel frames (B, F, n_mels), scaled as by ``LogMel``, that the auxiliary head estimates."""
        return self.mel_head(conditioning.frames).float()
