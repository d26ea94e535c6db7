"""An encoder's outputs (z_e) for whole training utterances, in batches of equal length in which nothing is padded."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vqvc.corpus.store import PackedStore, Utterance

GROUP_CODES = 2048  # codes in a batch, at most


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
    """Training utterances of the speakers, each with its vectors (N, D) float32 on the CPU, in no particular order.

    latents: from waveforms (B, T) to vectors (B, D, T / hop). shifts: vectors for each ``hop`` samples; the utterance is then
    read from as many starts, which lie evenly. most_codes: utterances are drawn with ``seed`` until they hold so many; all when
    None.
    """
    wanted = set(speakers)
    spoken = [utterance for utterance in store.subset("train") if utterance.speaker in wanted]
    if most_codes is not None:
        order = np.random.default_rng(seed).permutation(len(spoken))
        codes = np.cumsum([spoken[index].length_samples // hop for index in order])
        spoken = [spoken[index] for index in order[: int(np.searchsorted(codes, most_codes)) + 1]]
    for group in _groups(spoken, hop):
        starts = [_starts(store.waveform(utterance), hop, shifts) for utterance in group]
        vectors = latents(torch.from_numpy(np.concatenate(starts)).to(device)).float().cpu()
        # (group, shifts, D, codes): the starts of one code follow one another
        rows = vectors.view(len(group), shifts, *vectors.shape[1:]).permute(0, 3, 1, 2).flatten(1, 2)
        yield from ((utterance, own.clone()) for utterance, own in zip(group, rows))


def _starts(waveform: np.ndarray, hop: int, shifts: int) -> np.ndarray:
    """(T,) -> (shifts, T'): the waveform from each start on, padded to the same number of whole codes."""
    codes, step = -(-len(waveform) // hop), hop // shifts
    padded = np.zeros((codes + 1) * hop, np.float32)
    padded[: len(waveform)] = waveform
    return np.stack([padded[shift * step :][: codes * hop] for shift in range(shifts)])


def _groups(utterances: Sequence[Utterance], hop: int) -> Iterator[list[Utterance]]:
    """Utterances of as many codes each, at most ``GROUP_CODES`` together."""
    by_codes: dict[int, list[Utterance]] = {}
    for utterance in utterances:
        by_codes.setdefault(-(-utterance.length_samples // hop), []).append(utterance)
    for codes, alike in sorted(by_codes.items()):
        size = max(1, GROUP_CODES // codes)
        for first in range(0, len(alike), size):
            yield alike[first : first + size]
