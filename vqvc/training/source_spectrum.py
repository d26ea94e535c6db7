"""Measures the long-term spectrum of the training speech, at the end of training, for the equalizer of conversions."""

import numpy as np
import torch

from vqvc.audio import long_term_spectrum
from vqvc.corpus.store import PackedStore
from vqvc.nn.vqvae import VQVAE

UTTERANCES = 300  # drawn from all of subset ``train``
SEED = 0  # of the draw, so that every run on a store measures the same ones


@torch.no_grad()
def measure(model: VQVAE, store: PackedStore, utterances: int = UTTERANCES, seed: int = SEED) -> None:
    """Set ``model.source_spectrum`` (2, BANDS) to mean and deviation of ``Spectrum.bands_db`` over training utterances.

    Needs nothing of the model but its buffer: it can be added to a model that was trained before, which
    ``model_file.write`` then writes. The table stays as it is if no utterance holds sound.
    """
    items = store.subset("train")
    drawn = sorted(np.random.default_rng(seed).permutation(len(items))[:utterances])
    found = (long_term_spectrum.measure(store.waveform(items[index]), store.sample_rate) for index in drawn)
    bands_db = np.array([spectrum.bands_db for spectrum in found if spectrum is not None])
    if len(bands_db):
        table = np.stack([bands_db.mean(0), bands_db.std(0)])
        model.source_spectrum.copy_(torch.from_numpy(table))
