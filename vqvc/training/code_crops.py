"""Random crops of encoded utterances. A batch depends only on the seed and the number of the step, as in ``crops``."""

from dataclasses import dataclass

import numpy as np

from vqvc.corpus.codes import CodeArchive
from vqvc.errors import CorpusError


@dataclass(frozen=True)
class CodeBatch:
    """A batch of B crops of T codes.

    codes: (B, T) int64. before: (B,) int64, the code before each crop; codebook_size at the start of an utterance.
    speaker: (B,) int64, index of the prior's speaker; 0 if it is hidden. scored: (B, T) bool, which codes count in the
    loss: False in the context and past the end of the utterance. utt_ids: of the B utterances.
    """

    codes: np.ndarray
    before: np.ndarray
    speaker: np.ndarray
    scored: np.ndarray
    utt_ids: tuple[str, ...]


class CodeCrops:
    """Random crops of the utterances of a subset, which are drawn in proportion to their lengths.

    speakers: names in the order of the prior's table. batch_size: crops per batch. crop_codes: codes per crop, of which
    the first ``context_codes`` are not scored unless the utterance begins there. anonymous: probability that a crop's
    speaker is given as 0 (unknown). Raises CorpusError if the subset is empty.
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
        self.batch_size, self.crop_codes = batch_size, crop_codes
        self.context_codes, self.anonymous = context_codes, anonymous
        lengths = np.diff(archive.offsets)
        self.chosen = np.flatnonzero((archive.subsets == subset) & np.isin(archive.speakers, speakers) & (lengths > 0))
        if not len(self.chosen):
            raise CorpusError(f"codes: the subset {subset} is empty; encode a larger store with vqvc-encode")
        self.lengths = lengths[self.chosen]
        self.total_codes = int(self.lengths.sum())
        self.ends = np.cumsum(self.lengths)

    def batch(self, step: int) -> CodeBatch:
        """Draw the batch of a step."""
        rng = np.random.Generator(np.random.Philox(key=self.seed, counter=[0, 0, 0, step]))
        codes = np.zeros((self.batch_size, self.crop_codes), np.int64)
        scored = np.zeros(codes.shape, bool)
        before = np.full(self.batch_size, self.archive.codebook_size, np.int64)
        speaker = np.zeros(self.batch_size, np.int64)
        utt_ids = []
        for row in range(self.batch_size):
            number = int(np.searchsorted(self.ends, rng.integers(self.total_codes), side="right"))
            utterance, length = self.chosen[number], int(self.lengths[number])
            start = max(0, int(rng.integers(-self.context_codes, max(1, length - self.crop_codes + 1))))
            first = self.archive.offsets[utterance]
            crop = self.archive.codes[first + start : first + min(length, start + self.crop_codes)]
            codes[row, : len(crop)] = crop
            scored[row, self.context_codes if start else 0 : len(crop)] = True
            if start:
                before[row] = self.archive.codes[first + start - 1]
            if rng.random() >= self.anonymous:
                speaker[row] = 1 + self.speakers.index(str(self.archive.speakers[utterance]))
            utt_ids.append(str(self.archive.utt_ids[utterance]))
        return CodeBatch(codes, before, speaker, scored, tuple(utt_ids))


def train_speakers(archive: CodeArchive) -> tuple[str, ...]:
    """Names of the speakers of subset ``train``, sorted."""
    return tuple(sorted(set(archive.speakers[archive.subsets == "train"].tolist())))
