"""The post-filter of a stream: ``postfilter`` with the look-ahead of a single frame's window.

What is averaged over a recording there is a running mean here:

    corrected = made + mean(predicted - made)                     over the frames so far, the latest count most
    gain = average + spread (corrected - average) - made

A frame's gain is applied by a minimum-phase filter, which has no delay, in place of overlapping windows.
"""

import math

import numpy as np
from torch import Tensor

from vqvc.conversion.postfilter import HIGHEST_DB, LEAST_SPREAD, LOWEST_DB, MOST_SPREAD, speaker_variance
from vqvc.conversion.statistics import ramps
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.nn.cepstra import LOUD_DB, Cepstra
from vqvc.nn.vqvae import VQVAE

MEAN_S = 0.025  # time constant of the mean difference
AVERAGE_S = 10.0  # of speech, over which average and variance are taken
UNSURE_S = 1.0  # of loud speech at which its variance counts half: it has not moved through many sounds before
LOUDNESS_S = 1.0  # time constant of what keeps the speech as loud as it was
LOUDEST_DB = 15.0  # mean log power of the loudest frame of an utterance at the level of training (the median of VCTK's)
LOUDEST_FALL_S = 20.0  # in which the loudest level that is remembered falls by half


class CausalPostFilter:
    """push(samples (F * hop,), predicted (F, bands)) -> (F' * hop,) float32, for one stream of a model, at the level of training.

    A frame comes out once the window around it has been made, ``look_ahead`` samples later. How frames are shared out among
    pushes changes nothing.
    """

    def __init__(self, model: VQVAE, speaker: int | EnrolledVoice) -> None:
        mel = model.mel
        self.hop, self.n_fft, self.scale = mel.hop, mel.n_fft, mel.SCALE
        self.floor, self.shift = mel.FLOOR, mel.SHIFT
        self.window, filters = _array(mel.window), _array(mel.filters)
        self.filters = filters  # (bands, bins)
        self.of_bin = filters / np.maximum(filters.sum(0), 1e-6)
        self.basis = _array(Cepstra(len(filters)).basis)  # (coefficients, bands)
        self.variance = _array(speaker_variance(model, speaker))
        self.rate = model.config.audio.sample_rate / self.hop  # frames a second
        self.taps = self.n_fft // 2
        self.before = self.n_fft // 2 - self.hop // 2  # samples by which a frame's window begins before it
        self.held = np.zeros(max(self.before, self.taps - 1))  # samples from so many before the next frame on
        self.lead = len(self.held)
        self.predicted = np.zeros((0, len(self.basis)))  # cepstra of the next frames
        coefficients = len(self.basis)
        self.difference, self.weight = np.zeros(coefficients), 0.0
        self.sums, self.squares, self.frames = np.zeros(coefficients), np.zeros(coefficients), 0.0
        self.loudest = LOUDEST_DB
        self.energy = np.full(2, 1e-9)  # running means of before and after the filter
        self.filter = np.zeros(self.taps)
        self.filter[0] = 1.0

    @property
    def look_ahead(self) -> int:
        """Samples after a frame that have to be made before it is filtered; whole frames."""
        return look_ahead(self.n_fft, self.hop)

    def push(self, samples: np.ndarray, predicted: Tensor, last: bool = False) -> np.ndarray:
        """The samples of the frames whose windows are complete; ``last`` pads the end with silence."""
        self.held = np.concatenate([self.held, samples, np.zeros(self.n_fft if last else 0)])
        self.predicted = np.concatenate([self.predicted, _array(predicted) @ self.basis.T])
        windows = self.held[self.lead - self.before :]
        count = min(max((len(windows) - self.n_fft) // self.hop + 1, 0), len(self.predicted))
        if not count:
            return np.zeros(0, np.float32)
        found = self._cepstra(windows, count)
        gain = np.stack([self._gain(*frames) for frames in zip(found, self.predicted)]) @ self.basis * (self.scale / 2)
        gain = np.clip(gain, *(limit * math.log(10) / 20 for limit in (LOWEST_DB, HIGHEST_DB)))
        made = self._apply(count, _minimum_phase(gain @ self.of_bin)[:, : self.taps])
        plain = self.held[self.lead : self.lead + count * self.hop]
        self.held, self.predicted = self.held[count * self.hop :], self.predicted[count:]
        return self._as_loud(plain, made)

    def _cepstra(self, samples: np.ndarray, count: int) -> np.ndarray:
        """(count, coefficients) of the log-mel frames, as ``LogMel`` scales them, of windows that begin with ``samples``."""
        windows = _windows(samples, self.n_fft, self.hop, count)
        power = np.abs(np.fft.rfft(windows * self.window)) ** 2 @ self.filters.T
        return (np.log(np.maximum(power, self.floor)) + self.shift) / self.scale @ self.basis.T

    def _gain(self, made: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Cepstra (coefficients,) of the next frame's gain, in the units of log-mel frames; moves the running means."""
        kept = math.exp(-1 / (self.rate * MEAN_S))
        self.difference = kept * self.difference + (1 - kept) * (predicted - made)
        self.weight = kept * self.weight + (1 - kept)
        correction = self.difference / self.weight
        after = made + correction
        mean_db = after[0] / math.sqrt(self.basis.shape[1]) * self.scale * 10 / math.log(10)
        self.loudest = max(mean_db, self.loudest - 10 * math.log10(2) / (self.rate * LOUDEST_FALL_S))
        if mean_db > self.loudest - LOUD_DB:
            kept = 1 - 1 / (self.rate * AVERAGE_S) if self.frames > self.rate * AVERAGE_S else 1.0
            self.sums, self.squares = kept * self.sums + after, kept * self.squares + after**2
            self.frames = kept * self.frames + 1
        if not self.frames:  # silence so far
            return correction
        average = self.sums / self.frames
        own = np.maximum(self.squares / self.frames - average**2, 1e-9)
        own = self.variance + (own - self.variance) * self.frames / (self.frames + self.rate * UNSURE_S)
        spread = np.sqrt(np.where(self.variance > 0, self.variance / np.maximum(own, 1e-9), 1.0))
        spread = spread.clip(LEAST_SPREAD, MOST_SPREAD)
        spread[0] = 1.0  # loudness moves as it did
        return correction + (spread - 1) * (after - average)

    def _apply(self, count: int, filters: np.ndarray) -> np.ndarray:
        """The next frames by their filters (F, taps), each of which comes in over its frame as the one before goes out."""
        width = self.taps - 1 + self.hop
        begin = self.lead - self.taps + 1
        windows = _windows(self.held[begin:], width, self.hop, count)
        size = 2 ** math.ceil(math.log2(width))
        both = np.concatenate([self.filter[None], filters])
        self.filter = both[-1]
        spectra, responses = np.fft.rfft(windows, size), np.fft.rfft(both, size)
        wanted = slice(self.taps - 1, width)
        leaving, coming = (np.fft.irfft(spectra * part, size)[:, wanted] for part in (responses[:-1], responses[1:]))
        rise = np.arange(1, self.hop + 1) / self.hop
        return ((1 - rise) * leaving + rise * coming).ravel()

    def _as_loud(self, samples: np.ndarray, shaped: np.ndarray) -> np.ndarray:
        """``shaped``, as loud as the samples have been over the last while."""
        kept = math.exp(-1 / (self.rate * LOUDNESS_S))
        energies = np.stack(
            [(part.reshape(-1, self.hop) ** 2).mean(1) for part in (samples.astype(np.float64), shaped)]
        )
        factors = [math.sqrt(self.energy[0] / self.energy[1])]
        for energy in energies.T:
            self.energy = kept * self.energy + (1 - kept) * energy
            factors.append(math.sqrt(self.energy[0] / self.energy[1]))
        return (shaped.reshape(-1, self.hop) * ramps(factors, self.hop)).ravel().astype(np.float32)


def look_ahead(n_fft: int, hop: int) -> int:
    """Samples after a frame of ``hop`` samples that the window of ``n_fft`` around it reaches; whole frames."""
    return -(-(n_fft // 2 - (hop - hop // 2)) // hop) * hop


def _windows(samples: np.ndarray, width: int, hop: int, count: int) -> np.ndarray:
    """(count, width): the first windows of samples (T,), each ``hop`` after the one before."""
    return samples[hop * np.arange(count)[:, None] + np.arange(width)]


def _minimum_phase(nepers: np.ndarray) -> np.ndarray:
    """Impulse responses (F, N) of minimum phase for log magnitudes (F, N / 2 + 1), by the real cepstrum (Oppenheim & Schafer)."""
    cepstra = np.fft.irfft(nepers)
    half = cepstra.shape[1] // 2
    cepstra[:, 1:half] *= 2
    cepstra[:, half + 1 :] = 0
    return np.fft.irfft(np.exp(np.fft.rfft(cepstra)))


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
