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
DNSMOS_WINDOW_S = 9.01
DNSMOS_WINDOW = int(DNSMOS_WINDOW_S * SAMPLE_RATE)
DNSMOS_OVERALL = (-0.06766283, 1.11546468, 0.04602535)  # polynomial from the network's output to the score


class QualityJudge(Protocol):
    """What every judge of quality has. name: of the figure; recipe: one sentence for its definition; checksum: of weights."""

    name: str
    recipe: str
    checksum: str

    def score(self, samples: np.ndarray, sample_rate: int) -> float:
        """From 1 (bad) to 5 (excellent), for (T,) float samples."""
        ...


class Dnsmos:
    """DNSMOS, overall (Reddy et al. 2022): the network of the package speechmos, which is found but never imported.

    Windows and polynomial are those of the package; its second network (P.808), which is not needed here, does not run,
    and no threads are started. Raises MissingExtraError without the package or onnxruntime.
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
        """See ``QualityJudge``; another rate is resampled."""
        from vqvc.audio.resample import resample

        samples = np.clip(resample(np.asarray(samples, np.float32), sample_rate, SAMPLE_RATE), -1, 1)
        raw = [self._session.run(None, {"input_1": row[None]})[0][0, 2] for row in dnsmos_windows(samples)]
        return float(np.mean(np.polyval(DNSMOS_OVERALL, raw)))


def dnsmos_windows(samples: np.ndarray) -> np.ndarray:
    """(W, DNSMOS_WINDOW) float32: windows every second of (T,) samples, which are repeated while they are too short."""
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
