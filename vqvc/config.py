"""The settings of a model and of its training: frozen dataclasses, read from YAML, nothing accepted unread.

Every key of ``recipes/conf/*.yaml`` is a field here; the comment beside a field gives its unit and its source.
"""

import dataclasses
import difflib
import hashlib
import json
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from vqvc.errors import ConfigError


@dataclass(frozen=True)
class AudioConfig:
    """What the waveform looks like inside the toolkit."""

    sample_rate: int = 16000  # Hz
    level_rms: float = 0.06  # every utterance is scaled to this root mean square (full scale = 1)


@dataclass(frozen=True)
class EncoderConfig:
    """From sound to one vector per code (section 4.3 of the paper; context after the strides is ours)."""

    input: str = "waveform"  # waveform, log_mel, mfcc or units (found, not learned: nn/acoustic_units.py)
    feature_hop: int = 160  # samples per feature frame, for log_mel and mfcc; samples per code, for units
    n_mels: int = 80  # mel bands, for all but waveform
    units: int = 2048  # acoustic units, for input: units
    channels: tuple[int, ...] = (64, 128, 256, 256, 256, 256)  # one per strided convolution
    strides: tuple[int, ...] = (2, 2, 2, 2, 2, 2)  # a window is twice its stride: 4 for a stride of 2
    context_layers: int = 4  # residual convolutions at code rate; 0 is the paper's encoder
    context_kernel: int = 3  # taps
    context_dilations: tuple[int, ...] = (1, 2, 4, 8)  # codes; repeated as often as needed
    norm_reach: float = 0.0  # s on either side over which the strided layers' outputs are normalised; 0 is none


@dataclass(frozen=True)
class QuantizerConfig:
    """The codebook (section 3 and appendix A of the paper)."""

    codebook_size: int = 512  # codes
    codebook_dim: int = 64  # numbers per code
    update: str = "ema"  # ema (appendix A.1) or gradient (equation 3)
    ema_decay: float = 0.99  # per training step
    commitment_cost: float = 0.25  # beta of equation 3
    free_steps: int = 0  # first training steps without a codebook (a twentieth of --max-minutes at most), which then starts from data
    restart_below: float = 0.05  # a code is restarted when its averaged count falls under this share of an even one


@dataclass(frozen=True)
class DecoderConfig:
    """The WaveNet (van den Oord et al. 2016) that says the codes again in a voice."""

    layers: int = 20
    dilation_cycle: int = 9  # dilations 1, 2, ..., 2**(cycle-1), then again
    kernel: int = 2  # taps of a dilated convolution
    residual_channels: int = 64
    gate_channels: int = 128  # tanh and sigmoid halves together
    skip_channels: int = 128
    output: str = "categorical"  # categorical: softmax over 256 classes; mixture: logistics around a linear prediction
    mixtures: int = 8  # logistics per sample, for output: mixture
    lpc_order: int = 16  # samples that the linear prediction looks back, for output: mixture
    speaker_dim: int = 64  # numbers per speaker
    conditioning_channels: int = 128  # width of the convolutions over codes and speaker
    conditioning_layers: int = 4  # residual convolutions (3 taps) at the conditioning rate
    conditioning_hop: int = 64  # samples per conditioning frame; must divide the encoder's hop
    f0: bool = False  # tell the decoder the source's pitch, relative to the voice's own, beside the codes
    jitter: float = 0.12  # chance that a code is replaced by a neighbour while training (Chorowski et al. 2019)


@dataclass(frozen=True)
class TrainingConfig:
    """How the model learns."""

    steps: int = 100000  # optimizer steps, unless --max-minutes ends the run before
    batch_size: int = 16  # crops per step
    crop_samples: int = 6144  # samples per crop; a multiple of the hop
    lead_samples: int = 1024  # first samples of a crop, which give context to the WaveNet and are not scored
    optimizer: str = "adam"  # adam (for all); muon for the matrices of the WaveNet's layers; muon_all for encoder and conditioning too
    learning_rate: float = 4e-4  # at its highest
    warmup_steps: int = 200  # steps of linear rise
    decay_fraction: float = 0.4  # the last part of the run, in which the rate falls to a hundredth
    gradient_clip: float = 1.0  # largest norm of the whole gradient
    weight_average: float = 0.999  # decay of the averaged (Polyak) weights
    listen_first: float = 0.0  # first part of the run, in which the WaveNet rests: encoder, codes and prediction learn
    mel_weight: float = 1.0  # weight of the auxiliary log-mel loss; 0 turns the head off
    n_mels: int = 80  # bands of the auxiliary head
    contrast_weight: float = 0.0  # weight of contrastive prediction of z_e (nn/contrast.py); 0 turns it off
    said_samples: int = 0  # samples of a crop, anywhere in it, that are told and said again; the rest is only heard; 0 is all
    input_noise: float = 0.0  # classes; noise on the past that the WaveNet hears, its deviation up to this in each crop
    perturbed_fraction: float = 0.0  # share of crops whose encoder reads a perturbed copy (vqvc-pack --perturb), the decoder the original
    wavenet_fraction: float = 1.0  # share of each batch's crops that the WaveNet learns from; encoder, codes and log-mel learn from all
    teacher_weight: float = 0.0  # weight of the relative error from the conditioning frames of the --init model on the original; 0 turns it off
    speaker_balance: float = 0.5  # 0: speakers as often as they spoke; 1: all speakers equally often
    valid_minutes: float = 3.0  # minutes between validations
    checkpoint_minutes: float = 5.0  # minutes between checkpoints
    precision: str = "bfloat16"  # bfloat16 (where the device has it) or float32; the quantizer is always float32
    seed: int = 1


@dataclass(frozen=True)
class Config:
    """One model and its training."""

    audio: AudioConfig = field(default_factory=AudioConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        _require_choice("encoder.input", self.encoder.input, ("waveform", "log_mel", "mfcc", "units"))
        _require_choice("quantizer.update", self.quantizer.update, ("ema", "gradient"))
        _require_choice("decoder.output", self.decoder.output, ("categorical", "mixture"))
        _require_choice("training.precision", self.training.precision, ("bfloat16", "float32"))
        _require_choice("training.optimizer", self.training.optimizer, ("muon", "muon_all", "adam"))
        if len(self.encoder.channels) != len(self.encoder.strides):
            raise ConfigError("encoder.channels and encoder.strides: give one channel number for each stride")
        if self.encoder.input == "units" and (self.encoder.strides or self.encoder.feature_hop % (self.audio.sample_rate // 100)):
            raise ConfigError("encoder.input: units wants strides and channels [], and a feature_hop of whole 10 ms")
        if self.decoder.gate_channels % 2:
            raise ConfigError("decoder.gate_channels: must be even (a tanh half and a sigmoid half)")
        if self.hop_length % self.decoder.conditioning_hop:
            raise ConfigError(f"decoder.conditioning_hop: must divide the encoder's hop of {self.hop_length} samples")
        if self.training.mel_weight and self.decoder.conditioning_hop > 256:
            raise ConfigError("decoder.conditioning_hop: must be at most 256 for the auxiliary log-mel loss, whose windows overlap by half")
        if self.training.lead_samples >= self.training.crop_samples:
            raise ConfigError("training.lead_samples: must be smaller than training.crop_samples")
        if self.training.said_samples and not self.training.lead_samples < self.training.said_samples <= self.training.crop_samples:
            raise ConfigError("training.said_samples: must be above training.lead_samples and at most training.crop_samples, or 0")
        if not 0 <= self.training.perturbed_fraction <= 1:
            raise ConfigError(f"training.perturbed_fraction: must be 0 to 1, not {self.training.perturbed_fraction}")
        if not 0 <= self.training.wavenet_fraction <= 1:
            raise ConfigError(f"training.wavenet_fraction: must be 0 to 1, not {self.training.wavenet_fraction}")
        if not self.training.wavenet_fraction and not self.training.teacher_weight:
            raise ConfigError("training.wavenet_fraction: 0 wants training.teacher_weight above 0")
        if self.training.wavenet_fraction < 1 and not self.training.mel_weight:
            raise ConfigError("training.wavenet_fraction: below 1 wants training.mel_weight above 0, or some crops teach nothing")
        if self.training.teacher_weight and self.training.said_samples:
            raise ConfigError("training.teacher_weight: wants training.said_samples: 0")
        if self.training.said_samples % self.hop_length:
            raise ConfigError(f"training.said_samples: must be a multiple of the hop of {self.hop_length} samples")
        if self.training.crop_samples % self.hop_length:
            raise ConfigError(f"training.crop_samples: must be a multiple of the hop of {self.hop_length} samples")

    @property
    def hop_length(self) -> int:
        """Samples per code: code i stands for samples [i*hop, (i+1)*hop)."""
        first = 1 if self.encoder.input == "waveform" else self.encoder.feature_hop
        return first * math.prod(self.encoder.strides)

    @property
    def code_rate_hz(self) -> float:
        """Codes per second."""
        return self.audio.sample_rate / self.hop_length

    def to_dict(self) -> dict:
        """Plain dicts, lists and scalars; ``from_dict`` takes them back."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    def hash(self) -> str:
        """Eight hex digits that change when any setting does."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class PriorConfig:
    """The causal model over codes: a WaveNet of indices (section 4.3 of the paper; sizes are ours)."""

    layers: int = 12
    dilation_cycle: int = 6  # dilations 1, 2, ..., 2**(cycle-1) codes, then again
    kernel: int = 2  # taps of a dilated convolution
    residual_channels: int = 64
    gate_channels: int = 128  # tanh and sigmoid halves together
    skip_channels: int = 128
    speaker_dim: int = 32  # numbers per speaker
    token_dropout: float = 0.05  # chance that the code before is hidden, in training
    dropout: float = 0.1  # share of the summed skips that is left out, in training


@dataclass(frozen=True)
class PriorTrainingConfig:
    """How the prior learns."""

    steps: int = 8000  # optimizer steps, unless --max-minutes ends the run before
    batch_size: int = 16  # crops per step
    crop_codes: int = 384  # codes per crop
    lead_codes: int = 64  # first codes of a crop, which give context and are not scored
    learning_rate: float = 2e-3  # Adam's, at its highest
    warmup_steps: int = 200  # steps of linear rise
    decay_fraction: float = 0.7  # the last part of the run, in which the rate falls to a hundredth
    gradient_clip: float = 1.0  # largest norm of the whole gradient
    weight_decay: float = 0.02  # AdamW's
    weight_average: float = 0.995  # decay of the averaged (Polyak) weights
    anonymous: float = 0.5  # chance that a crop's speaker is not told, so that the prior knows unnamed voices too
    valid_minutes: float = 2.0  # minutes between validations
    checkpoint_minutes: float = 5.0  # minutes between checkpoints
    precision: str = "bfloat16"  # bfloat16 (where the device has it) or float32
    seed: int = 1


@dataclass(frozen=True)
class PriorSettings:
    """One prior and its training: what ``vqvc-prior --conf`` reads."""

    prior: PriorConfig = field(default_factory=PriorConfig)
    training: PriorTrainingConfig = field(default_factory=PriorTrainingConfig)

    def __post_init__(self) -> None:
        _require_choice("training.precision", self.training.precision, ("bfloat16", "float32"))
        if self.prior.gate_channels % 2:
            raise ConfigError("prior.gate_channels: must be even (a tanh half and a sigmoid half)")
        if not 0 <= self.training.lead_codes < self.training.crop_codes:
            raise ConfigError("training.lead_codes: must be smaller than training.crop_codes")
        for key, value in (("prior.dropout", self.prior.dropout), ("prior.token_dropout", self.prior.token_dropout)):
            if not 0 <= value < 1:
                raise ConfigError(f"{key}: must be at least 0 and below 1, not {value}")

    to_dict, hash = Config.to_dict, Config.hash


def _require_choice(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(f"{key}: {value!r} is not one of {', '.join(choices)}")


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys and remembers the line of each."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict:
    result = _Lines()
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        line = key_node.start_mark.line + 1
        if key in result:
            raise ConfigError(f"line {line}: {key}: given twice")
        result[key] = loader.construct_object(value_node, deep=True)
        result.lines[key] = line
    return result


class _Lines(dict):
    """A dict that knows on which line of the file each key stood."""

    def __init__(self, *args):
        super().__init__(*args)
        self.lines: dict = {}


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def load(path: str | Path, overrides: Sequence[str] = (), kind: type = Config):
    """Read a YAML file and apply ``section.key=value`` overrides; ``kind`` is Config or PriorSettings.

    Raises ConfigError with file, line and key for an unknown, duplicate or wrongly typed key, and for YAML tags.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text") from None
    try:
        raw = yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
        return from_dict(raw or {}, overrides, kind)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{path}: {where}{getattr(error, 'problem', error)}") from None
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def from_dict(raw: dict, overrides: Sequence[str] = (), kind: type = Config):
    """Build a Config (or ``kind``) from nested dicts; raises ConfigError for what does not fit."""
    if not isinstance(raw, dict):
        raise ConfigError("the file must hold sections such as 'encoder:', not a single value")
    merged = _Lines({name: section for name, section in raw.items()})
    merged.lines = getattr(raw, "lines", {})
    for override in overrides:
        name, equals, value = override.partition("=")
        section, dot, key = name.partition(".")
        if not equals or not dot:
            raise ConfigError(f"override {override!r}: write it as section.key=value")
        chosen = _Lines(merged.get(section) or {})
        chosen.lines = getattr(merged.get(section), "lines", {})
        try:
            chosen[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            raise ConfigError(f"override {override!r}: the value is not valid YAML") from None
        merged[section] = chosen
    return _build(kind, merged, "")


def _build(kind: type, raw: object, prefix: str):
    if not isinstance(raw, dict):
        raise ConfigError(f"{prefix.rstrip('.')}: must be a section with keys, not {raw!r}")
    lines = getattr(raw, "lines", {})
    types_of = typing.get_type_hints(kind)
    values = {}
    for key, value in raw.items():
        where = f"line {lines[key]}: {prefix}{key}" if key in lines else f"{prefix}{key}"
        if key not in types_of:
            near = difflib.get_close_matches(str(key), types_of, n=1)
            raise ConfigError(f"{where}: unknown key" + (f"; did you mean {prefix}{near[0]}?" if near else ""))
        if dataclasses.is_dataclass(types_of[key]):
            values[key] = _build(types_of[key], value, f"{prefix}{key}.")
        else:
            values[key] = _convert(where, value, types_of[key])
    return kind(**values)


def _convert(where: str, value: object, kind: object):
    """``value`` as ``kind``: YAML 1.1 reads 1e-4 as text and no as False, so floats are helped and bools refused."""
    if isinstance(kind, types.GenericAlias):  # tuple[X, ...]
        if not isinstance(value, list):
            raise ConfigError(f"{where}: must be a list, not {value!r}")
        return tuple(_convert(where, item, typing.get_args(kind)[0]) for item in value)
    if kind is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if math.isfinite(number):
            return number
    elif kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    elif kind in (str, bool) and isinstance(value, kind):
        return value
    raise ConfigError(f"{where}: must be {kind.__name__}, not {value!r}")
