"""Noise that is shaped like speech, through channels."""

import numpy as np
import torch

from vqvc.audio import long_term_spectrum
from vqvc.audio.filters import CausalFilter, minimum_phase
from vqvc.nn.vqvae import VQVAE

RATE, TAPS = 16000, 2048


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Syllables of a moving pitch and of noise, (T,) float32: every band holds power that rises and falls."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(130 + 30 * np.sin(2 * np.pi * (0.6 + rng.random()) * time_s)) / RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 30))
    noise = rng.standard_normal(len(time_s))
    voiced = 0.5 + 0.5 * np.sin(2 * np.pi * 1.3 * time_s + rng.random())
    syllables = 0.05 + np.sin(2 * np.pi * 2.1 * time_s + rng.random()) ** 2
    return (0.08 * syllables * (voiced * buzz + 0.3 * noise)).astype(np.float32)


def tilted(samples: np.ndarray, db_per_octave: float) -> np.ndarray:
    """Samples (T,) through a channel of minimum phase, as channels are, whose gain rises by so much; as loud as before."""
    hz = np.maximum(np.fft.rfftfreq(TAPS, 1 / RATE), 40.0)
    nepers = db_per_octave * np.log2(hz / 1000) * (np.log(10) / 20)
    made = CausalFilter(minimum_phase(nepers[None])[0]).push(samples)
    return (made * np.sqrt((samples**2).mean() / (made**2).mean())).astype(np.float32)


def know_speech(model: VQVAE, deviation_db: float = 1.0) -> VQVAE:
    """The model, as trained on ``speech`` through no channel; deviation_db: at least, in every band."""
    bands = np.array([long_term_spectrum.measure(speech(3.0, seed), RATE).bands_db for seed in range(8)])
    table = np.stack([bands.mean(0), np.maximum(bands.std(0), deviation_db)])
    model.source_spectrum.copy_(torch.from_numpy(table))
    return model
