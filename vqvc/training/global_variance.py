"""Global variance of each speaker's cepstra, measured on training speech when training ends; the post-filter restores it."""

import numpy as np
import torch

from vqvc.corpus.store import PackedStore
from vqvc.nn.cepstra import Cepstra
from vqvc.nn.vqvae import VQVAE

UTTERANCES = 20  # of each speaker, evenly picked


@torch.inference_mode()
def measure(model: VQVAE, store: PackedStore, speakers: tuple[str, ...]) -> None:
    """Set ``model.global_variance`` (speakers, coefficients): its mean over training utterances; zeros for a silent speaker."""
    cepstra = Cepstra(model.mel.filters.shape[0]).to(model.mel.filters.device)
    own: dict[str, list] = {name: [] for name in speakers}
    for utterance in store.subset("train"):
        if utterance.speaker in own:
            own[utterance.speaker].append(utterance)
    for row, utterances in enumerate(own.values()):
        found = []
        for utterance in utterances[:: max(1, len(utterances) // UTTERANCES)][:UTTERANCES]:
            samples = store.waveform(utterance)
            padded = np.pad(samples, (0, -len(samples) % model.mel.hop))
            waveform = torch.from_numpy(padded)[None].to(model.mel.filters.device)
            found.append(cepstra.variance(cepstra(model.mel(waveform)[0].T)))
        if found:
            model.global_variance[row] = torch.stack(found).mean(0)
