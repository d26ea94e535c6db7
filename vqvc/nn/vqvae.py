"""The whole model in one place: listen, choose codes, say them again (van den Oord et al. 2017).

    waveform --encoder--> z_e --quantizer--> codes, z_q --conditioning(+speaker, pitch)--> frames --WaveNet--> next sample

Read this file first. Code i stands for samples [i * hop, (i + 1) * hop); the WaveNet at sample t sees the samples
before t and the conditioning frame of t.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vqvc.config import AudioConfig, Config, EncoderConfig
from vqvc.nn import draws, likelihood
from vqvc.nn.acoustic_units import AcousticUnits
from vqvc.nn.cepstra import COEFFICIENTS
from vqvc.nn.conditioning import Conditioner
from vqvc.nn.cpc import ContrastivePrediction
from vqvc.nn.encoder import Encoder
from vqvc.nn.features import CLASSES, SILENCE, LogMel, Mfcc, mulaw_decode, mulaw_encode
from vqvc.nn.jitter import jitter
from vqvc.nn.linear_prediction import LPC_INPUT_GAIN, LPC_INPUTS, LPC_RESIDUAL_LIMIT, predict, predictor
from vqvc.nn.pitch import F0Conditioner
from vqvc.nn.quantizer import Quantized, Quantizer
from vqvc.nn.wavenet import ResidualStack, WaveNet


@dataclass(frozen=True)
class Conditioning:
    """What the WaveNet is told about F conditioning frames of hop samples each.

    frames: (B, F, C). predictor: (B, F, P) and log_gain: (B, F), or None for the categorical output.
    """

    frames: Tensor
    predictor: Tensor | None
    log_gain: Tensor | None


@dataclass(frozen=True)
class Losses:
    """One training step's figures: nll (N, S) in nats per sample of the ``said`` part of the first N crops; scalars; codes (B, T / hop);
    frames (B, F, C), what the WaveNet is conditioned on, and the melody (B, 3, S / hop) that they were made with, or None."""

    nll: Tensor
    said: slice
    mel: Tensor
    cpc: Tensor
    quantizer: Tensor
    codes: Tensor
    frames: Tensor
    f0_contour: Tensor | None


class VQVAE(nn.Module):
    """The model that a Config describes, for a number of speakers."""

    def __init__(self, config: Config, speakers: int):
        super().__init__()
        self.config = config
        e, q, d, rate = config.encoder, config.quantizer, config.decoder, config.audio.sample_rate
        if e.input == "units":
            self.front = AcousticUnits(rate, config.hop_length, e.n_mels, e.units, q.codebook_dim)
            self.encoder = nn.Identity()
        else:
            self.front, in_channels, gain = self._front(e, config.audio)
            self.encoder = Encoder(
                in_channels, e.channels, e.strides, e.context_layers, e.context_kernel, e.context_dilations,
                q.codebook_dim, gain, round(e.norm_reach * config.code_rate_hz),
            )  # fmt: skip
        self.quantizer = Quantizer(
            q.codebook_size, q.codebook_dim, q.update, q.ema_decay, q.commitment_cost, q.restart_below
        )
        self.f0_conditioner = F0Conditioner(rate, config.hop_length, speakers) if d.f0 else None
        self.conditioning = Conditioner(
            q.codebook_dim + (F0Conditioner.ROWS if d.f0 else 0), speakers, d.speaker_dim, d.conditioning_channels, d.conditioning_layers,
            config.hop_length // d.conditioning_hop,
        )  # fmt: skip
        stack = ResidualStack(
            d.layers, d.dilation_cycle, d.kernel, d.residual_channels, d.gate_channels, d.skip_channels,
            d.conditioning_channels,
        )  # fmt: skip
        self.mixture = d.output == "mixture"
        self.wavenet = WaveNet(
            stack,
            CLASSES,
            lpc_inputs=LPC_INPUTS if self.mixture else 0,
            out_channels=3 * d.mixtures if self.mixture else CLASSES,
        )
        if self.mixture:
            self.prediction = nn.Linear(d.conditioning_channels, d.lpc_order + 1)  # reflections, then log gain
            self._start_prediction(d.mixtures)
        self.has_mel = config.training.mel_weight > 0
        if self.has_mel:
            self.mel = LogMel(rate, d.conditioning_hop, config.training.n_mels)
            self.mel_head = nn.Linear(d.conditioning_channels, config.training.n_mels)
            coefficients = min(COEFFICIENTS, config.training.n_mels)
            self.register_buffer(
                "global_variance", torch.zeros(speakers, coefficients)
            )  # known once training has ended
        if config.training.cpc_weight:
            self.cpc = ContrastivePrediction(q.codebook_dim, config.code_rate_hz)

    @staticmethod
    def _front(encoder: EncoderConfig, audio: AudioConfig) -> tuple[nn.Module | None, int, float]:
        """What comes before the encoder, its channels, and what it is multiplied by."""
        if encoder.input == "waveform":
            return None, 1, 1 / audio.level_rms
        if encoder.input == "log_mel":
            return LogMel(audio.sample_rate, encoder.feature_hop, encoder.n_mels), encoder.n_mels, 1.0
        return Mfcc(audio.sample_rate, encoder.feature_hop, encoder.n_mels), 39, 1.0

    @torch.no_grad()
    def _start_prediction(self, mixtures: int) -> None:
        """Begin as a plausible speech model: first-order prediction of 0.8, logistics of spread scales around it."""
        self.prediction.weight.mul_(0.1)
        self.prediction.bias.zero_()
        self.prediction.bias[0] = 1.1  # tanh(1.1) = 0.8
        self.prediction.bias[-1] = -4.0  # the gain: a residual of about 0.02
        self.wavenet.out.bias[2 * mixtures :] = torch.linspace(-2.0, 0.5, mixtures)

    @property
    def hop_length(self) -> int:
        return self.config.hop_length

    @property
    def encoder_window_samples(self) -> int:
        """Samples of one frame of the encoder's features; 1 for the waveform itself."""
        front = getattr(self.front, "log_mel", self.front)
        return 1 if front is None else front.n_fft

    def latents(self, waveform: Tensor) -> Tensor:
        """z_e (B, D, T / hop) float32 of waveforms (B, T); T must be a multiple of the hop."""
        features = waveform[:, None] if self.front is None else self.front(waveform)
        return self.encoder(features)

    def encode(self, waveform: Tensor) -> Tensor:
        """Codes (B, T / hop) int64 of waveforms (B, T) in [-1, 1]."""
        return self.quantizer.encode(self.latents(waveform))

    def f0_contour(self, waveform: Tensor) -> Tensor | None:
        """What ``condition`` takes of the pitch of recordings (B, T): (B, 3, T / hop); None without ``decoder.f0``."""
        return self.f0_conditioner(waveform) if self.f0_conditioner is not None else None

    def condition(self, z_q: Tensor, speaker: Tensor, f0_contour: Tensor | None = None) -> Conditioning:
        """Conditioning of the WaveNet for codes' vectors (B, D, T / hop) and speakers.

        speaker: indices (B,) int64 into the speaker table, or vectors (B, speaker_dim) float of voices outside it.
        f0_contour: (B, 3, T / hop), see ``F0Conditioner``; with None a model that takes one finds its own.
        """
        if self.f0_conditioner is not None:
            if f0_contour is None:
                f0_contour = z_q.new_zeros(len(z_q), F0Conditioner.ROWS, z_q.shape[2])
            z_q = torch.cat([z_q, f0_contour], dim=1)
        frames = self.conditioning(z_q, speaker)
        if not self.mixture:
            return Conditioning(frames, None, None)
        raw = self.prediction(frames).float()
        return Conditioning(frames, predictor(torch.tanh(raw[..., :-1])), raw[..., -1])

    def lpc_inputs(
        self, quantized: Tensor, conditioning: Conditioning, history: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Linear prediction (B, T), its log gain (B, T) and the WaveNet's hints (B, T, HINTS).

        quantized: (B, T) amplitudes of the classes; history: (B, P) those before them. The hints at t are the
        prediction of t and the surprise of t - 1 (the sample before less its prediction, in units of the gain).
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
        heard: Tensor | None = None,
    ) -> Tensor:
        """-log p(class) in nats, (B, T), of µ-law classes (B, T) given those before and what the WaveNet is told.

        history: (B, P) int64, the classes before the first; silence when None. dtype: of the WaveNet's layers.
        skip_decoder: leave the WaveNet out; what remains is a linear-predictive vocoder (or, categorical, a histogram).
        heard: (B, T) int64, what is heard as the past instead of ``classes``, see ``add_input_noise``.
        """
        quantized, before, previous = self._shift(classes if heard is None else heard, history)
        if not self.mixture:
            return likelihood.categorical_nll(self._raw(previous, None, conditioning, dtype, skip_decoder), classes)
        prediction, log_gain, lpc_inputs = self.lpc_inputs(quantized, conditioning, before)
        raw = self._raw(previous, lpc_inputs, conditioning, dtype, skip_decoder)
        return likelihood.mixture_nll(likelihood.mixture_parameters(raw, prediction, log_gain), classes)

    def log_probabilities(self, classes: Tensor, conditioning: Conditioning, history: Tensor | None = None) -> Tensor:
        """log p (B, T, 256) of every class at every sample, teacher-forced in float32: what sampling must equal."""
        quantized, before, previous = self._shift(classes, history)
        if not self.mixture:
            return self._raw(previous, None, conditioning).log_softmax(-1)
        prediction, log_gain, lpc_inputs = self.lpc_inputs(quantized, conditioning, before)
        raw = self._raw(previous, lpc_inputs, conditioning)
        return likelihood.mixture_log_probabilities(likelihood.mixture_parameters(raw, prediction, log_gain))

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
        """Amplitudes (B, T), the P amplitudes before them, and the class before each sample: the one shift there is."""
        if history is None:
            history = classes.new_full((classes.shape[0], max(1, self.config.decoder.lpc_order)), SILENCE)
        previous = torch.cat([history[:, -1:], classes[:, :-1]], dim=1)
        return mulaw_decode(classes), mulaw_decode(history[:, -self.config.decoder.lpc_order :]), previous

    def forward(
        self,
        waveform: Tensor,
        speaker: Tensor,
        history: Tensor | None = None,
        dtype: torch.dtype = torch.float32,
        generator: draws.AnyGenerator = None,
        skip_decoder: bool = False,
        bypass_quantizer: bool = False,
        source: Tensor | None = None,
    ) -> Losses:
        """Every term of the loss (equation 3 of the paper) for waveforms (B, T) of speakers (B,).

        skip_decoder: leave the WaveNet out, as in ``negative_log_likelihood``; bypass_quantizer: leave the codebook out, z_q = z_e.
        history: (B, P) float, the samples before each crop (P at least lpc_order), or None for silence.
        source: (B, T) float, what the encoder reads instead of ``waveform``: a perturbed copy of it.
        While training, the samples of the first ``training.wavenet_fraction`` of the batch alone are scored.
        """
        settings = self.config.training
        with torch.autocast(waveform.device.type, dtype, enabled=dtype != torch.float32):
            z_e = self.latents(waveform if source is None else source)
        if bypass_quantizer:
            codes = self.quantizer.encode(z_e)
            quantized = Quantized(z_q=z_e, codes=codes, loss=z_e.new_zeros(()))
        else:
            quantized = self.quantizer(z_e, generator)
        with torch.autocast(waveform.device.type, dtype, enabled=dtype != torch.float32):
            cpc = self.cpc(z_e) if settings.cpc_weight else waveform.new_zeros(())
        said = self._said(waveform.shape[1], generator)
        z_q = quantized.z_q[:, :, said.start // self.hop_length : said.stop // self.hop_length]
        if self.training:
            z_q = jitter(z_q, self.config.decoder.jitter, generator)
        if history is None:
            history = waveform.new_zeros(len(waveform), max(1, self.config.decoder.lpc_order))
        before = torch.cat([history, waveform], dim=1)[:, said.start : said.start + history.shape[1]]
        waveform = waveform[:, said]
        f0_contour = None
        if self.f0_conditioner is not None:
            f0_contour = (
                self.f0_conditioner.of_crops(waveform, speaker, generator)
                if self.training
                else self.f0_contour(waveform)
            )
        with torch.autocast(waveform.device.type, dtype, enabled=dtype != torch.float32):
            conditioning = self.condition(z_q, speaker, f0_contour)
            mel = self.mel_error(waveform, conditioning) if settings.mel_weight else waveform.new_zeros(())
        frames = conditioning.frames
        if self.training and settings.wavenet_fraction < 1:
            rows = slice(draws.rows_of_share(settings.wavenet_fraction, len(waveform), generator))
            waveform, before = waveform[rows], before[rows]
            conditioning = Conditioning(
                *(
                    None if t is None else t[rows]
                    for t in (conditioning.frames, conditioning.predictor, conditioning.log_gain)
                )
            )
        classes = mulaw_encode(waveform)
        heard = (
            add_input_noise(classes, settings.input_noise, generator)
            if self.training and settings.input_noise
            else None
        )
        if len(classes):
            nll = self.negative_log_likelihood(classes, conditioning, mulaw_encode(before), dtype, skip_decoder, heard)
        else:
            nll = waveform.new_zeros(classes.shape)
        return Losses(
            nll=nll,
            said=said,
            mel=mel,
            cpc=cpc,
            quantizer=quantized.loss,
            codes=quantized.codes,
            frames=frames,
            f0_contour=f0_contour,
        )

    def _said(self, samples: int, generator: draws.AnyGenerator) -> slice:
        """The part of a crop that is said again: all of it, or while training ``decoder_crop_samples`` anywhere in it."""
        wanted = self.config.training.decoder_crop_samples
        if not self.training or not 0 < wanted < samples:
            return slice(0, samples)
        start = self.hop_length * draws.integer(
            (samples - wanted) // self.hop_length + 1, generator, self.quantizer.codebook.device
        )
        return slice(start, start + wanted)

    def mel_error(self, waveform: Tensor, conditioning: Conditioning) -> Tensor:
        """Mean absolute error of log-mel frames told from codes and speaker: a dense gradient for encoder and codes."""
        with torch.autocast(waveform.device.type, enabled=False):
            target = self.mel(waveform).transpose(1, 2)
        return (self.predicted_mel(conditioning) - target).abs().mean()

    def predicted_mel(self, conditioning: Conditioning) -> Tensor:
        """Log-mel frames (B, F, n_mels), as ``LogMel`` scales them, that codes and speaker tell: the auxiliary head's."""
        return self.mel_head(conditioning.frames).float()


def add_input_noise(classes: Tensor, deviation: float, generator: draws.AnyGenerator = None) -> Tensor:
    """Classes (B, T) with Gaussian noise of up to ``deviation`` classes, as much for all of a sequence.

    What a decoder says is never as clean as what it learned from; one that has heard noise goes on as if it had not
    (noise injection of LPCNet, Valin & Skoglund 2019).
    """
    much = deviation * draws.rand((len(classes), 1), generator, classes.device)
    noise = much * draws.randn(tuple(classes.shape), generator, classes.device)
    return (classes + noise.round().long()).clamp(0, CLASSES - 1)
