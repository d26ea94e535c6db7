"""Baselines of the probe: random codes, and k-means on MFCC with the same number of codes and the same rate."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from vqvc.audio.features import deltas, mfcc
from vqvc.errors import CorpusError
from vqvc.evaluation.probe import LabelledCodes

N_MFCC = 13
FIT_FRAMES = 200_000  # frames that k-means is fitted on, at most


def random_codes(data: LabelledCodes, seed: int) -> LabelledCodes:
    """``data`` with codes that are drawn uniformly from the codebook."""
    rng = np.random.default_rng(seed)
    return dataclasses.replace(data, codes=rng.integers(data.codebook_size, size=data.frames, dtype=data.codes.dtype))


def centre_mfcc(samples: np.ndarray, sample_rate: int, hop_length: int, count: int | None = None) -> np.ndarray:
    """13 MFCC with first and second differences at the centres of codes of ``hop_length`` samples: (count, 39) float32.

    They are computed every 10 ms and interpolated linearly at the centres, so that a coarse hop does not blur the
    differences. count: of codes, ceil(T / hop_length) when None.
    """
    fine = sample_rate // 100
    static = mfcc(samples, sample_rate, n_mfcc=N_MFCC, hop_length=fine)
    first = deltas(static)
    frames = np.concatenate([static, first, deltas(first)])
    count = -(-len(samples) // hop_length) if count is None else count
    position = np.clip((np.arange(count) + 0.5) * hop_length / fine - 0.5, 0, frames.shape[1] - 1)
    left = position.astype(np.int64)
    right = np.minimum(left + 1, frames.shape[1] - 1)
    weight = (position - left).astype(np.float32)
    return (frames[:, left] * (1 - weight) + frames[:, right] * weight).T.astype(np.float32)


class KMeansCodes:
    """Codes by mini-batch k-means on standardised MFCC with differences at the centres of the codes."""

    definition = (
        "k-means (scikit-learn MiniBatchKMeans, k-means++ start) on 13 MFCC with first and second differences (10 ms grid), "
        "each dimension standardised, read at the centre of each code; same number of codes, same rate, fitted on the same subset"
    )

    def __init__(self, codebook_size: int, hop_length: int, sample_rate: int, seed: int = 0):
        self.codebook_size, self.hop_length, self.sample_rate, self.seed = codebook_size, hop_length, sample_rate, seed

    def features(
        self, data: LabelledCodes, waveform: Callable[[str], np.ndarray], progress: Callable[[int], object]
    ) -> np.ndarray:
        """Features (N, 39) float32 at all codes of ``data``.

        waveform: returns the samples of an utterance id. progress: called with 1 for each utterance.
        """
        rows = np.empty((data.frames, 3 * N_MFCC), dtype=np.float32)
        for index, utt_id in enumerate(data.utt_ids):
            begin, end = data.offsets[index], data.offsets[index + 1]
            if end > begin:
                rows[begin:end] = centre_mfcc(waveform(utt_id), self.sample_rate, self.hop_length, int(end - begin))
            progress(1)
        return rows

    def fit(self, rows: np.ndarray) -> "KMeansCodes":
        """Fit k-means to ``rows`` (N, 39). Raises CorpusError if there are fewer rows than codes."""
        from sklearn.cluster import MiniBatchKMeans

        if len(rows) < self.codebook_size:
            raise CorpusError(
                f"k-means with {self.codebook_size} codes needs as many frames and got {len(rows)}; give more utterances"
            )
        rng = np.random.default_rng(self.seed)
        if len(rows) > FIT_FRAMES:
            rows = rows[rng.choice(len(rows), FIT_FRAMES, replace=False)]
        self.mean, self.deviation = rows.mean(axis=0), rows.std(axis=0) + 1e-6
        self.model = MiniBatchKMeans(
            n_clusters=self.codebook_size,
            batch_size=4096,
            n_init=1,
            max_iter=30,
            max_no_improvement=50,
            random_state=self.seed,
        ).fit((rows - self.mean) / self.deviation)
        return self

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """Codes (N,) int32 of features ``rows`` (N, 39)."""
        pieces = [
            self.model.predict((rows[begin : begin + 65536] - self.mean) / self.deviation)
            for begin in range(0, len(rows), 65536)
        ]
        return np.concatenate(pieces).astype(np.int32) if pieces else np.zeros(0, np.int32)


def picked_minutes(data: LabelledCodes, minutes: float, rate_hz: float, seed: int) -> np.ndarray:
    """Draw utterances that have about ``minutes`` in all (all of them if they have less); returns sorted indices."""
    order = np.random.default_rng(seed).permutation(len(data.utt_ids))
    frames = np.cumsum(np.diff(data.offsets)[order])
    return np.sort(order[: int(np.searchsorted(frames, minutes * 60 * rate_hz)) + 1])


def kmeans_codes(
    fitted: LabelledCodes,
    scored: Sequence[LabelledCodes],
    waveform: Callable[[str], np.ndarray],
    hop_length: int,
    sample_rate: int,
    seed: int = 0,
    progress: Callable[[int], object] = lambda count: None,
) -> tuple[LabelledCodes, list[LabelledCodes]]:
    """``fitted`` and ``scored`` with k-means codes in place of their codes. k-means is fitted on ``fitted`` only."""
    model = KMeansCodes(fitted.codebook_size, hop_length, sample_rate, seed)
    rows = model.features(fitted, waveform, progress)
    model.fit(rows)
    fitted_codes = dataclasses.replace(fitted, codes=model.encode(rows))
    scored_codes = [
        dataclasses.replace(data, codes=model.encode(model.features(data, waveform, progress))) for data in scored
    ]
    return fitted_codes, scored_codes
