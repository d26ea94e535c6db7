"""Encoder outputs z_e for whole training utterances, in batches of utterances with the same number of codes."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vqvc.corpus.store import PackedStore, Utterance

GROUP_CODES = 2048  # largest number of codes in a batch of several utterances


@torch.no_grad()
def latents_of(
    latents: Callable[[Tensor], Tensor],
    store: PackedStore,
    speakers: Sequence[str],
    hop: int,
    device: torch.device,
    shifts: int = 1,
    most_codes: int | None = None,
    seed: int = 0,
) -> Iterator[tuple[Utterance, Tensor]]:
    """Yield training utterances of the speakers with their vectors (N, D) float32 on the CPU, in no particular order.

    latents: maps waveforms (B, T) to vectors (B, D, T / hop).
    shifts: vectors per ``hop`` samples. The utterance is encoded from so many starts, ``hop`` / shifts samples apart.
    most_codes: draw utterances with ``seed`` until they hold so many codes; use all utterances when None.
    """
    names = set(speakers)
    utterances = [utterance for utterance in store.subset("train") if utterance.speaker in names]
    if most_codes is not None:
        order = np.random.default_rng(seed).permutation(len(utterances))
        codes = np.cumsum([utterances[index].length_samples // hop for index in order])
        utterances = [utterances[index] for index in order[: int(np.searchsorted(codes, most_codes)) + 1]]
    for group in _groups(utterances, hop):
        starts = [_starts(store.waveform(utterance), hop, shifts) for utterance in group]
        vectors = latents(torch.from_numpy(np.concatenate(starts)).to(device)).float().cpu()
        # (group, shifts, D, codes) -> (group, codes * shifts, D): in the order of time
        in_order = vectors.view(len(group), shifts, *vectors.shape[1:]).permute(0, 3, 1, 2).flatten(1, 2)
        for utterance, rows in zip(group, in_order):
            yield utterance, rows.clone()


def _starts(waveform: np.ndarray, hop: int, shifts: int) -> np.ndarray:
    """Copies (shifts, T') of a waveform (T,), each from another start on, padded to the same number of whole codes."""
    codes, step = -(-len(waveform) // hop), hop // shifts
    padded = np.zeros((codes + 1) * hop, np.float32)
    padded[: len(waveform)] = waveform
    return np.stack([padded[shift * step :][: codes * hop] for shift in range(shifts)])


def _groups(utterances: Sequence[Utterance], hop: int) -> Iterator[list[Utterance]]:
    """Groups of utterances with the same number of codes, which have at most ``GROUP_CODES`` together."""
    by_codes: dict[int, list[Utterance]] = {}
    for utterance in utterances:
        by_codes.setdefault(-(-utterance.length_samples // hop), []).append(utterance)
    for codes, same_length in sorted(by_codes.items()):
        size = max(1, GROUP_CODES // codes)
        for first in range(0, len(same_length), size):
            yield same_length[first : first + size]
