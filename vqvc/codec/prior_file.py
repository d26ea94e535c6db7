"""The prior's file: weights, integer tables, settings and the model whose codes it was trained on, under one checksum.

tensors      the Prior's state_dict, and ``integer_prior.make_tables``
metadata     prior_format_version; settings, speakers, training (JSON); codes_of_model, codebook_size, hop_length,
             sample_rate; checksum
"""

import dataclasses
import json
import re
from pathlib import Path

import torch

from vqvc import config as _config
from vqvc._util import model_limits, tensorfile
from vqvc._util.tensorfile import Layout, TensorFile
from vqvc.codec.code_file import Coder
from vqvc.codec.integer_prior import IntegerPrior, make_tables
from vqvc.config import PriorSettings
from vqvc.errors import ConfigError, ModelError, UsageError
from vqvc.nn.prior import Prior

FORMAT_VERSION = 1
TABLES = "tables."
NUMBERS = {"codebook_size": (1, 1 << 15), "hop_length": (1, model_limits.LONGEST_HOP), "sample_rate": (1000, 768000)}
KIND = tensorfile.Kind(
    what="a prior",
    version_key="prior_format_version",
    version=FORMAT_VERSION,
    keys=("prior_format_version", "settings", "speakers", "training", "codes_of_model", *NUMBERS),
    pickle="give a prior.safetensors",
    absent="train a prior with vqvc-prior",
    foreign="vqvc-prior writes prior.safetensors",
)


@dataclasses.dataclass(frozen=True)
class PriorFile:
    """A prior as read from its file."""

    path: Path
    model: Prior  # in evaluation mode, float32
    integers: IntegerPrior  # the same in whole numbers
    settings: PriorSettings
    speakers: tuple[str, ...]  # speaker i is the prior's index i + 1; 0 is no speaker in particular
    training: dict
    codes_of_model: str  # checksum of the model whose codes these are
    codebook_size: int
    hop_length: int
    sample_rate: int
    checksum: str

    def speaker_index(self, name: str) -> int:
        """The prior's index of a speaker, 0 for one that it was not trained on."""
        return 1 + self.speakers.index(name) if name in self.speakers else 0

    def codes_in(self, seconds: float) -> int:
        """Codes of so much speech, at least 1."""
        return max(1, round(seconds * self.sample_rate / self.hop_length))

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
    tensors = dict(model.state_dict()) | {name: torch.from_numpy(table) for name, table in make_tables().items()}
    metadata = {
        "settings": json.dumps(settings.to_dict()),
        "speakers": json.dumps(list(speakers), ensure_ascii=False),
        "training": json.dumps(training, ensure_ascii=False, allow_nan=False),
        "codes_of_model": codes_of_model,
        "codebook_size": str(codebook_size),
        "hop_length": str(hop_length),
        "sample_rate": str(sample_rate),
    }
    return tensorfile.write(path, KIND, tensors, metadata)


def read(path: str | Path) -> PriorFile:
    """Read a prior's file, checksum verified; raises ModelError for one that is damaged, forged, foreign or of another format."""
    file = tensorfile.read_header(path, KIND)
    path, facts = file.path, _facts(file)
    settings, speakers, size = facts["settings"], facts["speakers"], facts["codebook_size"]

    def build() -> Prior:
        with torch.random.fork_rng(devices=[]):
            return Prior(size, len(speakers), **dataclasses.asdict(settings.prior)).eval()

    with torch.device("meta"):  # shapes without memory
        expected = {name: Layout.of(tensor) for name, tensor in build().state_dict().items()}
    file.require(expected | {name: Layout.of(torch.from_numpy(table)) for name, table in make_tables().items()})
    tensors, model = file.tensors(), build()
    model.load_state_dict({name: tensor for name, tensor in tensors.items() if not name.startswith(TABLES)})
    try:
        integers = IntegerPrior(
            {name: tensor.numpy() for name, tensor in tensors.items()}, model.wavenet.stack.dilations
        )
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    return PriorFile(path, model, integers, checksum=file.metadata[tensorfile.CHECKSUM], **facts)


def _facts(file: TensorFile) -> dict:
    """Everything but the tensors, as ``PriorFile`` names it."""
    path, metadata = file.path, file.metadata
    try:
        settings = _config.from_dict(json.loads(metadata["settings"]), kind=PriorSettings)
        model_limits.require_short_past(
            "prior", settings.prior.layers, settings.prior.dilation_cycle, settings.prior.kernel
        )
        speakers, training = json.loads(metadata["speakers"]), json.loads(metadata["training"])
        if not isinstance(training, dict) or not isinstance(speakers, list):
            raise ValueError("training is a section, speakers are a list")
        if not all(isinstance(name, str) for name in speakers) or len(set(speakers)) < len(speakers):
            raise ValueError("every speaker has one name")
        checksums = (metadata["codes_of_model"], metadata[tensorfile.CHECKSUM])
        if not all(re.fullmatch("[0-9a-f]*", checksum) for checksum in checksums):
            raise ValueError("checksums are hexadecimal")
        numbers = {key: int(metadata[key]) for key in NUMBERS}
        for key, (low, high) in NUMBERS.items():
            if not low <= numbers[key] <= high:
                raise ConfigError(f"{key}: must be {low} to {high}, not {numbers[key]}")
    except ConfigError as error:
        raise ModelError(f"{path}: its settings do not fit this version: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(f"{path}: its header is damaged; copy it again") from None
    return {
        "settings": settings, "speakers": tuple(speakers), "training": training, "codes_of_model": checksums[0], **numbers,
    }  # fmt: skip
