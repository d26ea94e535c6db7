"""The global variance of each speaker of a model, measured on training speech when training ends; the post-filter restores it."""

import torch

from vqvc.corpus.store import PackedStore
from vqvc.nn.cepstra import global_variance
from vqvc.nn.vqvae import VQVAE

UTTERANCES = 20  # of each speaker, evenly picked


@torch.inference_mode()
def measure(model: VQVAE, store: PackedStore, speakers: tuple[str, ...]) -> None:
    """Set ``model.global_variance`` (speakers, coefficients): its mean over training utterances; zeros for a speaker without any."""
    own: dict[str, list] = {name: [] for name in speakers}
    for utterance in store.subset("train"):
        if utterance.speaker in own:
            own[utterance.speaker].append(utterance)
    for row, utterances in enumerate(own.values()):
        picked = utterances[:: max(1, len(utterances) // UTTERANCES)][:UTTERANCES]
        found = global_variance(model.mel, (store.waveform(utterance) for utterance in picked))
        if found is not None:
            model.global_variance[row] = found
