"""Measures the global variance of each speaker on training speech, at the end of training, for the post-filter."""

import torch

from vqvc.corpus.store import PackedStore
from vqvc.nn.cepstra import global_variance
from vqvc.nn.vqvae import VQVAE

UTTERANCES = 20  # per speaker, picked at regular intervals


@torch.inference_mode()
def measure(model: VQVAE, store: PackedStore, speakers: tuple[str, ...]) -> None:
    """Set ``model.global_variance`` (speakers, coefficients) to the mean over training utterances of each speaker.

    Rows of speakers without training utterances stay as they are.
    """
    by_speaker: dict[str, list] = {name: [] for name in speakers}
    for utterance in store.subset("train"):
        if utterance.speaker in by_speaker:
            by_speaker[utterance.speaker].append(utterance)
    for row, utterances in enumerate(by_speaker.values()):
        picked = utterances[:: max(1, len(utterances) // UTTERANCES)][:UTTERANCES]
        variance = global_variance(model.mel, (store.waveform(utterance) for utterance in picked))
        if variance is not None:
            model.global_variance[row] = variance
