"""The file of an encoder and its codebook without a decoder.

weights      the CodeEncoder's state_dict; matrices of the encoder as int8 with a float32 scale for each row, the rest
             as float32
metadata     code_encoder_version; config (a ModelConfig) and training as JSON; checksum (SHA-256 over all of these and
             the weights)
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
from vqvc.conversion import model_file
from vqvc.conversion.model_file import ModelFile
from vqvc.errors import ConfigError, ModelError
from vqvc.nn.builder import build_code_encoder
from vqvc.nn.code_encoder import CodeEncoder

FORMAT_VERSION = 1
TRAINING_ONLY = ("quantizer.counts", "quantizer.sums")
SCALE, LEVELS = "_scale", 127  # suffix of the names of scales; the largest int8 value
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
    """The contents of a file. ``model`` is in evaluation mode."""

    path: Path
    config: ModelConfig
    training: dict
    checksum: str
    model: CodeEncoder


def write(path: str | Path, model: CodeEncoder, training: dict) -> str:
    """Write the parts of a model that compute codes, atomically; returns the checksum.

    training: any JSON value that describes the run.
    """
    code_encoder = build_code_encoder(model.config)
    weights = model.state_dict()
    code_encoder.load_state_dict({name: weights[name] for name in code_encoder.state_dict()})
    metadata = {
        "config": json.dumps(model.config.to_dict()),
        "training": json.dumps(training, ensure_ascii=False, allow_nan=False),
    }
    return tensorfile.write(path, KIND, _stored(code_encoder), metadata)


def is_one(path: str | Path) -> bool:
    """Whether the metadata of a file say that it is a code encoder; nothing else is checked."""
    return tensorfile.is_one(path, KIND)


def read_either(path: str | Path) -> CodeEncoderFile | ModelFile:
    """Read the file of a code encoder or of a model.

    Both have ``path``, ``config``, ``checksum`` and ``model``, a ``CodeEncoder``. Raises ModelError if the file is
    missing, damaged or neither of the two.
    """
    return read(path) if is_one(path) else model_file.read(path)


def read(path: str | Path) -> CodeEncoderFile:
    """Read a file and verify its checksum. Raises ModelError if it is damaged, forged, foreign or of another format."""
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
    """The tensors of the file for a code encoder."""
    stored = {}
    for name, tensor in model.state_dict().items():
        if name in TRAINING_ONLY:
            continue
        if name.startswith("encoder.") and tensor.ndim == 2:
            scale = tensor.abs().amax(1).clamp(min=1e-12) / LEVELS
            stored[name] = (tensor / scale[:, None]).round().to(torch.int8)
            stored[name + SCALE] = scale
        else:
            stored[name] = tensor
    return stored
