"""The settings of a model and of its training: frozen dataclasses, read from YAML, nothing accepted unread.

``recipes/conf/small.yaml`` holds every field of Config; other files name a ``base`` and what differs from it. The comment
beside a field gives its unit and its source.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from vqvc._util import configurations, settings
from vqvc._util.settings import Range
from vqvc.errors import ConfigError

Width = Annotated[int, Range(1, 8192)]  # channels, dimensions
Layers = Annotated[int, Range(0, 256)]
Taps = Annotated[int, Range(1, 64)]
Share = Annotated[float, Range(0, 1)]
Decay = Annotated[float, Range(0, 1, below=True)]
Weight = Annotated[float, Range(0, 1e6)]  # of a term of the loss
Steps = Annotated[int, Range(0, 10**9)]
Batch = Annotated[int, Range(1, 65536)]
Rate = Annotated[float, Range(0, 1, above=True)]
Minutes = Annotated[float, Range(0, 1e6)]
Seed = Annotated[int, Range(0, 2**31 - 1)]
Precision = Literal["bfloat16", "float32"]
MOST_SAMPLES, MOST_CODES = 2**27, 2**22  # of a batch: 2.3 hours of speech in half a gigabyte; codes are wider in memory


@dataclass(frozen=True)
class AudioConfig:
    """What the waveform looks like inside the toolkit."""

    sample_rate: Annotated[int, Range(1000, 192_000)] = 16000  # Hz
    level_rms: Annotated[float, Range(0, 0.5, above=True)] = (
        0.06  # every utterance is scaled to this root mean square (full scale = 1)
    )


@dataclass(frozen=True)
class EncoderConfig:
    """From sound to one vector per code (section 4.3 of the paper; context after the strides is ours)."""

    # units are found, not learned: nn/acoustic_units.py
    input: Literal["waveform", "log_mel", "mfcc", "units"] = "waveform"
    feature_hop: Annotated[int, Range(1, 65536)] = 160  # samples per frame of log_mel and mfcc; per code, for units
    n_mels: Annotated[int, Range(1, 512)] = 80  # mel bands, for all but waveform
    units: Annotated[int, Range(2, 65536)] = 2048  # acoustic units, for input: units
    channels: tuple[Width, ...] = (64, 128, 256, 256, 256, 256)  # one per strided convolution
    strides: tuple[Annotated[int, Range(1, 64)], ...] = (2,) * 6  # a window is twice its stride: 4 for a stride of 2
    context_layers: Layers = 4  # residual convolutions at code rate; 0 is the paper's encoder
    context_kernel: Taps = 3  # taps
    context_dilations: tuple[Annotated[int, Range(1, 4096)], ...] = (1, 2, 4, 8)  # codes; repeated as often as needed
    norm_reach: Annotated[float, Range(0, 60)] = 0.0  # s on either side over which frames are normalised; 0 is none


@dataclass(frozen=True)
class QuantizerConfig:
    """The codebook (section 3 and appendix A of the paper)."""

    codebook_size: Annotated[int, Range(2, 32768)] = 512  # codes
    codebook_dim: Width = 64  # numbers per code
    update: Literal["ema", "gradient"] = "ema"  # ema (appendix A.1) or gradient (equation 3)
    ema_decay: Decay = 0.99  # per training step
    commitment_cost: Weight = 0.25  # beta of equation 3
    restart_below: Decay = 0.05  # a code is restarted when its averaged count falls under this share of an even one


@dataclass(frozen=True)
class DecoderConfig:
    """The WaveNet (van den Oord et al. 2016) that decodes codes with a speaker."""

    layers: Annotated[int, Range(1, 256)] = 20
    dilation_cycle: Annotated[int, Range(1, 16)] = 9  # dilations 1, 2, ..., 2**(cycle-1), then again
    kernel: Taps = 2  # taps of a dilated convolution
    residual_channels: Width = 64
    gate_channels: Annotated[int, Range(2, 8192)] = 128  # tanh and sigmoid halves together
    skip_channels: Width = 128
    # categorical: softmax over 256 classes; mixture: logistics around a linear prediction
    output: Literal["categorical", "mixture"] = "categorical"
    mixtures: Annotated[int, Range(1, 64)] = 8  # logistics per sample, for output: mixture
    lpc_order: Annotated[int, Range(1, 256)] = 16  # samples that the linear prediction looks back, for output: mixture
    speaker_dim: Width = 64  # numbers per speaker
    conditioning_channels: Width = 128  # width of the convolutions over codes and speaker
    conditioning_layers: Layers = 4  # residual convolutions (3 taps) at the conditioning rate
    conditioning_hop: Annotated[int, Range(1, 65536)] = 64  # samples per conditioning frame; divides the encoder's hop
    f0: bool = False  # condition the decoder on the source's F0, relative to the speaker's mean, beside the codes


@dataclass(frozen=True)
class TrainingConfig:
    """How the model learns."""

    steps: Annotated[int, Range(1, 10**9)] = 100000  # optimizer steps, unless --max-minutes ends the run before
    batch_size: Batch = 16  # crops per step
    crop_samples: Annotated[int, Range(1, 2**24)] = 6144  # samples per crop; a multiple of the hop
    context_samples: Annotated[int, Range(0, 2**24)] = 1024  # first samples of a crop: context, not scored
    optimizer: Literal["adam", "muon", "muon_all"] = (
        "adam"  # adam (for all); muon for the matrices of the WaveNet's layers; muon_all for encoder and conditioning too
    )
    learning_rate: Rate = 4e-4  # at its highest
    warmup_steps: Steps = 200  # steps of linear rise
    decay_fraction: Share = 0.4  # the last part of the run, in which the rate falls to a hundredth
    gradient_clip: Annotated[float, Range(0, 1e6, above=True)] = 1.0  # largest norm of the whole gradient
    weight_average: Decay = 0.999  # decay of the averaged (Polyak) weights
    quantizer_start_step: Steps = 0  # first steps in which z_q = z_e (at most a twentieth of --max-minutes)
    decoder_warmup_fraction: Share = 0.0  # first part of the run, in which all but the WaveNet learns
    mel_weight: Weight = 1.0  # weight of the auxiliary log-mel loss; 0 turns the head off
    n_mels: Annotated[int, Range(1, 512)] = 80  # bands of the auxiliary head
    units_weight: Weight = 0.0  # weight of predicting acoustic units (training/unit_targets.py); 0 turns it off
    unit_targets: Annotated[int, Range(2, 32768)] = 256  # acoustic units to predict, for units_weight
    hidden_share: Share = 0.0  # share of the codes whose own frames are hidden from the encoder, for units_weight
    consistency_weight: Weight = 0.0  # weight of the original's distance from the codes of its copy; 0 turns it off
    adversary_weight: Weight = 0.0  # weight of a speaker classifier with reversed gradient (training/adversary.py)
    # context layers of the encoder of --targets, for whose output codes are learned (training/layer_codes.py); 0 trains as usual
    target_layer: Layers = 0
    cpc_weight: Weight = 0.0  # weight of contrastive prediction of z_e (training/cpc.py); 0 turns it off
    decoder_weight: Weight = 1.0  # weight of what the decoder learns (bits and log-mel); 0 leaves the decoder out
    decoder_crop_samples: Annotated[int, Range(0, 2**24)] = (
        0  # samples of a crop, anywhere in it, that the decoder learns from; the encoder reads the whole crop; 0 is all
    )
    jitter: Share = 0.12  # probability that a code is replaced by a neighbour (Chorowski et al. 2019)
    f0_dropout: Share = 0.1  # share of crops whose decoder is not conditioned on F0 (decoder.f0 only)
    # classes; most noise on the WaveNet's inputs, drawn for each crop
    input_noise: Annotated[float, Range(0, 128)] = 0.0
    perturbed_fraction: Share = 0.0  # share of crops whose encoder reads a copy (vqvc-pack --perturb, --converted)
    wavenet_fraction: Share = 1.0  # share of each batch's crops that the WaveNet learns from; all else learns from all
    teacher_weight: Weight = 0.0  # weight of the relative error from the conditioning frames of the --init model on the original; 0 turns it off
    speaker_balance: Share = 0.5  # 0: speakers in proportion to their speech; 1: all speakers equally often
    valid_minutes: Minutes = 3.0  # minutes between validations
    checkpoint_minutes: Minutes = 5.0  # minutes between checkpoints
    precision: Precision = "bfloat16"  # bfloat16 (where the device has it) or float32; the quantizer is always float32
    seed: Seed = 1


@dataclass(frozen=True)
class ModelConfig:
    """What the network is: all that ``vqvc.nn``, the engines, conversion and model files know of its settings.

    ``Config.model`` derives it; a model file holds it as JSON.
    """

    audio: AudioConfig = field(default_factory=AudioConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    n_mels: Annotated[int, Range(0, 512)] = 80  # bands of the auxiliary log-mel head; 0: the model has none
    precision: Precision = "bfloat16"  # that the weights were trained in; engines and encoder use it by default

    def __post_init__(self) -> None:
        settings.check(self)
        if len(self.encoder.channels) != len(self.encoder.strides):
            raise ConfigError("encoder.channels and encoder.strides: give one channel number for each stride")
        if self.encoder.context_layers and not self.encoder.context_dilations:
            raise ConfigError("encoder.context_dilations: give at least one, or set encoder.context_layers to 0")
        if self.hop_length > 65536:
            raise ConfigError(
                f"encoder.strides: a code would stand for {self.hop_length:,} samples; at most 65,536 are allowed"
            )
        if self.encoder.input == "units" and (
            self.encoder.strides or self.encoder.feature_hop % (self.audio.sample_rate // 100)
        ):
            raise ConfigError("encoder.input: units wants strides and channels [], and a feature_hop of whole 10 ms")
        if self.decoder.gate_channels % 2:
            raise ConfigError("decoder.gate_channels: must be even (a tanh half and a sigmoid half)")
        if self.hop_length % self.decoder.conditioning_hop:
            raise ConfigError(f"decoder.conditioning_hop: must divide the encoder's hop of {self.hop_length} samples")
        if self.n_mels and self.decoder.conditioning_hop > 256:
            raise ConfigError(
                "decoder.conditioning_hop: must be at most 256 for the auxiliary log-mel loss, whose windows overlap by half"
            )

    @property
    def hop_length(self) -> int:
        """Samples per code: code i stands for samples [i * hop_length, (i + 1) * hop_length)."""
        first = 1 if self.encoder.input == "waveform" else self.encoder.feature_hop
        return first * math.prod(self.encoder.strides)

    @property
    def code_rate_hz(self) -> float:
        """Codes per second."""
        return self.audio.sample_rate / self.hop_length

    def to_dict(self) -> dict:
        """Plain dicts, lists and scalars; ``model_from_dict`` takes them back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def hash(self) -> str:
        """Eight hex digits that change when any setting does."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Config:
    """One model and its training: what a YAML file holds."""

    audio: AudioConfig = field(default_factory=AudioConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        settings.check(self)
        hop_length, t = self.model.hop_length, self.training
        _require_fitting_batch(t.batch_size, t.crop_samples, "crop_samples", MOST_SAMPLES)
        found, decoded = self.encoder.input == "units", t.decoder_crop_samples
        learns = t.decoder_weight or t.units_weight or t.target_layer or t.cpc_weight
        rules = (  # what must not be, and the sentence about it
            (t.context_samples >= t.crop_samples, "context_samples: must be smaller than training.crop_samples"),
            (decoded and not t.context_samples < decoded <= t.crop_samples,
             "decoder_crop_samples: must be above training.context_samples and at most training.crop_samples, or 0"),
            (not t.wavenet_fraction and not t.teacher_weight, "wavenet_fraction: 0 wants training.teacher_weight above 0"),
            (not learns and not found, "decoder_weight: 0 wants units_weight, target_layer or cpc_weight for the encoder"),
            (t.target_layer and found, "target_layer: wants an encoder that learns, not encoder.input: units"),
            (t.target_layer > self.encoder.context_layers,
             f"target_layer: is {t.target_layer}, the encoder has {self.encoder.context_layers} context layers"),
            (t.hidden_share and not t.units_weight, "hidden_share: wants training.units_weight above 0"),
            (t.units_weight and found, "units_weight: wants an encoder that learns, not encoder.input: units"),
            (t.units_weight and hop_length % (self.audio.sample_rate // 100),
             f"units_weight: wants codes of whole 10 ms; a hop of {hop_length} samples is none of them"),
            (t.consistency_weight and not t.perturbed_fraction, "consistency_weight: wants training.perturbed_fraction above 0"),
            (t.wavenet_fraction < 1 and not t.mel_weight, "wavenet_fraction: below 1 wants training.mel_weight above 0"),
            (t.teacher_weight and decoded, "teacher_weight: wants training.decoder_crop_samples: 0"),
            (decoded % hop_length, f"decoder_crop_samples: must be a multiple of the hop of {hop_length} samples"),
            (t.crop_samples % hop_length, f"crop_samples: must be a multiple of the hop of {hop_length} samples"),
        )  # fmt: skip
        for broken, sentence in rules:
            if broken:
                raise ConfigError(f"training.{sentence}")

    @cached_property
    def model(self) -> ModelConfig:
        """The part that the network is built from."""
        n_mels = self.training.n_mels if self.training.mel_weight else 0
        return ModelConfig(
            self.audio, self.encoder, self.quantizer, self.decoder, n_mels=n_mels, precision=self.training.precision
        )

    @property
    def hop_length(self) -> int:
        """Samples per code, see ``ModelConfig.hop_length``."""
        return self.model.hop_length

    @property
    def code_rate_hz(self) -> float:
        """Codes per second."""
        return self.model.code_rate_hz

    to_dict, hash = ModelConfig.to_dict, ModelConfig.hash


@dataclass(frozen=True)
class PriorConfig:
    """The causal model over codes: a WaveNet of indices (section 4.3 of the paper; sizes are ours)."""

    layers: Annotated[int, Range(1, 256)] = 12
    dilation_cycle: Annotated[int, Range(1, 16)] = 6  # dilations 1, 2, ..., 2**(cycle-1) codes, then again
    kernel: Taps = 2  # taps of a dilated convolution
    residual_channels: Width = 64
    gate_channels: Annotated[int, Range(2, 8192)] = 128  # tanh and sigmoid halves together
    skip_channels: Width = 128
    speaker_dim: Width = 32  # numbers per speaker
    token_dropout: Decay = 0.05  # chance that the code before is hidden, in training
    dropout: Decay = 0.1  # share of the summed skips that is left out, in training


@dataclass(frozen=True)
class PriorTrainingConfig:
    """How the prior learns."""

    steps: Annotated[int, Range(1, 10**9)] = 8000  # optimizer steps, unless --max-minutes ends the run before
    batch_size: Batch = 16  # crops per step
    crop_codes: Annotated[int, Range(1, 2**20)] = 384  # codes per crop
    context_codes: Annotated[int, Range(0, 2**20)] = 64  # first codes of a crop, which give context and are not scored
    learning_rate: Rate = 2e-3  # Adam's, at its highest
    warmup_steps: Steps = 200  # steps of linear rise
    decay_fraction: Share = 0.7  # the last part of the run, in which the rate falls to a hundredth
    gradient_clip: Annotated[float, Range(0, 1e6, above=True)] = 1.0  # largest norm of the whole gradient
    weight_decay: Share = 0.02  # AdamW's
    weight_average: Decay = 0.995  # decay of the averaged (Polyak) weights
    anonymous: Share = (
        0.5  # probability that a crop's speaker is hidden, so that the prior also models unknown speakers
    )
    valid_minutes: Minutes = 2.0  # minutes between validations
    checkpoint_minutes: Minutes = 5.0  # minutes between checkpoints
    precision: Precision = "bfloat16"  # bfloat16 (where the device has it) or float32
    seed: Seed = 1


@dataclass(frozen=True)
class PriorSettings:
    """One prior and its training: what ``vqvc-prior --conf`` reads."""

    prior: PriorConfig = field(default_factory=PriorConfig)
    training: PriorTrainingConfig = field(default_factory=PriorTrainingConfig)

    def __post_init__(self) -> None:
        settings.check(self)
        if self.prior.gate_channels % 2:
            raise ConfigError("prior.gate_channels: must be even (a tanh half and a sigmoid half)")
        if not 0 <= self.training.context_codes < self.training.crop_codes:
            raise ConfigError("training.context_codes: must be smaller than training.crop_codes")
        _require_fitting_batch(self.training.batch_size, self.training.crop_codes, "crop_codes", MOST_CODES)

    to_dict, hash = Config.to_dict, Config.hash


def _require_fitting_batch(crops: int, length: int, name: str, most: int) -> None:
    if crops * length > most:
        raise ConfigError(
            f"training.batch_size: {crops:,} crops of training.{name} = {length:,} are {crops * length:,} in all; "
            f"at most {most:,} are allowed"
        )


def load(path: str | Path, overrides: Sequence[str] = (), kind: type = Config):
    """Read a YAML file and apply ``section.key=value`` overrides; ``kind`` is Config or PriorSettings.

    ``path`` may also be the name of a configuration that comes with the package, such as ``small``. The file's key ``base``
    names a file (relative to it) or such a name, whose settings hold where it gives none. Raises ConfigError with file, line,
    key and what is allowed for an unknown, duplicate, wrongly typed or out-of-range key, and for YAML tags.
    """
    return settings.load(kind, configurations.find(path), overrides)


def from_dict(raw: dict, overrides: Sequence[str] = (), kind: type = Config):
    """Build a Config (or ``kind``) from nested dicts; raises ConfigError for what does not fit."""
    return settings.from_dict(kind, raw, overrides)


def model_from_dict(raw: dict) -> ModelConfig:
    """Build a ModelConfig from its ``to_dict``, or from that of a Config, as in checkpoints and the model files of earlier versions.

    Raises ConfigError for what does not fit.
    """
    if isinstance(raw, dict) and "training" in raw:
        return from_dict(raw).model
    return from_dict(raw, kind=ModelConfig)
