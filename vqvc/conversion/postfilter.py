"""The post-filter: corrects the spectral envelope and the global variance of synthesized speech.

Samples drawn from distributions that are a little too wide are a little too noisy: noise lifts what should be quiet and
fills the valleys between formants, most of all for speakers with whom the source's codes did not occur in training. Both show
in the cepstra of log-mel frames, and both are corrected there, by one gain for every band and frame:

    corrected = made + smooth(predicted - made)             predicted: the auxiliary head's frames, from codes and speaker
    gain = average + spread (corrected - average) - made    spread: from the speaker's global variance

``spread`` brings the variance of each coefficient to that of the speaker's natural speech (Toda & Tokuda 2007), which the
model keeps for each speaker.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.nn.cepstra import Cepstra
from vqvc.nn.vqvae import VQVAE

SMOOTH_S = 0.2  # length of the Hann window over which differences are averaged
LEAST_SPREAD, MOST_SPREAD = 0.9, 1.8
UNSURE_S = 0.3  # s of loud speech at which its variance counts half: the variance of a single vowel means little
LOWEST_DB, HIGHEST_DB = -20.0, 10.0  # of the gain


class PostFilter:
    """(samples (T,), predicted (F, bands), speaker) -> (T,), for one model; T = F * conditioning hop, at the level of training.

    predicted: log-mel frames of ``VQVAE.predicted_mel``; speaker: index in the model's table, or an enrolled voice.
    """

    def __init__(self, model: VQVAE):
        self.model, self.mel, self.global_variance = model, model.mel, model.global_variance
        self.cepstra = Cepstra(self.mel.filters.shape[0]).to(self.mel.filters.device)
        self.rate = model.config.audio.sample_rate / self.mel.hop  # frames a second
        self.of_bin = self.mel.filters / self.mel.filters.sum(0).clamp(min=1e-6)  # (bands, bins): shares sum to 1

    @torch.inference_mode()
    def __call__(self, samples: np.ndarray, predicted: Tensor, speaker: int | EnrolledVoice) -> np.ndarray:
        waveform = torch.from_numpy(samples).to(self.of_bin.device)
        gain = self.gain(self.mel(waveform[None])[0].T, predicted, speaker_variance(self.model, speaker))
        shaped = self._apply(waveform, gain @ self.of_bin)
        return (shaped * (waveform.norm() / shaped.norm().clamp(min=1e-9))).cpu().numpy()  # as loud as it was

    def gain(self, made: Tensor, predicted: Tensor, variance: Tensor) -> Tensor:
        """Nepers (F, bands) that bring the log-mel frames ``made`` (F, bands) to those ``predicted`` and to ``variance``.

        variance: (coefficients,) of the speaker's natural speech; zeros where it is not known.
        """
        before = self.cepstra(made)
        after = before + _smooth(self.cepstra(predicted - made), self.rate * SMOOTH_S)
        loud = self.cepstra.loud(after)
        average = after[loud].mean(0)
        sure = loud.sum() / (loud.sum() + self.rate * UNSURE_S)
        own = torch.lerp(variance, self.cepstra.variance(after), sure)
        spread = torch.where(variance > 0, variance / own.clamp(min=1e-9), 1.0).sqrt().clamp(LEAST_SPREAD, MOST_SPREAD)
        spread[0] = 1.0  # loudness moves as it did
        nepers = self.cepstra.frames(average + spread * (after - average) - before) * (self.mel.SCALE / 2)
        return nepers.clamp(*(limit * math.log(10) / 20 for limit in (LOWEST_DB, HIGHEST_DB)))

    def _apply(self, waveform: Tensor, gain: Tensor) -> Tensor:
        """The waveform (T,) with its short-time spectrum times exp(gain) (F, bins); frames are those of ``LogMel``."""
        n_fft, hop = self.mel.n_fft, self.mel.hop
        left = n_fft // 2 - hop // 2
        padded = nn.functional.pad(waveform, (left, n_fft))
        windows = padded.unfold(0, n_fft, hop) * self.mel.window
        gain = torch.cat(
            [gain, gain[-1:].expand(len(windows) - len(gain), -1)]
        )  # frames past the end, which reach back
        shaped = torch.fft.irfft(torch.fft.rfft(windows) * gain.exp(), n=n_fft) * self.mel.window
        weight = self.mel.window.square().expand(len(windows), -1)
        made = _overlap_add(shaped, hop) / _overlap_add(weight, hop).clamp(min=1e-3)
        return made[left : left + len(waveform)]


def speaker_variance(model: VQVAE, speaker: int | EnrolledVoice) -> Tensor:
    """(coefficients,): the global variance of a speaker's natural speech; zeros where it is not known."""
    table = model.global_variance
    if isinstance(speaker, int):
        return table[speaker]
    return torch.zeros_like(table[0]) if speaker.global_variance is None else speaker.global_variance.to(table.device)


def _smooth(frames: Tensor, length: float) -> Tensor:
    """Frames (F, C) averaged over time by a Hann window of about ``length`` frames; the ends go on as they are."""
    half = round(length) // 2
    window = torch.hann_window(2 * half + 3, periodic=False, device=frames.device)[1:-1]
    padded = nn.functional.pad(frames.T[:, None], (half, half), mode="replicate")
    return nn.functional.conv1d(padded, (window / window.sum())[None, None])[:, 0].T


def _overlap_add(windows: Tensor, hop: int) -> Tensor:
    """Sum of windows (F, N), each hop samples after the one before: ((F - 1) * hop + N,)."""
    length = (len(windows) - 1) * hop + windows.shape[1]
    return nn.functional.fold(windows.T[None], (1, length), (1, windows.shape[1]), stride=(1, hop))[0, 0, 0]
