"""Crops of encoded utterances. Batch n is a function of (seed, n) alone, as with crops of sound."""

from dataclasses import dataclass

import numpy as np

from vqvc.corpus.codes import CodeArchive
from vqvc.errors import CorpusError


@dataclass(frozen=True)
class CodeBatch:
    """codes (B, T) int64; before (B,) int64, the code before each crop (codebook_size where an utterance begins);
    speaker (B,) int64, 0 where it is unknown; scored (B, T) bool, False in the context and past an utterance's end."""

    codes: np.ndarray
    before: np.ndarray
    speaker: np.ndarray
    scored: np.ndarray
    utt_ids: tuple[str, ...]


class CodeCrops:
    """Random crops of a subset, an utterance as often as it is long.

    anonymous: chance that a crop's speaker is given as 0, nobody in particular.
    """

    def __init__(
        self,
        archive: CodeArchive,
        speakers: tuple[str, ...],
        subset: str = "train",
        *,
        batch_size: int,
        crop_codes: int,
        context_codes: int,
        anonymous: float,
        seed: int,
    ):
        self.archive, self.speakers, self.seed = archive, speakers, seed
        self.batch_size, self.crop_codes, self.context_codes, self.anonymous = (
            batch_size,
            crop_codes,
            context_codes,
            anonymous,
        )
        lengths = np.diff(archive.offsets)
        self.chosen = np.flatnonzero((archive.subsets == subset) & np.isin(archive.speakers, speakers) & (lengths > 0))
        if not len(self.chosen):
            raise CorpusError(f"codes: the subset {subset} is empty; encode a larger store with vqvc-encode")
        self.lengths = lengths[self.chosen]
        self.total_codes = int(self.lengths.sum())
        self.ends = np.cumsum(self.lengths)

    def batch(self, step: int) -> CodeBatch:
        """The batch of a step."""
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, step]))
        codes = np.zeros((self.batch_size, self.crop_codes), np.int64)
        scored = np.zeros(codes.shape, bool)
        before = np.full(self.batch_size, self.archive.codebook_size, np.int64)
        speaker = np.zeros(self.batch_size, np.int64)
        utt_ids = []
        for row in range(self.batch_size):
            n = int(np.searchsorted(self.ends, rng.integers(self.total_codes), side="right"))
            utterance, length = self.chosen[n], int(self.lengths[n])
            start = max(0, int(rng.integers(-self.context_codes, max(1, length - self.crop_codes + 1))))
            first = self.archive.offsets[utterance]
            part = self.archive.codes[first + start : first + min(length, start + self.crop_codes)]
            codes[row, : len(part)] = part
            scored[row, self.context_codes if start else 0 : len(part)] = True
            if start:
                before[row] = self.archive.codes[first + start - 1]
            if rng.random() >= self.anonymous:
                speaker[row] = 1 + self.speakers.index(str(self.archive.speakers[utterance]))
            utt_ids.append(str(self.archive.utt_ids[utterance]))
        return CodeBatch(codes, before, speaker, scored, tuple(utt_ids))


def train_speakers(archive: CodeArchive) -> tuple[str, ...]:
    """Names of the speakers of subset ``train``, sorted."""
    return tuple(sorted(set(archive.speakers[archive.subsets == "train"].tolist())))
