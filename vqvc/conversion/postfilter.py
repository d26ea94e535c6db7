"""The post-filter: corrects the spectral envelope and the global variance of synthesized speech.

If the sampled distributions are slightly too wide, the speech is slightly noisy. The noise raises quiet parts and fills
the valleys between formants, above all for combinations of codes and speaker that did not occur in training. Both
effects are corrected in the cepstra of log-mel frames, by one gain per band and frame:

    corrected = made + smooth(predicted - made)             made: frames of the speech; predicted: of the auxiliary head
    gain = average + spread (corrected - average) - made    average: over loud frames

``spread`` scales the variance of each coefficient to that of the speaker's natural speech (Toda & Tokuda 2007), which
the model stores for each speaker.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn

from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.nn.cepstra import Cepstra
from vqvc.nn.vqvae import VQVAE

SMOOTH_S = 0.05  # length of the Hann window over which differences are averaged
LEAST_SPREAD, MOST_SPREAD = 0.9, 1.8  # limits of ``spread``
UNSURE_S = (
    0.3  # duration of loud speech at which its variance has a weight of 1/2, since that of one vowel means little
)
LOWEST_DB, HIGHEST_DB = -20.0, 10.0  # limits of the gain


class PostFilter:
    """The post-filter of a model: (samples (T,), predicted (F, bands), speaker) -> samples (T,).

    T = F * conditioning hop. samples: float32 at the level of training. predicted: log-mel frames of
    ``VQVAE.predicted_mel``. speaker: an index in the model's table, or an enrolled voice. The level of the samples does
    not change.
    """

    def __init__(self, model: VQVAE):
        self.model, self.mel, self.global_variance = model, model.mel, model.global_variance
        self.cepstra = Cepstra(self.mel.filters.shape[0]).to(self.mel.filters.device)
        self.rate = model.config.audio.sample_rate / self.mel.hop  # frames a second
        self.of_bin = self.mel.filters / self.mel.filters.sum(0).clamp(min=1e-6)  # (bands, bins), each bin's sum is 1

    @torch.inference_mode()
    def __call__(self, samples: np.ndarray, predicted: Tensor, speaker: int | EnrolledVoice) -> np.ndarray:
        waveform = torch.from_numpy(samples).to(self.of_bin.device)
        gain = self.gain(self.mel(waveform[None])[0].T, predicted, speaker_variance(self.model, speaker))
        shaped = self._apply(waveform, gain @ self.of_bin)
        return (shaped * (waveform.norm() / shaped.norm().clamp(min=1e-9))).cpu().numpy()  # as loud as it was

    def gain(self, made: Tensor, predicted: Tensor, variance: Tensor) -> Tensor:
        """The gain in nepers (F, bands) for speech with log-mel frames ``made`` (F, bands).

        predicted: (F, bands), the frames that it should have. variance: (coefficients,), the global variance of the
        speaker's natural speech; zeros if it is not known.
        """
        before = self.cepstra(made)
        after = before + _smooth(self.cepstra(predicted - made), self.rate * SMOOTH_S)
        loud = self.cepstra.loud(after)
        average = after[loud].mean(0)
        confidence = loud.sum() / (loud.sum() + self.rate * UNSURE_S)
        measured = torch.lerp(variance, self.cepstra.variance(after), confidence)
        ratio = torch.where(variance > 0, variance / measured.clamp(min=1e-9), 1.0)
        spread = ratio.sqrt().clamp(LEAST_SPREAD, MOST_SPREAD)
        spread[0] = 1.0  # coefficient 0 is the loudness, which stays
        # log-mel frames are log power in units of SCALE; half of log power is a gain in nepers
        nepers = self.cepstra.frames(average + spread * (after - average) - before) * (self.mel.SCALE / 2)
        nepers_per_db = math.log(10) / 20
        return nepers.clamp(LOWEST_DB * nepers_per_db, HIGHEST_DB * nepers_per_db)

    def _apply(self, waveform: Tensor, gain: Tensor) -> Tensor:
        """Multiply the short-time spectrum of a waveform (T,) by exp(gain) (F, bins), with the frames of ``LogMel``."""
        n_fft, hop = self.mel.n_fft, self.mel.hop
        left = n_fft // 2 - hop // 2
        padded = nn.functional.pad(waveform, (left, n_fft))
        windows = padded.unfold(0, n_fft, hop) * self.mel.window
        # frames past the end, whose windows overlap the waveform, get the last frame's gain
        gain = torch.cat([gain, gain[-1:].expand(len(windows) - len(gain), -1)])
        shaped = torch.fft.irfft(torch.fft.rfft(windows) * gain.exp(), n=n_fft) * self.mel.window
        weight = self.mel.window.square().expand(len(windows), -1)
        result = _overlap_add(shaped, hop) / _overlap_add(weight, hop).clamp(min=1e-3)
        return result[left : left + len(waveform)]


def speaker_variance(model: VQVAE, speaker: int | EnrolledVoice) -> Tensor:
    """The global variance (coefficients,) of a speaker's natural speech; zeros if it is not known."""
    table = model.global_variance
    if isinstance(speaker, int):
        return table[speaker]
    return torch.zeros_like(table[0]) if speaker.global_variance is None else speaker.global_variance.to(table.device)


def _smooth(frames: Tensor, length: float) -> Tensor:
    """Average frames (F, C) over time with a Hann window of about ``length`` frames; the ends are repeated."""
    half = round(length) // 2
    window = torch.hann_window(2 * half + 3, periodic=False, device=frames.device)[1:-1]
    padded = nn.functional.pad(frames.T[:, None], (half, half), mode="replicate")
    return nn.functional.conv1d(padded, (window / window.sum())[None, None])[:, 0].T


def _overlap_add(windows: Tensor, hop: int) -> Tensor:
    """Add up windows (F, N) at a distance of ``hop`` samples: ((F - 1) * hop + N,)."""
    length = (len(windows) - 1) * hop + windows.shape[1]
    return nn.functional.fold(windows.T[None], (1, length), (1, windows.shape[1]), stride=(1, hop))[0, 0, 0]
