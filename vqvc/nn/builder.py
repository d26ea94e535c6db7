"""A VQVAE from its settings: sizes, rates and initial weights of every part."""

import torch
from torch import nn

from vqvc.config import DecoderConfig, ModelConfig
from vqvc.nn.acoustic_units import AcousticUnits
from vqvc.nn.code_encoder import CodeEncoder
from vqvc.nn.conditioning import Conditioner
from vqvc.nn.encoder import Encoder
from vqvc.nn.features import CLASSES, LogMel, Mfcc
from vqvc.nn.linear_prediction import LPC_INPUTS
from vqvc.nn.pitch import F0Conditioner
from vqvc.nn.quantizer import Quantizer
from vqvc.nn.vqvae import VQVAE
from vqvc.nn.wavenet import ResidualStack, WaveNet

MFCC_CHANNELS = 39  # 13 coefficients with first and second differences


def build_model(config: ModelConfig, speakers: int) -> VQVAE:
    """The network that ``config`` describes, for a table of ``speakers``, with random weights from PyTorch's generator."""
    d, q, rate = config.decoder, config.quantizer, config.audio.sample_rate
    codes = build_code_encoder(config)
    f0_conditioner = F0Conditioner(rate, config.hop_length, speakers) if d.f0 else None
    conditioning = Conditioner(
        q.codebook_dim + (F0Conditioner.ROWS if d.f0 else 0), speakers, d.speaker_dim, d.conditioning_channels,
        d.conditioning_layers, config.hop_length // d.conditioning_hop,
    )  # fmt: skip
    wavenet = _wavenet(d)
    return VQVAE(
        config,
        front=codes.front,
        encoder=codes.encoder,
        quantizer=codes.quantizer,
        f0_conditioner=f0_conditioner,
        conditioning=conditioning,
        wavenet=wavenet,
        prediction=_linear_prediction(d, wavenet) if d.output == "mixture" else None,
        mel=LogMel(rate, d.conditioning_hop, config.n_mels) if config.n_mels else None,
        mel_head=nn.Linear(d.conditioning_channels, config.n_mels) if config.n_mels else None,
    )


def build_code_encoder(config: ModelConfig) -> CodeEncoder:
    """The parts of the network that make codes, with random weights from PyTorch's generator."""
    front, encoder = _encoder(config)
    q = config.quantizer
    quantizer = Quantizer(
        q.codebook_size, q.codebook_dim, q.update, q.ema_decay, q.commitment_cost, q.restart_below
    )  # fmt: skip
    return CodeEncoder(config, front, encoder, quantizer)


def _encoder(config: ModelConfig) -> tuple[nn.Module | None, nn.Module]:
    """What comes before the encoder's layers (None for the waveform itself), and the layers."""
    e, rate, dim = config.encoder, config.audio.sample_rate, config.quantizer.codebook_dim
    front, in_channels, gain = None, 1, 1 / config.audio.level_rms
    if e.input == "units":
        return AcousticUnits(rate, config.hop_length, e.n_mels, e.units, dim), nn.Identity()
    if e.input == "log_mel":
        front, in_channels, gain = LogMel(rate, e.feature_hop, e.n_mels), e.n_mels, 1.0
    elif e.input == "mfcc":
        front, in_channels, gain = Mfcc(rate, e.feature_hop, e.n_mels), MFCC_CHANNELS, 1.0
    return front, Encoder(
        in_channels, e.channels, e.strides, e.context_layers, e.context_kernel, e.context_dilations, dim, gain,
        round(e.norm_reach * config.code_rate_hz),
    )  # fmt: skip


def _wavenet(d: DecoderConfig) -> WaveNet:
    stack = ResidualStack(
        d.layers, d.dilation_cycle, d.kernel, d.residual_channels, d.gate_channels, d.skip_channels,
        d.conditioning_channels,
    )  # fmt: skip
    mixture = d.output == "mixture"
    return WaveNet(
        stack,
        CLASSES,
        lpc_inputs=LPC_INPUTS if mixture else 0,
        out_channels=3 * d.mixtures if mixture else CLASSES,
    )


@torch.no_grad()
def _linear_prediction(d: DecoderConfig, wavenet: WaveNet) -> nn.Linear:
    """Frames (..., C) -> reflection coefficients and log gain (..., lpc_order + 1), before their nonlinearity.

    The decoder starts as a plausible speech model: first-order prediction of 0.8, and logistics of spread scales around it.
    """
    prediction = nn.Linear(d.conditioning_channels, d.lpc_order + 1)
    prediction.weight.mul_(0.1)
    prediction.bias.zero_()
    prediction.bias[0] = 1.1  # tanh(1.1) = 0.8
    prediction.bias[-1] = -4.0  # the gain: a residual of about 0.02
    wavenet.out.bias[2 * d.mixtures :] = torch.linspace(-2.0, 0.5, d.mixtures)
    return prediction
