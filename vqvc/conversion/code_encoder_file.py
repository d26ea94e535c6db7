"""The file of an encoder and its codebook alone, without a decoder; its codes are units of speech.

weights      the CodeEncoder's state_dict; matrices of the encoder as int8 with a float32 scale for each row, the rest as float32
metadata     format version; config (a ModelConfig), training (JSON); checksum (SHA-256 over all of these and the weights)
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vqvc import config as _config
from vqvc._util import model_limits, tensorfile
from vqvc._util.tensorfile import Layout
from vqvc.config import ModelConfig
from vqvc.errors import ConfigError, ModelError
from vqvc.nn.builder import build_code_encoder
from vqvc.nn.code_encoder import CodeEncoder

FORMAT_VERSION = 1
TRAINING_ONLY = ("quantizer.counts", "quantizer.sums")
SCALE, LEVELS = "_scale", 127  # suffix of the scales' name; the largest int8 value
KIND = tensorfile.Kind(
    what="a code encoder",
    version_key="code_encoder_version",
    version=FORMAT_VERSION,
    keys=("code_encoder_version", "config", "training"),
    pickle="give a code encoder, such as phones.safetensors",
    absent="name the one that comes with vqvc, phones, or a file",
    foreign="give a code encoder, such as phones.safetensors; a model file goes to --model",
)


@dataclass(frozen=True)
class CodeEncoderFile:
    """A whole file; ``model`` is in evaluation mode."""

    path: Path
    config: ModelConfig
    training: dict
    checksum: str
    model: CodeEncoder


def write(path: str | Path, model: CodeEncoder, training: dict) -> str:
    """Write the parts of a model that make codes, atomically; returns the checksum. training: any JSON value that describes the run."""
    whole = build_code_encoder(model.config)
    weights = model.state_dict()
    whole.load_state_dict({name: weights[name] for name in whole.state_dict()})
    metadata = {
        "config": json.dumps(model.config.to_dict()),
        "training": json.dumps(training, ensure_ascii=False, allow_nan=False),
    }
    return tensorfile.write(path, KIND, _stored(whole), metadata)


def is_one(path: str | Path) -> bool:
    """Whether a file's metadata names it a code encoder; nothing else is checked."""
    return tensorfile.is_one(path, KIND)


def read(path: str | Path) -> CodeEncoderFile:
    """The whole file, checksum verified. Raises ModelError for one that is damaged, forged, foreign or of another format."""
    file = tensorfile.read_header(path, KIND)
    try:
        config = _config.model_from_dict(json.loads(file.metadata["config"]))
        model_limits.require_possible(config)
        training = json.loads(file.metadata["training"])
    except ConfigError as error:
        raise ModelError(f"{path}: its settings do not fit this version: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(f"{path}: its header is damaged; copy it again") from None
    with torch.device("meta"):  # shapes without memory
        file.require({name: Layout.of(tensor) for name, tensor in _stored(_build(config)).items()})
    stored = file.tensors()
    model = _build(config)
    for name, tensor in model.state_dict().items():
        if name in stored:
            scale = stored.get(name + SCALE)
            tensor.copy_(stored[name] if scale is None else stored[name].float() * scale[:, None])
    model.quantizer.start_at(model.quantizer.codebook.clone())
    return CodeEncoderFile(Path(path), config, training, file.metadata[tensorfile.CHECKSUM], model.eval())


def _build(config: ModelConfig) -> CodeEncoder:
    with torch.random.fork_rng(devices=[]):
        return build_code_encoder(config)


def _stored(model: CodeEncoder) -> dict[str, Tensor]:
    """What the file holds of a code encoder, in the formats of the file."""
    found = {}
    for name, tensor in model.state_dict().items():
        if name in TRAINING_ONLY:
            continue
        if name.startswith("encoder.") and tensor.ndim == 2:
            scale = tensor.abs().amax(1).clamp(min=1e-12) / LEVELS
            found[name], found[name + SCALE] = (tensor / scale[:, None]).round().to(torch.int8), scale
        else:
            found[name] = tensor
    return found
