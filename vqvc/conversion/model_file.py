"""The released model file: weights, settings, speaker table and checksum in one safetensors file.

    weights      the VQVAE's state_dict without the layers of the contrastive loss, which only training uses
    metadata     format_version; config (a ModelConfig), speakers, training (JSON); checksum (SHA-256 over all of these and the weights)

Nothing in it is ever run: pickles are refused. The header alone tells speakers and settings, before weights are read.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from vqvc import config as _config
from vqvc._util import model_limits, tensorfile
from vqvc._util.nearest import nearest
from vqvc._util.tensorfile import Layout, TensorFile
from vqvc.config import ModelConfig
from vqvc.errors import ConfigError, ModelError, UsageError
from vqvc.nn.builder import build_model
from vqvc.nn.vqvae import VQVAE

FORMAT_VERSION = 2
TRAINING_ONLY = ("cpc.",)
MOST_SPEAKERS = 1 << 20
KIND = tensorfile.Kind(
    what="a model file",
    version_key="format_version",
    version=FORMAT_VERSION,
    keys=("format_version", "config", "speakers", "training"),
    pickle="give a model.safetensors",
    absent="train a model with vqvc-train or give --model",
    foreign="vqvc-train writes model.safetensors",
)


class NamedSpeaker(Protocol):
    """What ``write`` needs of a speaker: the lines of a store's speakers.tsv have it."""

    speaker: str
    gender: str
    accent: str


@dataclass(frozen=True)
class Voice:
    """A speaker that the model can speak as; unknown fields are empty."""

    name: str
    gender: str = ""  # f or m
    accent: str = ""


@dataclass(frozen=True)
class Header:
    """Everything but the weights."""

    path: Path
    config: ModelConfig
    speakers: tuple[Voice, ...]  # position = index in the model's table
    training: dict
    checksum: str

    def speaker_index(self, name: str) -> int:
        """The table's index of a speaker; raises UsageError with the nearest names."""
        names = [voice.name for voice in self.speakers]
        if name in names:
            return names.index(name)
        raise UsageError(
            f"{name!r} is not a speaker of {self.path}; the nearest are {', '.join(nearest(name, names))} "
            "(--list-speakers shows all of them)"
        )


@dataclass(frozen=True)
class ModelFile(Header):
    """A whole model file; ``model`` is in evaluation mode."""

    model: VQVAE


def write(path: str | Path, model: VQVAE, speakers: Sequence[NamedSpeaker], training: dict) -> str:
    """Write the model file atomically; returns its checksum. ``training`` is any JSON value that describes the run."""
    weights = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(TRAINING_ONLY)}
    voices = [{"name": one.speaker, "gender": one.gender, "accent": one.accent} for one in speakers]
    metadata = {
        "config": json.dumps(model.config.to_dict()),
        "speakers": json.dumps(voices, ensure_ascii=False),
        "training": json.dumps(training, ensure_ascii=False, allow_nan=False),
    }
    return tensorfile.write(path, KIND, weights, metadata)


def read_header(path: str | Path) -> Header:
    """Settings and speakers of a model file, without its weights. Raises ModelError."""
    return _header(tensorfile.read_header(path, KIND))


def read(path: str | Path) -> ModelFile:
    """The whole model file, checksum verified. Raises ModelError for one that is damaged, forged, foreign or of another format.

    Shapes are compared with the settings before a weight is read or a network is built.
    """
    file = tensorfile.read_header(path, KIND)
    header = _header(file)
    with torch.device("meta"):  # shapes without memory
        file.require({name: Layout.of(tensor) for name, tensor in _build(header).state_dict().items()})
    weights = file.tensors()
    model = _build(header)
    model.load_state_dict(weights)
    fields = {field.name: getattr(header, field.name) for field in dataclasses.fields(header)}
    return ModelFile(**fields, model=model.eval())


def _build(header: Header) -> VQVAE:
    with torch.random.fork_rng(devices=[]):
        return build_model(header.config, len(header.speakers))


def _header(file: TensorFile) -> Header:
    path, metadata = file.path, file.metadata
    try:
        config = _config.model_from_dict(json.loads(metadata["config"]))
        model_limits.require_possible(config)
        speakers, training = _speakers(json.loads(metadata["speakers"])), json.loads(metadata["training"])
        if not isinstance(training, dict) or not re.fullmatch("[0-9a-f]{64}", metadata[tensorfile.CHECKSUM]):
            raise ValueError("training is a section, the checksum is hexadecimal")
        return Header(path, config, speakers, training, metadata[tensorfile.CHECKSUM])
    except ConfigError as error:
        raise ModelError(f"{path}: its settings do not fit this version: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(f"{path}: its header is damaged; copy it again") from None


def _speakers(voices: list) -> tuple[Voice, ...]:
    """The speaker table; raises ValueError, KeyError or TypeError for what is none."""
    if not isinstance(voices, list) or not 1 <= len(voices) <= MOST_SPEAKERS:
        raise ValueError("a list of speakers")
    found = tuple(Voice(one["name"], one["gender"], one["accent"]) for one in voices)
    if not all(isinstance(text, str) for one in found for text in (one.name, one.gender, one.accent)):
        raise TypeError("names are text")
    if len({one.name for one in found}) < len(found):
        raise ValueError("a speaker stands twice")
    return found
