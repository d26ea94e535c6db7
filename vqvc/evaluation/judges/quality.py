"""Predictors of speech quality: mean opinion scores without a reference."""

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

SAMPLE_RATE = 16000  # Hz, of both predictors
DNSMOS_WINDOW_S = 9.01
DNSMOS_WINDOW = int(DNSMOS_WINDOW_S * SAMPLE_RATE)
DNSMOS_OVERALL = (-0.06766283, 1.11546468, 0.04602535)  # polynomial from the network's output to the score


class QualityJudge(Protocol):
    """The interface of a quality predictor.

    name: of its figure. recipe: a sentence for the definition of the figure. checksum: SHA-256 of its weights.
    """

    name: str
    recipe: str
    checksum: str

    def score(self, samples: np.ndarray, sample_rate: int) -> float:
        """Predict the score of samples (T,) float, from 1 (bad) to 5 (excellent)."""
        ...


class Dnsmos:
    """DNSMOS, overall score (Reddy et al. 2022), with the network of the package speechmos, which is not imported.

    Windows and polynomial are those of the package. Its second network (P.808) is not needed and does not run. Raises
    MissingExtraError if the package or onnxruntime is not installed.
    """

    name = "overall"
    recipe = "DNSMOS overall, predicted without a reference (weights of speechmos)"

    def __init__(self) -> None:
        runtime = extras.load("onnxruntime", "quality")
        path = extras.file_of("speechmos", "dnsmos_models/sig_bak_ovr.onnx", "quality")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.checksum = sha256_of_file(path)

    def score(self, samples: np.ndarray, sample_rate: int) -> float:
        """See ``QualityJudge``."""
        from vqvc.audio.resample import resample

        samples = np.clip(resample(np.asarray(samples, np.float32), sample_rate, SAMPLE_RATE), -1, 1)
        raw = [self._session.run(None, {"input_1": row[None]})[0][0, 2] for row in dnsmos_windows(samples)]
        return float(np.mean(np.polyval(DNSMOS_OVERALL, raw)))


def dnsmos_windows(samples: np.ndarray) -> np.ndarray:
    """Windows (W, DNSMOS_WINDOW) float32 at intervals of 1 s. Samples (T,) shorter than a window are repeated."""
    samples = np.asarray(samples, np.float32)
    if not len(samples):
        samples = np.zeros(1, np.float32)
    while len(samples) < DNSMOS_WINDOW:
        samples = np.concatenate([samples, samples])
    count = int(len(samples) // SAMPLE_RATE - DNSMOS_WINDOW_S) + 1
    starts = [int(index * SAMPLE_RATE) for index in range(count)]
    rows = [samples[start : int((index + DNSMOS_WINDOW_S) * SAMPLE_RATE)] for index, start in enumerate(starts)]
    return np.stack([row for row in rows if len(row) >= DNSMOS_WINDOW])


class DistillMos:
    """DistillMOS (Stahl and Gamper 2025), by the package distillmos, which contains its weights.

    The package imports torchaudio, which only its command line uses. If torchaudio is not installed, an empty module
    replaces it while the package is imported. Raises MissingExtraError if distillmos cannot be imported.
    """

    name = "distillmos"
    recipe = "DistillMOS, predicted without a reference (distillmos 0.9.1)"

    def __init__(self) -> None:
        with _torchaudio_or_empty():
            package = extras.load("distillmos", "distillmos")
        with contextlib.redirect_stdout(io.StringIO()):  # it prints the path of its weights
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
    """The predictors whose packages are installed. Raises MissingExtraError if there are none."""
    judges: list[QualityJudge] = []
    missing = None
    for make in (Dnsmos, DistillMos):
        try:
            judges.append(make())
        except MissingExtraError as error:
            missing = missing or error
    if not judges and missing:
        raise missing
    return judges


@contextlib.contextmanager
def _torchaudio_or_empty() -> Iterator[None]:
    """Context with an empty module ``torchaudio`` if the package is not installed."""
    if "torchaudio" in sys.modules or importlib.util.find_spec("torchaudio"):
        yield
        return
    sys.modules["torchaudio"] = ModuleType("torchaudio")
    try:
        yield
    finally:
        del sys.modules["torchaudio"]
