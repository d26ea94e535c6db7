"""Speaker encoders: a recording in, a direction in which recordings of one speaker lie close together out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from vqvc._util import extras
from vqvc._util.checksum import sha256_of_file
from vqvc.errors import ModelError, UsageError

SAMPLE_RATE = 16000  # Hz
BANDS, WINDOW_SAMPLES, STEP_SAMPLES = 40, 400, 160  # 25 ms every 10 ms
PART_FRAMES = 160  # 1.6 s: what the network was trained on
PARTS_PER_SECOND = 1.3
LEAST_COVERAGE = 0.75  # of a last part that is filled up with silence
TOGETHER = 64  # parts that go through the network at once
LEVEL_DBFS = -30.0  # quieter recordings are raised to it


class SpeakerEncoder(Protocol):
    """What every speaker encoder has; threads may share one.

    name: which one; checksum: sha256 of its weights; recipe: one sentence for the definition of a figure.
    """

    name: str
    checksum: str
    recipe: str

    def embed(self, recordings: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
        """(N, D) float64, rows of unit length, for N recordings of (T,) float samples."""
        ...


class _Network(nn.Module):
    """Three layers of LSTM over mel frames; the last state, rectified, as a unit vector (Wan et al. 2018)."""

    def __init__(self, hidden: int = 256, size: int = 256):
        super().__init__()
        self.lstm = nn.LSTM(BANDS, hidden, 3, batch_first=True)
        self.linear = nn.Linear(hidden, size)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """mels: (B, PART_FRAMES, BANDS) float32, power and not its logarithm. Returns (B, size)."""
        _, (state, _) = self.lstm(mels)
        raw = self.linear(state[-1]).relu()
        return raw / raw.norm(dim=1, keepdim=True).clamp_min(1e-12)


class GE2E:
    """The encoder of Resemblyzer 0.1.4 (Wan et al. 2018; 256 numbers): its weights, with a forward pass of our own.

    weights: ``pretrained.pt`` of the package Resemblyzer, which is found but never imported (its import needs webrtcvad
    and an old setuptools). Long silences are not cut out. Raises MissingExtraError without the package, ModelError for
    a file of another shape.
    """

    name = "GE2E (Resemblyzer 0.1.4)"
    recipe = "GE2E speaker encoder with the weights of Resemblyzer 0.1.4 (parts of 1.6 s averaged, silences kept)"

    def __init__(self, weights: str | Path | None = None):
        remedy = "pip install --no-deps Resemblyzer==0.1.4 is enough"
        path = Path(weights) if weights else extras.file_of("resemblyzer", "pretrained.pt", "speaker", remedy)
        self._network = _Network()
        try:
            found = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            wanted = {name: found[name] for name in self._network.state_dict()}
            self._network.load_state_dict(wanted)
        except FileNotFoundError:
            raise ModelError(f"{path}: no such file") from None
        except (OSError, KeyError, TypeError, RuntimeError, EOFError, ValueError, _unpickling_error()) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(f"{path}: is not the weights file of Resemblyzer: {reason}") from None
        self._network.eval()
        self.checksum = sha256_of_file(path)

    @torch.inference_mode()
    def embed(self, recordings: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
        """See ``SpeakerEncoder``. Parts of all recordings go through the network together, which is much faster."""
        parts = [mel_parts(samples, sample_rate) for samples in recordings]
        stacked = torch.from_numpy(np.concatenate(parts))
        found = torch.cat([self._network(batch) for batch in stacked.split(TOGETHER)]).double().numpy()
        ends = np.cumsum([len(part) for part in parts])
        return np.stack([centre(rows) for rows in np.split(found, ends[:-1])])


def mel_parts(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """(P, PART_FRAMES, BANDS) float32: overlapping parts of a recording as the network reads them."""
    import librosa

    from vqvc.audio.resample import resample

    samples = _raised(resample(np.asarray(samples, np.float32), sample_rate, SAMPLE_RATE))
    starts = part_starts(len(samples))
    missing = (starts[-1] + PART_FRAMES) * STEP_SAMPLES - len(samples)
    if missing >= 0:
        samples = np.pad(samples, (0, missing))
    mel = librosa.feature.melspectrogram(
        y=samples, sr=SAMPLE_RATE, n_fft=WINDOW_SAMPLES, hop_length=STEP_SAMPLES, n_mels=BANDS
    ).T.astype(np.float32)
    return np.stack([mel[start : start + PART_FRAMES] for start in starts])


def part_starts(length_samples: int) -> list[int]:
    """The first frame of every part of a recording; a last part with too little in it is left out, if it is not the only one."""
    frames = -(-(length_samples + 1) // STEP_SAMPLES)
    step = round(SAMPLE_RATE / PARTS_PER_SECOND / STEP_SAMPLES)
    starts = list(range(0, max(1, frames - PART_FRAMES + step + 1), step))
    covered = (length_samples - starts[-1] * STEP_SAMPLES) / (PART_FRAMES * STEP_SAMPLES)
    return starts[:-1] if covered < LEAST_COVERAGE and len(starts) > 1 else starts


def _raised(samples: np.ndarray) -> np.ndarray:
    """``samples`` with a root mean square of at least LEVEL_DBFS."""
    level = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0
    wanted = 10 ** (LEVEL_DBFS / 20)
    return (samples * (wanted / level)).astype(np.float32) if 0 < level < wanted else samples


def make_speaker_encoder(spec: str) -> SpeakerEncoder:
    """``ge2e`` or ``campplus``, or one of them with a file of its weights behind a colon; raises UsageError for anything else."""
    from vqvc.evaluation.judges.cam_plus import CamPlus

    kind, _, path = spec.partition(":")
    known = {"ge2e": GE2E, "campplus": CamPlus}
    if kind not in known:
        names = ", ".join(f"{name}, {name}:FILE" for name in known)
        raise UsageError(f"speaker encoder {spec!r} is not one of {names}")
    return known[kind](path or None)


def centre(embeddings: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The direction in the middle of unit vectors (U, D): (D,) of unit length."""
    mean = np.mean(np.asarray(embeddings, dtype=np.float64), axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _unpickling_error() -> type[Exception]:
    import pickle

    return pickle.UnpicklingError
