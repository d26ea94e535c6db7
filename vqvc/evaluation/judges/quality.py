"""Judges of quality: a recording in, a mean opinion score out, predicted without a reference."""

import contextlib
import importlib.util
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Protocol

import numpy as np

from vqvc._util import extras
from vqvc._util.checksum import sha256_of_file
from vqvc.errors import MissingExtraError

SAMPLE_RATE = 16000  # Hz, of both


class QualityJudge(Protocol):
    """What every judge of quality has. name: of the figure; recipe: one sentence for its definition; checksum: of weights."""

    name: str
    recipe: str
    checksum: str

    def score(self, samples: np.ndarray, sample_rate: int) -> float:
        """From 1 (bad) to 5 (excellent), for (T,) float samples."""
        ...


class Dnsmos:
    """DNSMOS, overall (Reddy et al. 2022), by the package speechmos, which carries its weights."""

    name = "overall"
    recipe = "DNSMOS overall, predicted without a reference (speechmos)"
    checksum = ""

    def __init__(self) -> None:
        self._run = extras.load("speechmos.dnsmos", "quality").run

    def score(self, samples: np.ndarray, sample_rate: int) -> float:
        """See ``QualityJudge``."""
        return float(self._run(np.clip(samples, -1, 1), sr=sample_rate)["ovrl_mos"])


class DistillMos:
    """DistillMOS (Stahl and Gamper 2025), by the package distillmos, which carries its weights.

    The package imports torchaudio, which it uses in its own command alone; where torchaudio cannot be imported, an empty
    module stands in for it while the package is loaded. Raises MissingExtraError when distillmos cannot be imported.
    """

    name = "distillmos"
    recipe = "DistillMOS, predicted without a reference (distillmos 0.9.1)"

    def __init__(self) -> None:
        with _torchaudio_or_empty():
            package = extras.load("distillmos", "distillmos")
        with contextlib.redirect_stdout(io.StringIO()):  # it prints where its weights lie
            self._model = package.ConvTransformerSQAModel()
        self._model.eval()
        weights = sorted((Path(package.__file__).parent / "weights").glob("*.pt"))
        self.checksum = sha256_of_file(weights[-1]) if weights else ""

    def score(self, samples: np.ndarray, sample_rate: int) -> float:
        """See ``QualityJudge``."""
        import torch

        from vqvc.audio.resample import resample

        samples = resample(np.asarray(samples, np.float32), sample_rate, SAMPLE_RATE)
        with torch.inference_mode():
            return float(self._model(torch.from_numpy(np.ascontiguousarray(samples))[None])[0])


def available_judges() -> list[QualityJudge]:
    """The judges whose packages are installed; raises MissingExtraError when there is none."""
    found: list[QualityJudge] = []
    missing = None
    for make in (Dnsmos, DistillMos):
        try:
            found.append(make())
        except MissingExtraError as error:
            missing = missing or error
    if not found and missing:
        raise missing
    return found


@contextlib.contextmanager
def _torchaudio_or_empty() -> Iterator[None]:
    """An empty ``torchaudio`` while it is needed, where the real one is absent or broken."""
    if "torchaudio" in sys.modules or importlib.util.find_spec("torchaudio"):
        yield
        return
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    try:
        yield
    finally:
        del sys.modules["torchaudio"]
