"""The released model file: weights, settings, speaker table and checksum in one safetensors file.

    weights      the VQVAE's state_dict without the contrast, which only training uses
    metadata     format_version; config, speakers, training (JSON); checksum (SHA-256 over all of these and the weights)

Nothing in it is ever run: pickles are refused. The header alone tells speakers and settings, before weights are read.
"""

import dataclasses
import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from vqvc import config as _config
from vqvc._util.atomic import write_bytes
from vqvc._util.nearest import nearest
from vqvc.config import Config
from vqvc.errors import ConfigError, ModelError, UsageError
from vqvc.nn.vqvae import VQVAE

FORMAT_VERSION = 2
TRAINING_ONLY = ("contrast.",)
LONGEST_HEADER = 1 << 26  # bytes; a longer one is no model of ours
METADATA = ("format_version", "config", "speakers", "training")


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
    config: Config
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
class Package(Header):
    """A whole model file; ``model`` is in evaluation mode."""

    model: VQVAE


def write(path: str | Path, model: VQVAE, speakers: Sequence[NamedSpeaker], training: dict) -> str:
    """Write the model file atomically; returns its checksum. ``training`` is any JSON value that describes the run."""
    weights = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if not name.startswith(TRAINING_ONLY)
    }
    voices = [{"name": one.speaker, "gender": one.gender, "accent": one.accent} for one in speakers]
    metadata = {
        "format_version": str(FORMAT_VERSION),
        "config": json.dumps(model.config.to_dict()),
        "speakers": json.dumps(voices, ensure_ascii=False),
        "training": json.dumps(training, ensure_ascii=False, allow_nan=False),
    }
    metadata["checksum"] = _checksum(weights, metadata)
    write_bytes(path, save(weights, metadata))
    return metadata["checksum"]


def read_header(path: str | Path) -> Header:
    """Settings and speakers of a model file, without its weights. Raises ModelError."""
    path = Path(path)
    return _header(path, _metadata(path))


def read(path: str | Path) -> Package:
    """The whole model file, checksum verified. Raises ModelError for one that is damaged, foreign or of another format."""
    path = Path(path)
    metadata = _metadata(path)
    header = _header(path, metadata)
    try:
        weights = load(path.read_bytes())
    except SafetensorError as error:
        raise ModelError(f"{path}: is cut short or damaged ({error}); copy it again") from None
    if _checksum(weights, metadata) != header.checksum:
        raise ModelError(f"{path}: checksum differs from the one written in it; the file is damaged, copy it again")
    model = _build(header)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for name in sorted(expected.keys() | weights.keys()):
        has, wants = (tuple(shapes[name]) if name in shapes else None for shapes in (_shapes(weights), expected))
        if has != wants:
            raise ModelError(f"{path}: {name}: the file has shape {has}, its settings want {wants}")
    model.load_state_dict(weights)
    fields = {field.name: getattr(header, field.name) for field in dataclasses.fields(header)}
    return Package(**fields, model=model.eval())


def _build(header: Header) -> VQVAE:
    training = dataclasses.replace(header.config.training, contrast_weight=0.0)
    with torch.random.fork_rng(devices=[]):
        return VQVAE(dataclasses.replace(header.config, training=training), len(header.speakers))


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in weights.items()}


def _checksum(weights: dict[str, Tensor], metadata: dict[str, str], keys: tuple[str, ...] = METADATA) -> str:
    digest = hashlib.sha256()
    for key in keys:
        digest.update(f"{key}\0{metadata.get(key)}\0".encode())
    for name in sorted(weights):
        tensor = weights[name]
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _metadata(path: Path) -> dict[str, str]:
    try:
        with open(path, "rb") as file:
            size = path.stat().st_size
            start, first = file.read(8), file.read(1)
            # a header's length may begin with the same bytes, but what follows it is a brace
            if start[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK") and first != b"{":
                raise ModelError(f"{path}: is a pickle, which can run code, and is refused; give a model.safetensors")
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else LONGEST_HEADER + 1
            if length > LONGEST_HEADER:
                raise ModelError(f"{path}: is not a model file; vqvc-train writes model.safetensors")
            if 8 + length > size:
                raise ModelError(f"{path}: is cut short at {size} bytes; copy it again")
            return json.loads(first + file.read(max(length - 1, 0))).get("__metadata__") or {}
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; train a model with vqvc-train or give --model") from None
    except IsADirectoryError:
        raise ModelError(f"{path}: is a folder; name the model.safetensors in it") from None
    except (ValueError, AttributeError):
        raise ModelError(f"{path}: its header is damaged or is not a model's; copy it again") from None


def _header(path: Path, metadata: dict[str, str]) -> Header:
    version = metadata.get("format_version")
    if version is None:
        raise ModelError(f"{path}: holds tensors but no settings; it was not written by vqvc-train")
    if version != str(FORMAT_VERSION):
        raise ModelError(f"{path}: format_version is {version}, this version reads {FORMAT_VERSION}; install the vqvc that wrote it")
    try:
        voices = tuple(Voice(one["name"], one["gender"], one["accent"]) for one in json.loads(metadata["speakers"]))
        config = _config.from_dict(json.loads(metadata["config"]))
        return Header(path, config, voices, json.loads(metadata["training"]), metadata["checksum"])
    except ConfigError as error:
        raise ModelError(f"{path}: its settings do not fit this version: {error}") from None
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"{path}: its header is damaged; copy it again") from None
