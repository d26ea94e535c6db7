"""The phone probe (section 4.3 of the paper): how well does a code identify which of the 41 phones it lies in?

A map from codes to phones is fitted on one set of utterances and scored on another. Every map works on whole
utterances, so that a window may look at neighbours, and can leave silence out of fitting and scoring.
All passes go through the frames in chunks of whole utterances: memory stays flat however long the corpus is.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vqvc.errors import CorpusError

CHUNK_FRAMES = 1 << 20
WINDOW_S = 0.1  # a window map looks this far to each side
MOST_NEIGHBOURS = 8  # codes to each side, whatever the rate
MOST_FITTED = 100_000  # frames on which the linear window map is fitted
DENSE_CELLS = 16_000_000  # a table of code pairs and phones up to this size is kept whole


@dataclass(frozen=True)
class LabelledCodes:
    """Codes of many utterances, one after the other, and the phone class at the centre of each.

    codes: (N,) integers in [0, codebook_size); labels: (N,) integers in [0, classes); offsets: (U + 1,) int64;
    speakers: (U,) text. Utterance u holds frames [offsets[u], offsets[u + 1]).
    """

    codes: np.ndarray
    labels: np.ndarray
    offsets: np.ndarray
    utt_ids: tuple[str, ...]
    speakers: tuple[str, ...]
    codebook_size: int

    @property
    def frames(self) -> int:
        return int(self.offsets[-1])

    def chunks(self) -> Iterator[tuple[int, int]]:
        """Ranges of whole utterances that hold about CHUNK_FRAMES frames each."""
        first = 0
        while first < len(self.utt_ids):
            last = int(np.searchsorted(self.offsets, self.offsets[first] + CHUNK_FRAMES, side="right")) - 1
            last = max(last, first + 1)
            yield first, last
            first = last

    def piece(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(codes int64, labels int64, offsets from 0) of utterances first to last - 1."""
        begin, end = self.offsets[first], self.offsets[last]
        return (
            self.codes[begin:end].astype(np.int64),
            self.labels[begin:end].astype(np.int64),
            self.offsets[first : last + 1] - begin,
        )

    def pick(self, utterances: np.ndarray) -> "LabelledCodes":
        """Only these utterances (indices), in the given order."""
        spans = [slice(self.offsets[u], self.offsets[u + 1]) for u in utterances]
        lengths = [span.stop - span.start for span in spans]
        return LabelledCodes(
            codes=np.concatenate([self.codes[span] for span in spans]) if spans else self.codes[:0],
            labels=np.concatenate([self.labels[span] for span in spans]) if spans else self.labels[:0],
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            utt_ids=tuple(self.utt_ids[u] for u in utterances),
            speakers=tuple(self.speakers[u] for u in utterances),
            codebook_size=self.codebook_size,
        )


def joint_counts(data: LabelledCodes, classes: int) -> np.ndarray:
    """(codebook_size, classes) int64: how often each code met each phone."""
    counts = np.zeros(data.codebook_size * classes, dtype=np.int64)
    for first, last in data.chunks():
        codes, labels, _ = data.piece(first, last)
        counts += np.bincount(codes * classes + labels, minlength=counts.size)
    return counts.reshape(data.codebook_size, classes)


def check(counts: np.ndarray, where: str, ignored: int | None = None) -> None:
    """Raise CorpusError unless ``counts`` (codes, classes) hold at least two phones: one class scores 100 % for nothing."""
    per_class = counts.sum(axis=0)
    if ignored is not None:
        per_class = np.delete(per_class, ignored)
    present = int(np.count_nonzero(per_class))
    if present < 2:
        kind = "phones beside silence" if ignored is not None else "phones"
        raise CorpusError(
            f"{where}: holds {present} {kind}, but a probe needs at least two classes; "
            "check the alignment and which utterances it covers"
        )


def without(counts: np.ndarray, ignored: int | None) -> np.ndarray:
    """A copy of ``counts`` (..., classes) in which the ignored class was never seen."""
    counts = counts.copy()
    if ignored is not None:
        counts[..., ignored] = 0
    return counts


class CodeMap:
    """The paper's map: each code stands for the phone it met most often; an unseen code for the commonest phone."""

    definition = (
        "each code stands for the phone that it met most often while fitting; an unseen code for the commonest phone"
    )

    def __init__(self, counts: np.ndarray, ignored: int | None = None):
        """counts: (codebook_size, classes) of the fitting set; ignored: a class left out, such as silence."""
        counts = without(counts, ignored)
        self.commonest = int(counts.sum(axis=0).argmax())
        self.table = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), self.commonest)

    def predict(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """(N,) codes of whole utterances -> (N,) phone classes."""
        return self.table[codes]


class ConstantMap(CodeMap):
    """Always the commonest phone of the fitting set."""

    definition = "the commonest phone of the fitting set, whatever the code"

    def __init__(self, counts: np.ndarray, ignored: int | None = None):
        super().__init__(counts, ignored)
        self.table = np.full(len(counts), self.commonest)


class BigramMap:
    """Each pair (code before, code) stands for the phone it met most often; an unseen pair falls back to the code alone."""

    definition = "each pair of the code before and the code stands for its commonest phone; an unseen pair falls back to the code"

    def __init__(self, data: LabelledCodes, classes: int, counts: np.ndarray, ignored: int | None = None):
        self.single = CodeMap(counts, ignored)
        size = data.codebook_size + 1  # the last one stands for "no code before"
        if size * size * classes > DENSE_CELLS:
            self.keys, self.phones = self._sparse(data, classes, size, ignored)
            return
        pairs = np.zeros(size * size * classes, dtype=np.int64)
        for first, last in data.chunks():
            codes, labels, offsets = data.piece(first, last)
            pairs += np.bincount(self._pair(codes, offsets, size) * classes + labels, minlength=pairs.size)
        pairs = without(pairs.reshape(size * size, classes), ignored)
        self.keys = np.flatnonzero(pairs.sum(axis=1))
        self.phones = pairs[self.keys].argmax(axis=1)

    @staticmethod
    def _pair(codes: np.ndarray, offsets: np.ndarray, size: int) -> np.ndarray:
        before = np.concatenate([[size - 1], codes[:-1]])
        before[offsets[:-1][offsets[:-1] < len(codes)]] = size - 1
        return before * size + codes

    @classmethod
    def _sparse(cls, data, classes, size, ignored) -> tuple[np.ndarray, np.ndarray]:
        """The same for a large codebook: cells that were seen, merged chunk by chunk."""
        cells, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        for first, last in data.chunks():
            codes, labels, offsets = data.piece(first, last)
            seen, times = np.unique(cls._pair(codes, offsets, size) * classes + labels, return_counts=True)
            cells, where = np.unique(np.concatenate([cells, seen]), return_inverse=True)
            counts = np.bincount(where, weights=np.concatenate([counts, times])).astype(np.int64)
        if ignored is not None:
            keep = cells % classes != ignored
            cells, counts = cells[keep], counts[keep]
        order = np.lexsort((cells % classes, -counts, cells // classes))
        keys, first_of = np.unique(cells[order] // classes, return_index=True)
        return keys, (cells[order] % classes)[first_of]

    def predict(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """(N,) codes of whole utterances -> (N,) phone classes."""
        pair = self._pair(codes, offsets, len(self.single.table) + 1)
        result = self.single.predict(codes, offsets)
        if len(self.keys):
            at = np.minimum(np.searchsorted(self.keys, pair), len(self.keys) - 1)
            result = np.where(self.keys[at] == pair, self.phones[at], result)
        return result


def neighbours(codes: np.ndarray, offsets: np.ndarray, radius: int, codebook_size: int) -> np.ndarray:
    """(N, 2 radius + 1) codes around each code, within its utterance; ``codebook_size`` where there is none."""
    utterance = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    at = np.arange(len(codes))[:, None] + np.arange(-radius, radius + 1)
    inside = (at >= offsets[utterance][:, None]) & (at < offsets[utterance + 1][:, None])
    return np.where(inside, codes[np.clip(at, 0, max(len(codes) - 1, 0))], codebook_size)


class WindowMap:
    """A linear classifier (scikit-learn, logistic loss) over the one-hot codes in a window around each code."""

    def __init__(
        self,
        data: LabelledCodes,
        radius: int,
        ignored: int | None = None,
        seed: int = 0,
        most_fitted: int = MOST_FITTED,
    ):
        from sklearn.linear_model import SGDClassifier

        self.radius, self.size = radius, data.codebook_size
        rng = np.random.default_rng(seed)
        chance = min(1.0, most_fitted / max(data.frames, 1))
        windows, targets = [], []
        for first, last in data.chunks():
            codes, labels, offsets = data.piece(first, last)
            keep = rng.random(len(codes)) < chance
            if ignored is not None:
                keep &= labels != ignored
            windows.append(self._columns(codes, offsets, np.flatnonzero(keep)))
            targets.append(labels[keep])
        windows, targets = np.concatenate(windows), np.concatenate(targets)
        model = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=6, tol=None, average=True, random_state=seed)
        model.fit(self._one_hot(windows), targets)
        coefficients, intercepts = model.coef_, model.intercept_
        if len(model.classes_) == 2:  # scikit-learn keeps one row for two classes
            coefficients, intercepts = (
                np.vstack([-coefficients, coefficients]),
                np.array([-intercepts[0], intercepts[0]]),
            )
        self.classes, self.weights, self.intercepts = (
            model.classes_,
            coefficients.T.astype(np.float32).copy(),
            intercepts,
        )
        self.definition = (
            f"a linear classifier (scikit-learn SGDClassifier, logistic loss, 6 passes over {len(targets)} frames) on the "
            f"one-hot codes of a window of {2 * radius + 1}"
        )

    def _columns(self, codes: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(R, width) column numbers of the ones in the one-hot window."""
        window = neighbours(codes, offsets, self.radius, self.size)[rows]
        return window + np.arange(window.shape[1]) * (self.size + 1)

    def _one_hot(self, columns: np.ndarray):
        from scipy.sparse import csr_matrix

        rows, width = columns.shape
        data = np.ones(columns.size, dtype=np.float32)
        return csr_matrix(
            (data, columns.ravel(), np.arange(0, columns.size + 1, width)), (rows, width * (self.size + 1))
        )

    def predict(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """(N,) codes of whole utterances -> (N,) phone classes."""
        result = np.zeros(len(codes), dtype=np.int64)
        for begin in range(0, len(codes), 65536):
            rows = np.arange(begin, min(begin + 65536, len(codes)))
            low, high = max(0, begin - self.radius), min(len(codes), rows[-1] + 1 + self.radius)
            inner = np.unique(np.clip(offsets - low, 0, high - low))
            columns = self._columns(codes[low:high], inner, rows - low)
            scores = self._one_hot(columns) @ self.weights + self.intercepts
            result[rows] = self.classes[scores.argmax(axis=1)]
        return result


def radius_for(rate_hz: float) -> int:
    """Codes to each side that a window of 0.1 s holds, 1 to 8."""
    return int(np.clip(round(WINDOW_S * rate_hz), 1, MOST_NEIGHBOURS))


def score(
    model, data: LabelledCodes, ignored: int | None = None, most_frames: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(right, total), both (U,) int64: how many frames of each utterance the map names rightly.

    ignored: frames of this class are not scored. most_frames: stop after whole utterances that hold this many frames
    (the others have total 0).
    """
    right, total = np.zeros(len(data.utt_ids), np.int64), np.zeros(len(data.utt_ids), np.int64)
    for first, last in data.chunks():
        if most_frames is not None and data.offsets[first] >= most_frames:
            break
        codes, labels, offsets = data.piece(first, last)
        counted = np.ones(len(labels), bool) if ignored is None else labels != ignored
        hit = (model.predict(codes, offsets) == labels) & counted
        total[first:last] = _sums(counted, offsets)
        right[first:last] = _sums(hit, offsets)
    return right, total


def _sums(flags: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """How many flags are set in each utterance, empty ones included."""
    running = np.concatenate([[0], np.cumsum(flags)])
    return running[offsets[1:]] - running[offsets[:-1]]
