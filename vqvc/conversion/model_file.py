"""The released model file: weights, settings, speaker table and checksum in one safetensors file.

    weights      the VQVAE's state_dict without the modules cpc, unit_head and adversary, which only training uses
    metadata     format_version; config (a ModelConfig), speakers and training as JSON; checksum (SHA-256 over all of
                 these and the weights); a speaker with "listed": false is not offered to users

No code in a file is ever run: pickles are refused. Settings and speakers are in the header and can be read without the
weights.
"""

import dataclasses
import fnmatch
import json
import re
from collections.abc import Collection, Sequence
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
TRAINING_ONLY = ("cpc.", "unit_head.", "adversary.")
MOST_SPEAKERS = 1 << 20
KIND = tensorfile.Kind(
    what="a model file",
    version_key="format_version",
    version=FORMAT_VERSION,
    keys=("format_version", "config", "speakers", "training"),
    pickle="give a model.safetensors",
    absent="train a model with vqvc-train or give --model",
    foreign="vqvc-train writes model.safetensors; a code encoder, such as phones.safetensors, goes to vqvc-encode --codes",
)


class NamedSpeaker(Protocol):
    """The fields of a speaker that ``write`` needs; the rows of a store's speakers.tsv have them."""

    speaker: str
    gender: str
    accent: str


@dataclass(frozen=True)
class Speaker:
    """A speaker of the model; unknown fields are empty."""

    name: str
    gender: str = ""  # f or m
    accent: str = ""
    listed: bool = True  # False: not offered by --list-speakers and in suggestions


@dataclass(frozen=True)
class Header:
    """Everything but the weights."""

    path: Path
    config: ModelConfig
    speakers: tuple[Speaker, ...]  # position = index in the model's table
    training: dict
    checksum: str

    @property
    def listed_speakers(self) -> tuple[Speaker, ...]:
        """The speakers that are offered, in the table's order."""
        return tuple(speaker for speaker in self.speakers if speaker.listed)

    @property
    def has_decoder(self) -> bool:
        """Whether the decoder was trained; otherwise it synthesizes noise."""
        settings = self.training.get("settings")
        return not (isinstance(settings, dict) and settings.get("decoder_weight") == 0)

    def require_decoder(self) -> None:
        """Raise ModelError if the model was trained without its decoder."""
        if not self.has_decoder:
            raise ModelError(f"{self.path}: was trained without a decoder; it makes codes alone, with vqvc-encode")

    def speaker_index(self, name: str) -> int:
        """The index of a speaker in the table, listed or not. Raises UsageError with similar names if there is none."""
        names = [one.name for one in self.speakers]
        if name in names:
            return names.index(name)
        if name.endswith(".voice"):
            raise UsageError(
                f"{name!r} is not a speaker of {self.path}; give a voice file by --voice (voice= in Python)"
            )
        offered = [one.name for one in self.listed_speakers]
        raise UsageError(
            f"{name!r} is not a speaker of {self.path}; the nearest are {', '.join(nearest(name, offered))} "
            "(--list-speakers shows all of them)"
        )


@dataclass(frozen=True)
class ModelFile(Header):
    """A whole model file; ``model`` is in evaluation mode."""

    model: VQVAE


def match_speakers(names: Sequence[str], patterns: Sequence[str]) -> frozenset[str]:
    """The names that match a pattern (fnmatch, case-sensitive), for the speakers that are not to be listed.

    Raises UsageError if a pattern matches no name, and if the patterns match all names.
    """
    unlisted: set[str] = set()
    for pattern in patterns:
        matched = [name for name in names if fnmatch.fnmatchcase(name, pattern)]
        if not matched:
            raise UsageError(
                f"--unlisted {pattern}: matches no speaker; the nearest are {', '.join(nearest(pattern, names))}"
            )
        unlisted.update(matched)
    if patterns and len(unlisted) == len(set(names)):
        raise UsageError(f"--unlisted {' '.join(patterns)}: matches all speakers; leave one to convert to")
    return frozenset(unlisted)


def write(
    path: str | Path,
    model: VQVAE,
    speakers: Sequence[NamedSpeaker],
    training: dict,
    *,
    unlisted: Collection[str] = (),
) -> str:
    """Write a model file atomically; returns its checksum.

    speakers: the rows of the speaker table, in order. training: a JSON object that describes the run. unlisted: names
    of speakers that are not offered to users.
    """
    weights = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith(TRAINING_ONLY)}
    table = [
        {"name": one.speaker, "gender": one.gender, "accent": one.accent}
        | ({"listed": False} if one.speaker in unlisted else {})
        for one in speakers
    ]
    metadata = {
        "config": json.dumps(model.config.to_dict()),
        "speakers": json.dumps(table, ensure_ascii=False),
        "training": json.dumps(training, ensure_ascii=False, allow_nan=False),
    }
    return tensorfile.write(path, KIND, weights, metadata)


def read_header(path: str | Path) -> Header:
    """Read settings and speakers of a model file, without its weights. Raises ModelError if it is not sound."""
    return _header(tensorfile.read_header(path, KIND))


def read(path: str | Path) -> ModelFile:
    """Read a model file and verify its checksum.

    Raises ModelError if it is damaged, forged, foreign or of another format. Shapes are compared with the settings
    before weights are read and memory is allocated.
    """
    file = tensorfile.read_header(path, KIND)
    header = _header(file)
    with torch.device("meta"):  # shapes without memory
        file.require({name: Layout.of(tensor) for name, tensor in _build(header).state_dict().items()}, VQVAE.ADDED)
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


def _speakers(table: list) -> tuple[Speaker, ...]:
    """Parse the speaker table; raises ValueError, KeyError or TypeError if it is not valid."""
    if not isinstance(table, list) or not 1 <= len(table) <= MOST_SPEAKERS:
        raise ValueError("a list of speakers")
    speakers = tuple(Speaker(row["name"], row["gender"], row["accent"], row.get("listed", True)) for row in table)
    for speaker in speakers:
        if not all(isinstance(text, str) for text in (speaker.name, speaker.gender, speaker.accent)):
            raise TypeError("names are text")
        if not isinstance(speaker.listed, bool):
            raise TypeError("a speaker is listed or not")
    if len({speaker.name for speaker in speakers}) < len(speakers):
        raise ValueError("two speakers have the same name")
    return speakers
