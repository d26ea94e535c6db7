"""The phone probe (van den Oord et al. 2017, section 4.3): how well does a code identify its phone, of 41 classes?

A map from codes to phones is fitted on one set of utterances and scored on another. Maps take whole utterances, so that
a map may use neighbouring codes, and can leave silence out of fitting and scoring. All passes are in chunks of whole
utterances, so that memory does not grow with the corpus.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vqvc.errors import CorpusError

CHUNK_FRAMES = 1 << 20  # codes of a chunk, about
WINDOW_S = 0.1  # reach of a window map to either side
MOST_NEIGHBOURS = 8  # largest reach of a window map in codes
MOST_FITTED = 100_000  # frames that the linear window map is fitted on, at most
DENSE_CELLS = 16_000_000  # largest table of code pairs and phones that is stored densely


@dataclass(frozen=True)
class LabelledCodes:
    """Codes of U utterances, concatenated, and the phone class at the centre of each code.

    codes: (N,) integers in [0, codebook_size). labels: (N,) integers in [0, classes). offsets: (U + 1,) int64;
    utterance u has the frames [offsets[u], offsets[u + 1]). utt_ids, speakers: of the U utterances.
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
        """Yield ranges [first, last) of utterances that have about CHUNK_FRAMES frames each."""
        first = 0
        while first < len(self.utt_ids):
            last = int(np.searchsorted(self.offsets, self.offsets[first] + CHUNK_FRAMES, side="right")) - 1
            last = max(last, first + 1)
            yield first, last
            first = last

    def piece(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Codes and labels (int64) of utterances first to last - 1, and their offsets, which begin at 0."""
        begin, end = self.offsets[first], self.offsets[last]
        return (
            self.codes[begin:end].astype(np.int64),
            self.labels[begin:end].astype(np.int64),
            self.offsets[first : last + 1] - begin,
        )

    def pick(self, utterances: np.ndarray) -> "LabelledCodes":
        """Select utterances by their indices, in the given order."""
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
    """How often each code occurs with each phone: (codebook_size, classes) int64."""
    counts = np.zeros(data.codebook_size * classes, dtype=np.int64)
    for first, last in data.chunks():
        codes, labels, _ = data.piece(first, last)
        counts += np.bincount(codes * classes + labels, minlength=counts.size)
    return counts.reshape(data.codebook_size, classes)


def check(counts: np.ndarray, where: str, ignored: int | None = None) -> None:
    """Raise CorpusError unless ``counts`` (codes, classes) have at least two phones; with one, every map scores 100 %.

    where: the set, for the message. ignored: a class that does not count, such as silence.
    """
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
    """A copy of ``counts`` (..., classes) with zeros for the ignored class."""
    counts = counts.copy()
    if ignored is not None:
        counts[..., ignored] = 0
    return counts


class CodeMap:
    """The paper's map: each code is mapped to its most frequent phone, an unseen code to the most frequent of all."""

    definition = (
        "each code stands for the phone that it met most often while fitting; an unseen code for the commonest phone"
    )

    def __init__(self, counts: np.ndarray, ignored: int | None = None):
        """counts: (codebook_size, classes) of the fitting set; ignored: a class left out, such as silence."""
        counts = without(counts, ignored)
        self.commonest = int(counts.sum(axis=0).argmax())
        self.table = np.where(counts.sum(axis=1) > 0, counts.argmax(axis=1), self.commonest)

    def predict(self, codes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Map codes (N,) of whole utterances to phone classes (N,). offsets: (U + 1,) of the utterances."""
        return self.table[codes]


class ConstantMap(CodeMap):
    """Maps every code to the most frequent phone of the fitting set."""

    definition = "the commonest phone of the fitting set, whatever the code"

    def __init__(self, counts: np.ndarray, ignored: int | None = None):
        super().__init__(counts, ignored)
        self.table = np.full(len(counts), self.commonest)


class BigramMap:
    """Maps each pair (previous code, code) to its most frequent phone; an unseen pair falls back to the code alone."""

    definition = (
        "each pair of the code before and the code stands for its commonest phone; "
        "an unseen pair falls back to the code"
    )

    def __init__(self, data: LabelledCodes, classes: int, counts: np.ndarray, ignored: int | None = None):
        self.single = CodeMap(counts, ignored)
        size = data.codebook_size + 1  # the last index is for the start of an utterance
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
        """The index (N,) of the pair (previous code, code)."""
        before = np.concatenate([[size - 1], codes[:-1]])
        before[offsets[:-1][offsets[:-1] < len(codes)]] = size - 1
        return before * size + codes

    @classmethod
    def _sparse(cls, data, classes, size, ignored) -> tuple[np.ndarray, np.ndarray]:
        """(keys, phones) for a large codebook: counts of the cells (pair, phone) that occur, merged chunk by chunk."""
        cells, counts = np.zeros(0, np.int64), np.zeros(0, np.int64)
        for first, last in data.chunks():
            codes, labels, offsets = data.piece(first, last)
            seen, times = np.unique(cls._pair(codes, offsets, size) * classes + labels, return_counts=True)
            cells, where = np.unique(np.concatenate([cells, seen]), return_inverse=True)
            counts = np.bincount(where, weights=np.concatenate([counts, times])).astype(np.int64)
        if ignored is not None:
            keep = cells % classes != ignored
            cells, counts = cells[keep], counts[keep]
        # by pair, then by falling count, then by phone: the first cell of each pair has its most frequent phone
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
    """The codes around each code within its utterance, (N, 2 radius + 1); ``codebook_size`` beyond its ends."""
    utterance = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    at = np.arange(len(codes))[:, None] + np.arange(-radius, radius + 1)
    inside = (at >= offsets[utterance][:, None]) & (at < offsets[utterance + 1][:, None])
    return np.where(inside, codes[np.clip(at, 0, max(len(codes) - 1, 0))], codebook_size)


class WindowMap:
    """A linear classifier (scikit-learn, logistic loss) on the one-hot codes in a window around each code.

    radius: codes on either side. most_fitted: expected number of frames that it is fitted on, drawn with ``seed``.
    """

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
        if len(model.classes_) == 2:  # scikit-learn has one row for two classes
            coefficients = np.vstack([-coefficients, coefficients])
            intercepts = np.array([-intercepts[0], intercepts[0]])
        self.classes, self.intercepts = model.classes_, intercepts
        self.weights = coefficients.T.astype(np.float32).copy()
        self.definition = (
            f"a linear classifier (scikit-learn SGDClassifier, logistic loss, 6 passes over {len(targets)} frames) on the "
            f"one-hot codes of a window of {2 * radius + 1}"
        )

    def _columns(self, codes: np.ndarray, offsets: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The columns (R, width) of the ones in the one-hot windows of ``rows`` (R,)."""
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
    """How many codes WINDOW_S holds, from 1 to MOST_NEIGHBOURS. rate_hz: codes per second."""
    return int(np.clip(round(WINDOW_S * rate_hz), 1, MOST_NEIGHBOURS))


def score(
    model, data: LabelledCodes, ignored: int | None = None, most_frames: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Score a map: how many frames of each utterance get the right phone, and how many are scored, (U,) int64 each.

    ignored: a class whose frames are not scored. most_frames: stop after about this many frames; the total of the other
    utterances is 0.
    """
    right, total = np.zeros(len(data.utt_ids), np.int64), np.zeros(len(data.utt_ids), np.int64)
    for first, last in data.chunks():
        if most_frames is not None and data.offsets[first] >= most_frames:
            break
        codes, labels, offsets = data.piece(first, last)
        scored = np.ones(len(labels), bool) if ignored is None else labels != ignored
        correct = (model.predict(codes, offsets) == labels) & scored
        total[first:last] = _sums(scored, offsets)
        right[first:last] = _sums(correct, offsets)
    return right, total


def _sums(flags: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """How many flags (N,) are set in each utterance: (U,)."""
    running = np.concatenate([[0], np.cumsum(flags)])
    return running[offsets[1:]] - running[offsets[:-1]]
