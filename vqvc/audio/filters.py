"""Minimum-phase filters: they shape a spectrum without delay, sample by sample."""

import math

import numpy as np

BLOCK_SAMPLES = 8192  # at most, of one transform


def minimum_phase(nepers: np.ndarray) -> np.ndarray:
    """Impulse responses (F, N) of minimum phase for log magnitudes (F, N / 2 + 1), by the real cepstrum (Oppenheim & Schafer)."""
    cepstra = np.fft.irfft(nepers)
    half = cepstra.shape[1] // 2
    cepstra[:, 1:half] *= 2
    cepstra[:, half + 1 :] = 0
    return np.fft.irfft(np.exp(np.fft.rfft(cepstra)))


class CausalFilter:
    """Samples (T,) in parts of any length -> the same number of filtered ones, float32.

    response: impulse response (taps,). before: the last samples before the first, at least taps - 1; silence when None.
    Together the parts are the filtered whole, up to the rounding of float64.
    """

    def __init__(self, response: np.ndarray, before: np.ndarray | None = None) -> None:
        self.response = np.asarray(response, np.float64)
        self.is_flat = self.response[0] == 1.0 and not self.response[1:].any()
        self.past = len(self.response) - 1
        self.held = np.zeros(self.past) if before is None else before[len(before) - self.past :]

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The filtered samples (T,) float32."""
        parts = [samples[begin : begin + BLOCK_SAMPLES] for begin in range(0, len(samples), BLOCK_SAMPLES)]
        return np.concatenate([np.zeros(0, np.float32), *map(self._filtered, parts)])

    def _filtered(self, samples: np.ndarray) -> np.ndarray:
        extended = np.concatenate([self.held, samples])
        self.held = extended[len(samples) :]
        if self.is_flat:
            return samples.astype(np.float32)
        size = 2 ** math.ceil(math.log2(max(len(extended), 2)))
        spectrum = np.fft.rfft(extended, size) * np.fft.rfft(self.response, size)
        return np.fft.irfft(spectrum, size)[self.past : len(extended)].astype(np.float32)
