"""The post-filter of a stream: ``postfilter`` with the look-ahead of a single frame's window.

What is averaged over a recording there is a running mean here:

    corrected = made + mean(predicted - made)                     over the frames so far, the latest count most
    gain = average + spread (corrected - average) - made

A frame's gain is applied by a minimum-phase filter, which has no delay, in place of overlapping windows.
"""

import math

import numpy as np
from torch import Tensor

from vqvc.audio.filters import minimum_phase
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
        self.moments, self.frames = np.zeros((2, coefficients)), 0.0  # sums of loud frames and of their squares
        self.loudest = LOUDEST_DB
        self.energy = 1e-9, 1e-9  # running means of before and after the filter
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
        gain = self._gains(found, self.predicted[:count]) @ self.basis * (self.scale / 2)
        gain = np.clip(gain, *(limit * math.log(10) / 20 for limit in (LOWEST_DB, HIGHEST_DB)))
        made = self._apply(count, minimum_phase(gain @ self.of_bin)[:, : self.taps])
        plain = self.held[self.lead : self.lead + count * self.hop]
        self.held, self.predicted = self.held[count * self.hop :], self.predicted[count:]
        return self._as_loud(plain, made)

    def _cepstra(self, samples: np.ndarray, count: int) -> np.ndarray:
        """(count, coefficients) of the log-mel frames, as ``LogMel`` scales them, of windows that begin with ``samples``."""
        windows = _windows(samples, self.n_fft, self.hop, count)
        power = np.abs(np.fft.rfft(windows * self.window)) ** 2 @ self.filters.T
        return (np.log(np.maximum(power, self.floor)) + self.shift) / self.scale @ self.basis.T

    def _gains(self, made: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """Cepstra (F, coefficients) of the next frames' gains, in the units of log-mel frames; moves the running means."""
        kept = math.exp(-1 / (self.rate * MEAN_S))
        corrections = np.empty_like(made)
        for index, difference in enumerate((1 - kept) * (predicted - made)):
            self.difference = kept * self.difference + difference
            self.weight = kept * self.weight + (1 - kept)
            corrections[index] = self.difference / self.weight
        after = made + corrections
        averages, spreads = self._spreads(after)
        return corrections + (spreads - 1) * (after - averages)

    def _spreads(self, after: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Average and factor (F, coefficients) each of the spread around it, after each of the next frames (F, coefficients)."""
        mean_db = after[:, 0] / math.sqrt(self.basis.shape[1]) * self.scale * 10 / math.log(10)
        moments, counts = np.empty((len(after), 2, after.shape[1])), np.empty(len(after))
        latest = np.stack([after, after**2], axis=1)
        for index, loudness_db in enumerate(mean_db.tolist()):
            self.loudest = max(loudness_db, self.loudest - 10 * math.log10(2) / (self.rate * LOUDEST_FALL_S))
            if loudness_db > self.loudest - LOUD_DB:
                kept = 1 - 1 / (self.rate * AVERAGE_S) if self.frames > self.rate * AVERAGE_S else 1.0
                self.moments = kept * self.moments + latest[index]
                self.frames = kept * self.frames + 1
            moments[index], counts[index] = self.moments, self.frames
        counts = counts[:, None]
        average, square = (moments / np.maximum(counts, 1e-9)[:, None]).transpose(1, 0, 2)
        own = np.maximum(square - average**2, 1e-9)
        own = self.variance + (own - self.variance) * counts / (counts + self.rate * UNSURE_S)
        spread = np.sqrt(np.where(self.variance > 0, self.variance / np.maximum(own, 1e-9), 1.0))
        spread = np.where(counts > 0, spread.clip(LEAST_SPREAD, MOST_SPREAD), 1.0)  # 1 while there was only silence
        spread[:, 0] = 1.0  # loudness moves as it did
        return average, spread

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
        leaving, coming = np.fft.irfft(spectra * np.stack([responses[:-1], responses[1:]]), size)[..., wanted]
        rise = np.arange(1, self.hop + 1) / self.hop
        return ((1 - rise) * leaving + rise * coming).ravel()

    def _as_loud(self, samples: np.ndarray, shaped: np.ndarray) -> np.ndarray:
        """``shaped``, as loud as the samples have been over the last while."""
        kept = math.exp(-1 / (self.rate * LOUDNESS_S))
        energies = [(part.reshape(-1, self.hop) ** 2).mean(1).tolist() for part in (samples, shaped)]
        before, after = self.energy
        factors = [math.sqrt(before / after)]
        for energy, energy_shaped in zip(*energies):
            before, after = kept * before + (1 - kept) * energy, kept * after + (1 - kept) * energy_shaped
            factors.append(math.sqrt(before / after))
        self.energy = before, after
        return (shaped.reshape(-1, self.hop) * ramps(factors, self.hop)).ravel().astype(np.float32)


def look_ahead(n_fft: int, hop: int) -> int:
    """Samples after a frame of ``hop`` samples that the window of ``n_fft`` around it reaches; whole frames."""
    return -(-(n_fft // 2 - (hop - hop // 2)) // hop) * hop


def _windows(samples: np.ndarray, width: int, hop: int, count: int) -> np.ndarray:
    """(count, width): the first windows of samples (T,), each ``hop`` after the one before."""
    return samples[hop * np.arange(count)[:, None] + np.arange(width)]


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
