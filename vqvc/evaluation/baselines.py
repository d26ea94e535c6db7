"""What any probe figure must beat: codes drawn at random, and k-means on MFCC at the same number of codes and the same rate."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation.probe import LabelledCodes

FRAME_HOP_SAMPLES = 160  # 10 ms at 16 kHz: the grid on which features and their differences are computed
N_MFCC = 13
FIT_FRAMES = 200_000  # most frames on which k-means is fitted


def random_codes(data: LabelledCodes, seed: int) -> LabelledCodes:
    """``data`` with codes drawn evenly from the codebook: as many and as fast as the real ones, knowing nothing."""
    rng = np.random.default_rng(seed)
    return dataclasses.replace(data, codes=rng.integers(data.codebook_size, size=data.frames, dtype=data.codes.dtype))


def deltas(features: np.ndarray, reach: int = 2) -> np.ndarray:
    """(D, T) -> (D, T): slope of the least-squares line over ``reach`` frames to each side, edges repeated."""
    padded = np.pad(features, ((0, 0), (reach, reach)), mode="edge")
    count = features.shape[1]
    slope = sum(n * (padded[:, reach + n : reach + n + count] - padded[:, reach - n : reach - n + count]) for n in range(1, reach + 1))
    return slope / (2 * sum(n * n for n in range(1, reach + 1)))


def mfcc_with_deltas(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """(39, T) float32: 13 MFCC every 10 ms, their first and second differences. Frame t is centred on (t + 0.5) x 10 ms."""
    from vqvc.audio.features import mfcc

    static = mfcc(samples, sample_rate, n_mfcc=N_MFCC, hop_length=FRAME_HOP_SAMPLES)
    first = deltas(static)
    return np.concatenate([static, first, deltas(first)]).astype(np.float32)


def at_code_centres(frames: np.ndarray, count: int, hop_length: int) -> np.ndarray:
    """(D, T) features on the 10 ms grid -> (count, D): the straight line between the two frames around each code's centre."""
    if not frames.shape[1]:
        raise CorpusError("a recording is too short for a single frame of MFCC; leave it out")
    position = (np.arange(count) + 0.5) * hop_length / FRAME_HOP_SAMPLES - 0.5
    position = np.clip(position, 0, frames.shape[1] - 1)
    left = np.minimum(position.astype(np.int64), frames.shape[1] - 1)
    right = np.minimum(left + 1, frames.shape[1] - 1)
    share = (position - left).astype(np.float32)
    return (frames[:, left] * (1 - share) + frames[:, right] * share).T


class KMeansCodes:
    """k-means (mini-batch, seeded) on standardised MFCC with differences, sampled at the codes' centres."""

    definition = (
        "k-means (scikit-learn MiniBatchKMeans, k-means++ start) on 13 MFCC with first and second differences (10 ms grid), "
        "each dimension standardised, read at the centre of each code; same number of codes, same rate, fitted on the same subset"
    )

    def __init__(self, codebook_size: int, hop_length: int, sample_rate: int, seed: int = 0):
        self.codebook_size, self.hop_length, self.sample_rate, self.seed = codebook_size, hop_length, sample_rate, seed

    def features(self, data: LabelledCodes, waveform: Callable[[str], np.ndarray], progress: Callable[[int], None]) -> np.ndarray:
        """(N, 39) float32 for all codes of ``data``; ``waveform`` gives an utterance's samples, ``progress`` hears of each."""
        rows = np.empty((data.frames, 3 * N_MFCC), dtype=np.float32)
        for index, utt_id in enumerate(data.utt_ids):
            begin, end = data.offsets[index], data.offsets[index + 1]
            if end > begin:
                frames = mfcc_with_deltas(waveform(utt_id), self.sample_rate)
                rows[begin:end] = at_code_centres(frames, int(end - begin), self.hop_length)
            progress(1)
        return rows

    def fit(self, rows: np.ndarray) -> "KMeansCodes":
        """Learn from (N, 39) rows; raises CorpusError when there are fewer rows than codes."""
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
        """(N, 39) rows -> (N,) int32 codes."""
        pieces = [
            self.model.predict((rows[begin : begin + 65536] - self.mean) / self.deviation)
            for begin in range(0, len(rows), 65536)
        ]
        return np.concatenate(pieces).astype(np.int32) if pieces else np.zeros(0, np.int32)


def picked_minutes(data: LabelledCodes, minutes: float, rate_hz: float, seed: int) -> np.ndarray:
    """Indices (sorted) of utterances drawn at random that hold about ``minutes`` together; all when there is less."""
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
    progress: Callable[[int], None] = lambda count: None,
) -> tuple[LabelledCodes, list[LabelledCodes]]:
    """The same utterances with k-means codes in place of the given ones; learnt on ``fitted`` alone."""
    model = KMeansCodes(fitted.codebook_size, hop_length, sample_rate, seed)
    rows = model.features(fitted, waveform, progress)
    model.fit(rows)
    ours = dataclasses.replace(fitted, codes=model.encode(rows))
    theirs = [dataclasses.replace(item, codes=model.encode(model.features(item, waveform, progress))) for item in scored]
    return ours, theirs
