"""The one owner of our tensor files: named tensors and text in a safetensors file, under one checksum.

    8 bytes      length of the header, lowest byte first
    header       JSON: dtype, shape and place of each tensor; ``__metadata__``: text by name, with version and checksum
    the rest     the tensors' bytes

Model files, priors and checkpoints are such files; a ``Kind`` describes what each holds. Nothing in a file is run, and
nothing is believed: pickles are refused by their first bytes, and the header is checked against the size of the file before
a tensor is read, so that a forged one costs no memory.
"""

import hashlib
import json
import math
import struct
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from vqvc._util import former_names
from vqvc._util.atomic import write_bytes
from vqvc.errors import ModelError

PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")  # how pickles and torch's zip files begin
LONGEST_HEADER = 1 << 24  # bytes; a longer one is none of ours
CHECKSUM = "checksum"  # its name in the metadata
DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
    "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


class ForeignFile(ModelError):
    """Not damaged but something else (a pickle, another format): an older copy of the file is no answer to it."""


@dataclass(frozen=True)
class Kind:
    """What a kind of file is called, and what its metadata holds.

    version: the one that is written; readable: earlier ones that are read as well.
    what: with its article, for messages; keys: metadata under the checksum, in this order; digest: of tensors and metadata.
    pickle, absent, foreign and outdated end the sentence for a pickle, for a file that is not there, for a file of another
    kind and for one of another version.
    """

    what: str
    version_key: str
    version: int
    keys: tuple[str, ...]
    pickle: str
    absent: str
    foreign: str
    outdated: str = "install the vqvc that wrote it"
    digest: Callable[[Mapping[str, Tensor], Mapping[str, str], tuple[str, ...]], str] | None = None
    readable: tuple[int, ...] = ()

    def checksum(self, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
        """Of tensors and of the metadata under ``keys``, hexadecimal."""
        return (self.digest or checksum)(tensors, metadata, self.keys)


@dataclass(frozen=True)
class Layout:
    """Shape and dtype of one tensor."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, tensor: Tensor) -> "Layout":
        """The layout of a tensor, on whatever device it lies."""
        return cls(tuple(tensor.shape), tensor.dtype)

    def __str__(self) -> str:
        return f"{str(self.dtype).removeprefix('torch.')} of shape {self.shape}"


@dataclass(frozen=True)
class TensorFile:
    """A file whose header has been read and checked; the tensors are read by ``tensors``."""

    path: Path
    kind: Kind
    metadata: dict[str, str]
    layouts: dict[str, Layout]

    def require(self, expected: Mapping[str, Layout], added: Collection[str] = ()) -> None:
        """Raise ModelError, which names the first tensor that differs, unless the file holds exactly these.

        added: names of those that a file of an earlier version may lack.
        """
        for name in sorted(expected.keys() | self.layouts.keys()):
            has, wants = self.layouts.get(name), expected.get(name)
            if has == wants or (has is None and name in added):
                continue
            if has and wants and has.shape != wants.shape:
                raise ModelError(
                    f"{self.path}: {name}: the file has shape {has.shape}, its settings want {wants.shape}"
                )
            raise ModelError(f"{self.path}: {name}: the file has {has or 'none'}, its settings want {wants or 'none'}")

    def tensors(self, *, finite: bool = True) -> dict[str, Tensor]:
        """All tensors on the CPU; raises ModelError when the checksum differs or (``finite``) a number is not finite."""
        try:
            tensors = load(self.path.read_bytes())
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            raise ModelError(f"{self.path}: is cut short or damaged ({error}); copy it again") from None
        if self.kind.checksum(tensors, self.metadata) != self.metadata.get(CHECKSUM):
            raise ModelError(
                f"{self.path}: checksum differs from the one written in it; the file is damaged, copy it again"
            )
        for name, tensor in tensors.items():
            if finite and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise ModelError(f"{self.path}: {name}: holds numbers that are not finite; take an earlier file")
        return {former_names.tensor(name): tensor for name, tensor in tensors.items()}


def checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], keys: tuple[str, ...]) -> str:
    """SHA-256 over the metadata under ``keys`` and the tensors' names, dtypes, shapes and bytes, in order of name."""
    digest = hashlib.sha256()
    for key in keys:
        digest.update(f"{key}\0{metadata.get(key)}\0".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write(path: str | Path, kind: Kind, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """Write a file atomically, version and checksum added to ``metadata``; returns the checksum."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {kind.version_key: str(kind.version), **metadata}
    metadata[CHECKSUM] = kind.checksum(tensors, metadata)
    write_bytes(path, save(tensors, metadata))
    return metadata[CHECKSUM]


def is_one(path: str | Path, kind: Kind) -> bool:
    """Whether a file's metadata names it one of a kind; nothing else is checked."""
    try:
        with safe_open(str(path), "pt") as file:
            return kind.version_key in (file.metadata() or {})
    except (OSError, SafetensorError):
        return False


def read_header(path: str | Path, kind: Kind) -> TensorFile:
    """A file's header, checked against its size and its kind; raises ModelError, and ForeignFile for what is none of ours."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            size = path.stat().st_size
            start, first = file.read(8), file.read(1)
            if start[:2] in PICKLES and first != b"{":  # a header's length may begin with the same bytes
                raise ForeignFile(f"{path}: is a pickle, which can run code, and is refused; {kind.pickle}")
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else LONGEST_HEADER + 1
            if length > LONGEST_HEADER:
                raise ModelError(f"{path}: is not {kind.what}; {kind.foreign}")
            if 8 + length > size:
                raise ModelError(f"{path}: is cut short at {size} bytes; copy it again")
            header = json.loads(first + file.read(max(length - 1, 0)))
        metadata, layouts = _parsed(header, size - 8 - length)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such file; {kind.absent}") from None
    except IsADirectoryError:
        raise ModelError(f"{path}: is a folder; name the file in it") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise ModelError(f"{path}: its header is damaged or is not that of {kind.what}; copy it again") from None
    version = metadata.get(kind.version_key)
    if version is None:
        raise ModelError(f"{path}: is not {kind.what}; {kind.foreign}")
    if version not in map(str, (kind.version, *kind.readable)):
        error = ForeignFile if version.isdecimal() else ModelError
        raise error(f"{path}: {kind.version_key} is {version}, this version reads {kind.version}; {kind.outdated}")
    return TensorFile(path, kind, metadata, layouts)


def _parsed(header: dict, data_bytes: int) -> tuple[dict[str, str], dict[str, Layout]]:
    """Metadata and layouts; raises ValueError, TypeError, KeyError or AttributeError for what is no safetensors header."""
    metadata = header.pop("__metadata__", None) or {}
    if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
        raise ValueError("metadata is text")
    layouts, total = {}, 0
    for name, entry in header.items():
        layout = Layout(tuple(entry["shape"]), DTYPES[entry["dtype"]])
        if not all(type(size) is int and size >= 0 for size in layout.shape):
            raise ValueError(f"{name} has an impossible shape")
        begin, end = entry["data_offsets"]
        if end - begin != math.prod(layout.shape) * layout.dtype.itemsize:
            raise ValueError(f"{name} has another size than its shape")
        total += end - begin
        layouts[former_names.tensor(name)] = layout
    if total != data_bytes:
        raise ValueError(f"tensors of {total} bytes in a file that holds {data_bytes}")
    return metadata, layouts
