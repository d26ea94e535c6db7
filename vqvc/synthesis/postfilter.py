"""The post-filter: speech gets the spectral envelope that the WaveNet was told, and the liveliness that noise took from it.

Samples drawn from distributions that are a little too wide are a little too noisy: noise lifts what should be quiet and
fills the valleys between formants, most of all in a voice that the source's codes were never heard with. Both show in the
cepstra of log-mel frames, and both are put right there, by one gain for every band and frame:

    gain = smooth(told - said)   slow differences from the envelope that codes and speaker tell (the auxiliary head's)
         + (SPREAD - 1) (said - average of said)   formants move further, about as far as in natural speech

The second line is a global-variance post-filter (Toda & Tokuda 2007) with factors that are the same for every voice.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from vqvc.nn.vqvae import VQVAE

COEFFICIENTS = 30  # cepstral coefficients of the envelope; finer differences are the head's smoothness
SMOOTH_S = 0.2  # length of the Hann window over which differences are averaged
AVERAGE_S = 0.4  # length of the one over which speech is averaged, from which it moves further
SPREAD = (1.1, 1.45)  # of the first and the last coefficient, those between on a line; noise takes more of fine structure
LOWEST, HIGHEST = -20.0, 10.0  # dB


class PostFilter:
    """(samples (T,), told (F, bands)) -> (T,), for one model; T = F * conditioning hop, at the level of training.

    told: log-mel frames from ``VQVAE.told_mel``.
    """

    def __init__(self, model: VQVAE):
        self.mel = model.mel
        rate = model.config.audio.sample_rate / self.mel.hop
        self.smooth, self.average = (_hann(seconds * rate) for seconds in (SMOOTH_S, AVERAGE_S))
        bands = self.mel.filters.shape[0]
        order = torch.arange(min(COEFFICIENTS, bands))[:, None]
        basis = torch.cos(math.pi / bands * order * (torch.arange(bands) + 0.5)) * math.sqrt(2 / bands)
        basis[0] /= math.sqrt(2)
        self.basis = basis  # (coefficients, bands), orthonormal rows of the discrete cosine transform
        self.further = torch.linspace(*SPREAD, len(basis)) - 1
        self.further[0] = 0  # loudness stays
        self.of_bin = self.mel.filters / self.mel.filters.sum(0).clamp(min=1e-6)  # (bands, bins): shares sum to 1

    @torch.inference_mode()
    def __call__(self, samples: np.ndarray, told: Tensor) -> np.ndarray:
        waveform = torch.from_numpy(samples)
        gain = self.gain(self.mel(waveform[None])[0].T, told)
        shaped = self._apply(waveform, gain @ self.of_bin)
        return (shaped * (waveform.norm() / shaped.norm().clamp(min=1e-9))).numpy()  # as loud as it was

    def gain(self, said: Tensor, told: Tensor) -> Tensor:
        """Nepers (F, bands) that bring the log-mel frames ``said`` (F, bands) to those ``told``."""
        cepstra = said @ self.basis.T
        change = _average((told - said) @ self.basis.T, self.smooth)
        change = change + self.further * (cepstra - _average(cepstra, self.average))
        nepers = change @ self.basis * (self.mel.SCALE / 2)  # the frames are of scaled log power
        return nepers.clamp(*(limit * math.log(10) / 20 for limit in (LOWEST, HIGHEST)))

    def _apply(self, waveform: Tensor, gain: Tensor) -> Tensor:
        """The waveform (T,) with its short-time spectrum times exp(gain) (F, bins); frames are those of ``LogMel``."""
        n_fft, hop = self.mel.n_fft, self.mel.hop
        left = n_fft // 2 - hop // 2
        padded = nn.functional.pad(waveform, (left, n_fft))
        windows = padded.unfold(0, n_fft, hop) * self.mel.window
        gain = torch.cat([gain, gain[-1:].expand(len(windows) - len(gain), -1)])  # frames past the end, which reach back
        shaped = torch.fft.irfft(torch.fft.rfft(windows) * gain.exp(), n=n_fft) * self.mel.window
        said = _overlap_add(shaped, hop) / _overlap_add(self.mel.window.square().expand(len(windows), -1), hop).clamp(min=1e-3)
        return said[left : left + len(waveform)]


def _hann(frames: float) -> Tensor:
    """Weights (odd,) that sum to 1."""
    length = 2 * (round(frames) // 2) + 1
    window = torch.hann_window(length + 2, periodic=False)[1:-1]
    return window / window.sum()


def _average(frames: Tensor, weights: Tensor) -> Tensor:
    """Weighted running mean of frames (F, C) over time; the ends go on as they are."""
    half = len(weights) // 2
    padded = nn.functional.pad(frames.T[:, None], (half, half), mode="replicate")
    return nn.functional.conv1d(padded, weights[None, None])[:, 0].T


def _overlap_add(windows: Tensor, hop: int) -> Tensor:
    """Sum of windows (F, N), each hop samples after the one before: ((F - 1) * hop + N,)."""
    length = (len(windows) - 1) * hop + windows.shape[1]
    return nn.functional.fold(windows.T[None], (1, length), (1, windows.shape[1]), stride=(1, hop))[0, 0, 0]
