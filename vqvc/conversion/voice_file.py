"""The voice file: an enrolled voice of one model, as a small safetensors file.

    tensors      vector (speaker_dim,), global_variance (coefficients,), f0 (2,): median and deviation of log2 of Hz;
                 adaptation.up, adaptation.down, adaptation.offset: float16, see ``nn.adaptation``
    metadata     voice_version; model (checksum of the model file), name, provenance (JSON); checksum over all of these

``vqvc.conversion.enrollment`` makes one. It means something to its own model only: any other refuses it. Version 1 had no
adaptation; its files are read.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vqvc._util import tensorfile
from vqvc._util.tensorfile import Layout
from vqvc.config import DecoderConfig
from vqvc.errors import ModelError, UsageError
from vqvc.nn.adaptation import PARTS, Adaptation
from vqvc.nn.conditioning import TAPS

SUFFIX = ".voice"
LONGEST_NAME = 100  # characters
LARGEST = 1 << 22  # numbers in a tensor
ADAPTATION = "adaptation."  # how the names of its tensors begin
KIND = tensorfile.Kind(
    what="a voice file",
    version_key="voice_version",
    version=2,
    readable=(1,),
    keys=("voice_version", "model", "name", "provenance"),
    pickle="give a file of vqvc-enroll",
    absent="make one with vqvc-enroll",
    foreign="vqvc-enroll writes voice files",
)


@dataclass(frozen=True, eq=False)
class EnrolledVoice:
    """A voice outside a model's speaker table.

    vector: (speaker_dim,) float32; global_variance: (coefficients,) float32, or None for a model without the auxiliary log-mel head;
    f0: median and standard deviation of log2 of Hz where voiced; model: checksum of the model file; provenance: what it was made of;
    adaptation: of the model's conditioner, or None; its numbers are those of float16, which the file keeps.
    """

    name: str
    vector: Tensor
    global_variance: Tensor | None
    f0: tuple[float, float]
    model: str
    provenance: dict
    adaptation: Adaptation | None = None

    def __post_init__(self):
        require_name(self.name)

    def save(self, path: str | Path) -> str:
        """Write the voice file atomically; returns its checksum."""
        tensors = {"vector": self.vector, "f0": torch.tensor(self.f0)}
        if self.global_variance is not None:
            tensors["global_variance"] = self.global_variance
        if self.adaptation is not None:
            tensors |= {ADAPTATION + name: part.half() for name, part in self.adaptation.parts().items()}
        provenance = json.dumps(self.provenance, ensure_ascii=False, allow_nan=False)
        return tensorfile.write(path, KIND, tensors, {"model": self.model, "name": self.name, "provenance": provenance})

    def require_model(self, checksum: str, config: DecoderConfig, model: object = "this model") -> None:
        """Raise ModelError unless the voice was enrolled with the model file of that checksum. model: its name in the message."""
        if self.model != checksum:
            raise ModelError(
                f"the voice {self.name!r} was enrolled with another model than {model} and means nothing to it; "
                "enroll it again with this one"
            )
        if self.vector.shape != (config.speaker_dim,):
            raise ModelError(
                f"the voice {self.name!r} has {len(self.vector)} numbers, {model} takes {config.speaker_dim}; enroll it again"
            )
        channels = config.conditioning_channels
        fits = self.adaptation is None or self.adaptation.fits(config.conditioning_layers, channels, TAPS * channels)
        if not fits:
            raise ModelError(f"the voice {self.name!r} changes layers that {model} does not have; enroll it again")


def require_name(name: str) -> None:
    """Raise UsageError for a name that files and tables cannot carry."""
    sound = isinstance(name, str) and name.isprintable() and name == name.strip()
    if not sound or not 1 <= len(name) <= LONGEST_NAME:
        raise UsageError(f"the name {name!r} of a voice: give one of 1 to {LONGEST_NAME} printable characters")


def read(path: str | Path) -> EnrolledVoice:
    """The voice of a voice file, checksum verified. Raises ModelError for one that is damaged, forged or foreign."""
    file = tensorfile.read_header(path, KIND)
    scalar = {name: layout for name, layout in file.layouts.items() if name in ("vector", "global_variance")}
    expected = {name: Layout((math.prod(layout.shape),), torch.float32) for name, layout in scalar.items()}
    if "vector" not in scalar or any(math.prod(layout.shape) > LARGEST for layout in file.layouts.values()):
        raise ModelError(f"{path}: holds no speaker vector; enroll the voice again")
    if any(name.startswith(ADAPTATION) for name in file.layouts):
        for name in map(ADAPTATION.__add__, PARTS):
            expected[name] = Layout(file.layouts[name].shape if name in file.layouts else (), torch.float16)
    file.require({**expected, "f0": Layout((2,), torch.float32)})
    tensors = file.tensors()
    parts = {name: tensors[ADAPTATION + name].float() for name in PARTS if ADAPTATION + name in tensors}
    try:
        provenance = json.loads(file.metadata["provenance"])
        if not isinstance(provenance, dict) or not re.fullmatch("[0-9a-f]{64}", file.metadata["model"]):
            raise ValueError("provenance is a section, the model's checksum is hexadecimal")
        median, deviation = tensors["f0"].tolist()
        return EnrolledVoice(
            file.metadata["name"], tensors["vector"], tensors.get("global_variance"), (median, deviation),
            file.metadata["model"], provenance, Adaptation(**parts) if parts else None,
        )  # fmt: skip
    except (UsageError, ValueError, KeyError, TypeError, RecursionError):
        raise ModelError(f"{path}: its header is damaged; enroll the voice again") from None
