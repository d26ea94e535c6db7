"""Acoustic units that an encoder learns to predict: clusters of another encoder's outputs for the whole, unperturbed utterance.

The other encoder is computed without a gradient (``vqvc.nn.acoustic_units``), or is a model that was trained to predict the
former's clusters: each round begins with better units (HuBERT: Hsu et al. 2021). No labels are used.
"""

import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from vqvc.config import Config, ModelConfig
from vqvc.corpus.store import PackedStore, Utterance
from vqvc.errors import TrainingError
from vqvc.nn.quantizer import kmeans, nearest
from vqvc.training.whole_utterances import latents_of

SHIFTS = 2  # units for each code: an utterance is read from so many starts, as crops begin anywhere
FIT_ROWS = 150_000  # vectors on which the clusters are fitted
STARTS = 20  # of them for each cluster, from which k-means begins
ROUNDS = 20  # of k-means
logger = logging.getLogger("vqvc.training")


class UnitTargets(nn.Module):
    """The unit of every step of every training utterance of a store; steps are ``SHIFTS`` to a code of ``hop`` samples.

    numbers: (N,) int32, utterance after utterance; -1 before ``find``. Step n of an utterance is the unit whose middle is sample
    (n + SHIFTS / 2) * hop / SHIFTS.
    """

    def __init__(self, store: PackedStore, hop: int):
        super().__init__()
        self.hop, self.step = hop, hop // SHIFTS
        lengths = [utterance.length_samples // self.step for utterance in store.utterances]
        ends = np.cumsum(lengths)
        self.spans = {
            utterance.utt_id: (int(end - length), int(end))
            for utterance, length, end in zip(store.utterances, lengths, ends)
        }
        self.register_buffer("numbers", torch.full((int(ends[-1]) if len(ends) else 0,), -1, dtype=torch.int32))

    @property
    def found(self) -> bool:
        """Whether ``find``, or a checkpoint, has set the units."""
        return bool((self.numbers >= 0).any())

    @torch.no_grad()
    def find(
        self,
        latents: Callable[[Tensor], Tensor],
        store: PackedStore,
        speakers: Sequence[str],
        size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        """Cluster ``latents``, from waveforms (B, T) to vectors (B, D, T / hop), of the speakers' training utterances.

        Raises TrainingError when there are fewer vectors than clusters.
        """
        found, where = [], []
        for utterance, vectors in latents_of(latents, store, speakers, self.hop, device, SHIFTS):
            first, end = self.spans[utterance.utt_id]
            found.append(vectors[: end - first])
            where.append(torch.arange(first, first + len(found[-1])))
        rows = torch.cat(found) if found else torch.zeros(0, 1)
        if len(rows) < size:
            raise TrainingError(
                f"training.unit_targets: {size} units want as many codes of training speech; there are {len(rows)}"
            )
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(rows), generator=generator)[:FIT_ROWS]
        centres = kmeans(rows[chosen].to(device), size, generator, ROUNDS, STARTS * size)
        numbers = torch.cat([nearest(part.to(device), centres).cpu() for part in rows.split(1 << 18)])
        self.numbers[torch.cat(where)] = numbers.int()
        logger.info("%d units to predict, found in %.1f minutes of speech", size, len(rows) * self.step / 960_000)

    def of(self, utterance: Utterance, start: int, samples: int) -> np.ndarray:
        """(samples / hop,) int64: the units of a crop's codes; -1 beyond the utterance's end."""
        first, end = self.spans[utterance.utt_id]
        at = first + round(start / self.step) + SHIFTS * np.arange(samples // self.hop)
        numbers = self.numbers.numpy()
        return np.where(at < end, numbers[np.minimum(at, end - 1)], -1).astype(np.int64)


def require_same_codes(config: Config, other: ModelConfig) -> None:
    """Raise TrainingError unless codes of both models stand for as many samples of the same kind of audio."""
    if other.audio != config.audio or other.hop_length != config.hop_length:
        raise TrainingError(
            f"--targets: its codes stand for {other.hop_length} samples at {other.audio.sample_rate} Hz, those of --conf for "
            f"{config.hop_length} at {config.audio.sample_rate} Hz; give a model of the same rate"
        )
