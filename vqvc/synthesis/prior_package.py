"""The prior's file: weights, integer tables, settings and the model whose codes it knows, under one checksum.

    tensors      the Prior's state_dict, and ``integer_prior.make_tables``
    metadata     prior_format_version; settings, speakers, training (JSON); codes_of_model, codebook_size, hop_length,
                 sample_rate; checksum
"""

import dataclasses
import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from vqvc import config as _config
from vqvc._util.atomic import write_bytes
from vqvc.config import PriorSettings
from vqvc.errors import ConfigError, ModelError, UsageError
from vqvc.nn.prior import Prior
from vqvc.synthesis import package
from vqvc.synthesis.code_file import Coder
from vqvc.synthesis.integer_prior import IntegerPrior, make_tables

FORMAT_VERSION = 1
TABLES = "tables."
METADATA = (
    "prior_format_version", "settings", "speakers", "training", "codes_of_model", "codebook_size", "hop_length", "sample_rate",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class PriorPackage:
    """A prior as read from its file."""

    path: Path
    model: Prior  # in evaluation mode, float32
    integers: IntegerPrior  # the same in whole numbers
    settings: PriorSettings
    speakers: tuple[str, ...]  # speaker i is the prior's index i + 1; 0 is nobody in particular
    training: dict
    codes_of_model: str  # checksum of the model whose codes these are
    codebook_size: int
    hop_length: int
    sample_rate: int
    checksum: str

    def speaker_index(self, name: str) -> int:
        """The prior's index of a speaker, 0 for one that it was not trained on."""
        return 1 + self.speakers.index(name) if name in self.speakers else 0

    def require(self, model: str, path: str | Path) -> None:
        """Raises UsageError unless the prior was trained on the codes of the model with this checksum."""
        if self.codes_of_model != model:
            raise UsageError(
                f"{self.path}: was trained on the codes of another model than {path}; train one with vqvc-prior"
            )

    @property
    def coder(self) -> Coder:
        """What reads and writes code files under this prior."""
        return Coder(self.codes_of_model, self.hop_length, self.codebook_size, self.integers, self.checksum)


def write(
    path: str | Path,
    model: Prior,
    settings: PriorSettings,
    speakers: tuple[str, ...],
    training: dict,
    *,
    codes_of_model: str,
    codebook_size: int,
    hop_length: int,
    sample_rate: int,
) -> str:
    """Write a prior's file atomically; returns its checksum."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    tensors |= {name: torch.from_numpy(table) for name, table in make_tables().items()}
    metadata = {
        "prior_format_version": str(FORMAT_VERSION),
        "settings": json.dumps(settings.to_dict()),
        "speakers": json.dumps(list(speakers), ensure_ascii=False),
        "training": json.dumps(training, ensure_ascii=False, allow_nan=False),
        "codes_of_model": codes_of_model,
        "codebook_size": str(codebook_size),
        "hop_length": str(hop_length),
        "sample_rate": str(sample_rate),
    }
    metadata["checksum"] = package._checksum(tensors, metadata, METADATA)
    write_bytes(path, save(tensors, metadata))
    return metadata["checksum"]


def read(path: str | Path) -> PriorPackage:
    """Read a prior's file, checksum verified; raises ModelError for one that is damaged, foreign or of another format."""
    path = Path(path)
    if not path.exists():
        raise ModelError(f"{path}: no such file; train a prior with vqvc-prior")
    metadata = package._metadata(path)
    version = metadata.get("prior_format_version")
    if version is None:
        raise ModelError(f"{path}: is not a prior; vqvc-prior writes prior.safetensors")
    if version != str(FORMAT_VERSION):
        raise ModelError(
            f"{path}: prior_format_version is {version}, this version reads {FORMAT_VERSION}; install the vqvc that wrote it"
        )
    try:
        tensors = load(path.read_bytes())
        settings = _config.from_dict(json.loads(metadata["settings"]), kind=PriorSettings)
        speakers, training = tuple(json.loads(metadata["speakers"])), json.loads(metadata["training"])
        numbers = {key: int(metadata[key]) for key in ("codebook_size", "hop_length", "sample_rate")}
        expected, codes_of_model = metadata["checksum"], metadata["codes_of_model"]
    except ConfigError as error:
        raise ModelError(f"{path}: its settings do not fit this version: {error}") from None
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: is cut short or damaged ({error}); copy it again") from None
    if package._checksum(tensors, metadata, METADATA) != expected:
        raise ModelError(f"{path}: checksum differs from the one written in it; the file is damaged, copy it again")
    with torch.random.fork_rng(devices=[]):
        model = Prior(numbers["codebook_size"], len(speakers), **dataclasses.asdict(settings.prior)).eval()
    try:
        model.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith(TABLES)})
        integers = IntegerPrior({name: tensor.numpy() for name, tensor in tensors.items()}, model.wavenet.stack.dilations)
    except (RuntimeError, KeyError) as error:
        raise ModelError(f"{path}: does not fit its settings ({str(error).splitlines()[0]})") from None
    return PriorPackage(
        path, model, integers, settings, speakers, training, codes_of_model, **numbers, checksum=expected
    )
