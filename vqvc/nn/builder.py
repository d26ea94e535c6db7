"""Build a VQVAE from its settings: sizes, rates and initial weights of every part."""

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
    """Build the network that ``config`` describes, with ``speakers`` rows in its speaker table.

    Weights are drawn from PyTorch's default generator.
    """
    d, q, rate = config.decoder, config.quantizer, config.audio.sample_rate
    codes = build_code_encoder(config)
    f0_conditioner = F0Conditioner(rate, config.hop_length, speakers) if d.f0 else None
    conditioning = Conditioner(
        codebook_dim=q.codebook_dim + (F0Conditioner.ROWS if d.f0 else 0),
        speakers=speakers,
        speaker_dim=d.speaker_dim,
        channels=d.conditioning_channels,
        layers=d.conditioning_layers,
        repeat=config.hop_length // d.conditioning_hop,
    )
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
    """Build the parts of the network that compute codes, with weights from PyTorch's default generator."""
    front, encoder = _encoder(config)
    q = config.quantizer
    quantizer = Quantizer(
        codebook_size=q.codebook_size,
        codebook_dim=q.codebook_dim,
        update=q.update,
        ema_decay=q.ema_decay,
        commitment_cost=q.commitment_cost,
        restart_below=q.restart_below,
    )
    return CodeEncoder(config, front, encoder, quantizer)


def _encoder(config: ModelConfig) -> tuple[nn.Module | None, nn.Module]:
    """The feature extractor (None if the encoder reads the waveform), and the encoder."""
    e, rate, dim = config.encoder, config.audio.sample_rate, config.quantizer.codebook_dim
    front, in_channels, gain = None, 1, 1 / config.audio.level_rms
    if e.input == "units":
        return AcousticUnits(rate, config.hop_length, e.n_mels, e.units, dim), nn.Identity()
    if e.input == "log_mel":
        front, in_channels, gain = LogMel(rate, e.feature_hop, e.n_mels), e.n_mels, 1.0
    elif e.input == "mfcc":
        front, in_channels, gain = Mfcc(rate, e.feature_hop, e.n_mels), MFCC_CHANNELS, 1.0
    encoder = Encoder(
        in_channels=in_channels,
        channels=e.channels,
        strides=e.strides,
        context_layers=e.context_layers,
        context_kernel=e.context_kernel,
        context_dilations=e.context_dilations,
        codebook_dim=dim,
        input_gain=gain,
        norm_reach=round(e.norm_reach * config.code_rate_hz),
    )
    return front, encoder


def _wavenet(d: DecoderConfig) -> WaveNet:
    stack = ResidualStack(
        layers=d.layers,
        dilation_cycle=d.dilation_cycle,
        kernel=d.kernel,
        residual_channels=d.residual_channels,
        gate_channels=d.gate_channels,
        skip_channels=d.skip_channels,
        conditioning_channels=d.conditioning_channels,
    )
    mixture = d.output == "mixture"
    return WaveNet(
        stack,
        CLASSES,
        lpc_inputs=LPC_INPUTS if mixture else 0,
        out_channels=3 * d.mixtures if mixture else CLASSES,
    )


@torch.no_grad()
def _linear_prediction(d: DecoderConfig, wavenet: WaveNet) -> nn.Linear:
    """Frames (..., C) -> reflection coefficients before their tanh, and the log gain: (..., lpc_order + 1).

    The initial weights make the decoder a plausible model of speech: first-order prediction with a coefficient of 0.8,
    and logistics of different scales around it. The scales are set in the bias of ``wavenet.out``.
    """
    prediction = nn.Linear(d.conditioning_channels, d.lpc_order + 1)
    prediction.weight.mul_(0.1)
    prediction.bias.zero_()
    prediction.bias[0] = 1.1  # tanh(1.1) = 0.8
    prediction.bias[-1] = -4.0  # log gain: exp(-4) = 0.02
    wavenet.out.bias[2 * d.mixtures :] = torch.linspace(-2.0, 0.5, d.mixtures)
    return prediction
