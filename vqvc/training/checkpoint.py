"""Checkpoints: safetensors files with a checksum, written atomically. A damaged one falls back to the one before it."""

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from vqvc._util import former_names, tensorfile
from vqvc._util.tensorfile import ForeignFile
from vqvc.errors import ModelError

FORMAT_VERSION = 1
KEPT = 2  # checkpoints that stay in a folder: the newest, and the one to fall back to
logger = logging.getLogger("vqvc.training")


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else b"")
    return digest.hexdigest()


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return hashlib.sha256((checksum(tensors) + "".join(metadata[key] for key in keys)).encode()).hexdigest()


def _kind() -> tensorfile.Kind:
    return tensorfile.Kind(
        what="a vqvc checkpoint",
        version_key="format_version",
        version=FORMAT_VERSION,
        keys=("facts",),
        pickle="remove it",
        absent="vqvc-train writes checkpoints",
        foreign="remove it",
        outdated="train in another folder",
        digest=_digest,
    )


def save(folder: Path, step: int, tensors: dict[str, Tensor], facts: dict) -> Path:
    """Write ``checkpoint-<step>.safetensors`` atomically, and remove all but the newest ``KEPT``; returns its path."""
    path = folder / f"checkpoint-{step:08d}.safetensors"
    tensorfile.write(path, _kind(), tensors, {"facts": json.dumps(facts, sort_keys=True)})
    for old in _all(folder)[:-KEPT]:
        old.unlink(missing_ok=True)
    return path


def load(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Read the tensors and facts of a checkpoint. Raises ModelError if it is cut, changed or not a checkpoint."""
    file = tensorfile.read_header(path, _kind())
    try:
        return file.tensors(finite=False), former_names.facts(json.loads(file.metadata["facts"]))
    except (AttributeError, ValueError, KeyError, RecursionError) as error:
        raise ModelError(f"{path}: is not a whole vqvc checkpoint ({error})") from None


def load_newest(folder: Path) -> tuple[Path, dict[str, Tensor], dict] | None:
    """Read the newest sound checkpoint of a folder: (path, tensors, facts), or None if there are no checkpoints.

    Logs a warning for a damaged one. Raises ModelError for a pickle or another format, and if all are damaged.
    """
    damaged = []
    for path in reversed(_all(folder)):
        try:
            tensors, facts = load(path)
        except ForeignFile:
            raise
        except ModelError as error:
            damaged.append(path)
            logger.warning("%s; using the checkpoint before it", error)
            continue
        return path, tensors, facts
    if damaged:
        raise ModelError(f"{folder}: no checkpoint here is sound; remove them to start again")
    return None


def sweep(folder: Path) -> None:
    """Remove partial files of a killed process. The caller must hold the folder's lock."""
    for partial in folder.glob(".partial-*-checkpoint-*.safetensors"):
        partial.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove every checkpoint of a folder."""
    for path in _all(folder):
        path.unlink(missing_ok=True)


def _all(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.glob("checkpoint-*.safetensors") if re.fullmatch(r"checkpoint-\d+\.safetensors", p.name)
    )


def flatten_optimizer(optimizer: torch.optim.Optimizer, names: dict[int, str]) -> dict[str, Tensor]:
    """An optimizer's state as tensors named ``optimizer.<parameter>.<key>``. names: id(parameter) -> name."""
    return {
        f"optimizer.{names[id(parameter)]}.{key}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, names: dict[int, str], tensors: dict[str, Tensor]) -> None:
    """Set an optimizer's state from the tensors of ``flatten_optimizer``."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            prefix = f"optimizer.{names[id(parameter)]}."
            state = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
            if state:
                # a fused optimizer needs its step count on the parameter's device too
                optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}
