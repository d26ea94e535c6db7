"""Speaker encoders: they map a recording to a unit vector; recordings of one speaker have similar vectors."""

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
PART_FRAMES = 160  # 1.6 s, as in the network's training
PARTS_PER_SECOND = 1.3  # overlapping parts
LEAST_COVERAGE = 0.75  # share of the last part that must lie inside the recording
TOGETHER = 64  # batch size of the network
LEVEL_DBFS = -30.0  # quieter recordings are amplified to this level


class SpeakerEncoder(Protocol):
    """The interface of a speaker encoder. Its methods must be thread-safe.

    name: of the encoder. checksum: SHA-256 of its weights. recipe: a sentence for the definition of a figure.
    """

    name: str
    checksum: str
    recipe: str

    def embed(self, recordings: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
        """Embed N recordings of samples (T,) float: (N, D) float64, rows of unit length."""
        ...


class _Network(nn.Module):
    """Three LSTM layers on mel frames; the projected last state, after a ReLU, as a unit vector (Wan et al. 2018)."""

    def __init__(self, hidden: int = 256, size: int = 256):
        super().__init__()
        self.lstm = nn.LSTM(BANDS, hidden, 3, batch_first=True)
        self.linear = nn.Linear(hidden, size)

    def forward(self, mels: torch.Tensor) -> torch.Tensor:
        """Map mel frames (B, PART_FRAMES, BANDS) float32, power without a logarithm, to (B, size)."""
        _, (state, _) = self.lstm(mels)
        raw = self.linear(state[-1]).relu()
        return raw / raw.norm(dim=1, keepdim=True).clamp_min(1e-12)


class GE2E:
    """The GE2E encoder of Resemblyzer 0.1.4 (Wan et al. 2018; 256 dimensions), reimplemented for its weights.

    weights: ``pretrained.pt``; by default that of the installed package Resemblyzer, which is not imported (its import
    needs webrtcvad and an old setuptools). Long silences are not removed, unlike in Resemblyzer.

    Raises MissingExtraError if the package is not installed, ModelError if the file does not fit.
    """

    name = "GE2E (Resemblyzer 0.1.4)"
    recipe = "GE2E speaker encoder with the weights of Resemblyzer 0.1.4 (parts of 1.6 s averaged, silences kept)"

    def __init__(self, weights: str | Path | None = None):
        remedy = "pip install --no-deps Resemblyzer==0.1.4 is enough"
        path = Path(weights) if weights else extras.file_of("resemblyzer", "pretrained.pt", "speaker", remedy)
        self._network = _Network()
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
            self._network.load_state_dict({name: state[name] for name in self._network.state_dict()})
        except FileNotFoundError:
            raise ModelError(f"{path}: no such file") from None
        except (OSError, KeyError, TypeError, RuntimeError, EOFError, ValueError, _unpickling_error()) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(f"{path}: is not the weights file of Resemblyzer: {reason}") from None
        self._network.eval()
        self.checksum = sha256_of_file(path)

    @torch.inference_mode()
    def embed(self, recordings: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
        """See ``SpeakerEncoder``. The parts of all recordings share batches, which is much faster."""
        parts = [mel_parts(samples, sample_rate) for samples in recordings]
        stacked = torch.from_numpy(np.concatenate(parts))
        embeddings = torch.cat([self._network(batch) for batch in stacked.split(TOGETHER)]).double().numpy()
        ends = np.cumsum([len(part) for part in parts])
        return np.stack([centre(rows) for rows in np.split(embeddings, ends[:-1])])


def mel_parts(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mel frames (P, PART_FRAMES, BANDS) float32 of overlapping parts of a recording, for the network."""
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
    """The first frame of each part of a recording. A last part with less than LEAST_COVERAGE is left out."""
    frames = -(-(length_samples + 1) // STEP_SAMPLES)
    step = round(SAMPLE_RATE / PARTS_PER_SECOND / STEP_SAMPLES)
    starts = list(range(0, max(1, frames - PART_FRAMES + step + 1), step))
    covered = (length_samples - starts[-1] * STEP_SAMPLES) / (PART_FRAMES * STEP_SAMPLES)
    return starts[:-1] if covered < LEAST_COVERAGE and len(starts) > 1 else starts


def _raised(samples: np.ndarray) -> np.ndarray:
    """Amplify samples to a root mean square of LEVEL_DBFS if they are quieter."""
    level = float(np.sqrt(np.mean(samples.astype(np.float64) ** 2))) if len(samples) else 0.0
    target = 10 ** (LEVEL_DBFS / 20)
    return (samples * (target / level)).astype(np.float32) if 0 < level < target else samples


def make_speaker_encoder(spec: str) -> SpeakerEncoder:
    """Make the speaker encoder that a command line names.

    spec: ``ge2e``, ``campplus``, ``ge2e:FILE`` or ``campplus:FILE``, with a file of weights; UsageError is raised for
    anything else.
    """
    from vqvc.evaluation.judges.cam_plus import CamPlus

    kind, _, path = spec.partition(":")
    known = {"ge2e": GE2E, "campplus": CamPlus}
    if kind not in known:
        names = ", ".join(f"{name}, {name}:FILE" for name in known)
        raise UsageError(f"speaker encoder {spec!r} is not one of {names}")
    return known[kind](path or None)


def centre(embeddings: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """The mean of unit vectors (U, D), scaled to unit length: (D,)."""
    mean = np.mean(np.asarray(embeddings, dtype=np.float64), axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _unpickling_error() -> type[Exception]:
    import pickle

    return pickle.UnpicklingError
