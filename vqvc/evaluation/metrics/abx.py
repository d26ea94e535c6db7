"""ABX discrimination of phone triples (Schatz et al. 2013; the ZeroSpeech challenges): is X nearer to A than to B?

A and X are the same three phones in a row, B differs from them in the middle one. *Within*: all three by one speaker.
*Across*: A and B by one speaker, X by another. The error is the share of wrong answers (a tie is half wrong), averaged over
cells of (speakers, context, pair of middle phones), so that frequent phones do not drown the others. Chance is 50 %.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.errors import CorpusError
from vqvc.evaluation import baselines
from vqvc.evaluation.figures import mean_interval
from vqvc.evaluation.metric import ByKind, ByName, Metric
from vqvc.evaluation.probe import LabelledCodes

MOST_MINUTES = 60.0  # of speech
MOST_CELLS = 4000  # cells that are drawn, at random, when there are more
PER_CELL = 3  # answers asked for in each cell


@dataclass(frozen=True)
class Token:
    """Three phones in a row in one utterance; times in seconds."""

    speaker: str
    utt_id: str
    before: str
    phone: str
    after: str
    start_s: float
    end_s: float


def tokens(alignment: Mapping[str, Sequence], speaker_of: Mapping[str, str], silence: str = "pau") -> list[Token]:
    """All triples without silence of the utterances in ``speaker_of``, in the order of the alignment."""
    result = []
    for utt_id, segments in alignment.items():
        if utt_id not in speaker_of:
            continue
        for left, middle, right in zip(segments, segments[1:], segments[2:]):
            if silence in (left.phone, middle.phone, right.phone):
                continue
            end = right.start_s + right.duration_s
            result.append(Token(speaker_of[utt_id], utt_id, left.phone, middle.phone, right.phone, left.start_s, end))
    return result


def triplets(items: Sequence[Token], across: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(rows (R, 3) of indices A, B, X into ``items``; cell number (R,) of each row), drawn with ``seed``."""
    by_place: dict = defaultdict(lambda: defaultdict(list))  # (context, speaker) -> phone -> indices
    by_triple: dict = defaultdict(lambda: defaultdict(list))  # (context, phone) -> speaker -> indices
    for index, token in enumerate(items):
        context = (token.before, token.after)
        by_place[context, token.speaker][token.phone].append(index)
        by_triple[context, token.phone][token.speaker].append(index)
    cells = []
    for (context, speaker), phones in by_place.items():
        for a in phones:
            others = [name for name in by_triple[context, a] if name != speaker]
            if len(phones) > 1 and (others if across else len(phones[a]) > 1):
                cells += [(context, speaker, a, b) for b in phones if b != a]
    rng = np.random.default_rng(seed)
    if len(cells) > MOST_CELLS:
        cells = [cells[n] for n in np.sort(rng.choice(len(cells), MOST_CELLS, replace=False))]
    rows, numbers = [], []
    for number, (context, speaker, a, b) in enumerate(cells):
        own, wrong = by_place[context, speaker][a], by_place[context, speaker][b]
        pool = [n for name, found in by_triple[context, a].items() if name != speaker for n in found] if across else own
        possible = len(own) * len(wrong) * (len(pool) if across else len(pool) - 1)
        for _ in range(min(PER_CELL, possible)):
            first = own[rng.integers(len(own))]
            other = pool[rng.integers(len(pool))]
            while other == first:
                other = pool[rng.integers(len(pool))]
            rows.append((first, wrong[rng.integers(len(wrong))], other))
            numbers.append(number)
    return np.array(rows, dtype=np.int64).reshape(-1, 3), np.array(numbers, dtype=np.int64)


def dtw(costs: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Mean cost along the cheapest monotonic path, for many pairs at once.

    costs: (P, A, B) padded with anything; rows, columns: (P,) true lengths, at least 1. Steps are right, down and diagonal.
    Among paths of equal sum the shorter one counts. Returns (P,).
    """
    pairs, height, width = costs.shape
    total = np.full((pairs, height + 1, width + 1), np.inf)
    steps = np.zeros((pairs, height + 1, width + 1))
    total[:, 0, 0] = 0
    for i in range(1, height + 1):
        for j in range(1, width + 1):
            before = np.stack([total[:, i - 1, j - 1], total[:, i - 1, j], total[:, i, j - 1]])
            length = np.stack([steps[:, i - 1, j - 1], steps[:, i - 1, j], steps[:, i, j - 1]])
            length = np.where(before == before.min(axis=0), length, np.inf)
            total[:, i, j] = before.min(axis=0) + costs[:, i - 1, j - 1]
            steps[:, i, j] = length.min(axis=0) + 1
    every = np.arange(pairs)
    return total[every, rows, columns] / steps[every, rows, columns]


def code_costs(vectors: np.ndarray | None, codebook_size: int) -> np.ndarray:
    """(K, K) cost between codes: 0 for the same and 1 for another, or the angle / pi between codebook ``vectors`` (K, D)."""
    if vectors is None:
        return 1.0 - np.eye(codebook_size, dtype=np.float32)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.arccos(np.clip(unit @ unit.T, -1, 1)).astype(np.float32) / np.float32(np.pi)


def distances(
    left: Sequence[np.ndarray], right: Sequence[np.ndarray], cost: Callable | np.ndarray, batch: int = 2048
) -> np.ndarray:
    """(P,) DTW distances between sequences of codes (L,) with a cost table (K, K), or of frames (L, D) by angle / pi."""
    result = np.empty(len(left))
    for begin in range(0, len(left), batch):
        ones, others = left[begin : begin + batch], right[begin : begin + batch]
        rows, columns = np.array([len(x) for x in ones]), np.array([len(x) for x in others])
        costs = np.zeros((len(ones), rows.max(), columns.max()), dtype=np.float32)
        for n, (one, other) in enumerate(zip(ones, others, strict=True)):
            if isinstance(cost, np.ndarray):
                costs[n, : len(one), : len(other)] = cost[np.ix_(one, other)]
            else:
                costs[n, : len(one), : len(other)] = cost(one, other)
        result[begin : begin + batch] = dtw(costs, rows, columns)
    return result


def angles(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(L1, D), (L2, D) -> (L1, L2) angle between frames / pi, as ZeroSpeech measures features."""
    one = one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12)
    other = other / np.maximum(np.linalg.norm(other, axis=1, keepdims=True), 1e-12)
    return np.arccos(np.clip(one @ other.T, -1, 1)) / np.pi


def errors(
    sequences: Sequence[np.ndarray | None],
    items: Sequence[Token],
    across: bool,
    cost: Callable | np.ndarray,
    seed: int = 0,
) -> np.ndarray:
    """(C,) error of each cell in [0, 1]. sequences: what represents each token (None: too short, left out).

    Raises CorpusError when no cell can be formed.
    """
    kept = [index for index, sequence in enumerate(sequences) if sequence is not None and len(sequence)]
    rows, cells = triplets([items[index] for index in kept], across, seed)
    if not len(rows):
        raise CorpusError(
            "ABX needs phone triples that differ in the middle phone, spoken more than once; give more aligned utterances"
        )
    a, b, x = ([sequences[kept[index]] for index in rows[:, column]] for column in range(3))
    right, wrong = distances(x, a, cost), distances(x, b, cost)
    answer = np.where(np.isclose(right, wrong), 0.5, (right > wrong).astype(float))
    _, cells = np.unique(cells, return_inverse=True)
    return np.bincount(cells, weights=answer) / np.bincount(cells)


def measure(
    data: Mapping[str, LabelledCodes],
    alignment: Mapping[str, Sequence],
    rate_hz: float,
    vectors: np.ndarray | None = None,
    frames_of: Callable[[str], np.ndarray] | None = None,
    seed: int = 0,
) -> ByKind:
    """{system: {"within" or "across": metric}} for each set of codes in ``data`` (all over the same utterances).

    vectors: (K, D) codebook, for angles between codes of the system "codes". frames_of: utt_id -> (T, D) features every
    10 ms, for the system "mfcc", the reference that no codebook has narrowed.
    """
    first = next(iter(data.values()))
    items = tokens(alignment, dict(zip(first.utt_ids, first.speakers, strict=True)))
    result: ByKind = {}
    for system, own in data.items():
        table = code_costs(vectors if system == "codes" else None, own.codebook_size)
        cost_name = (
            "angle between codebook vectors"
            if system == "codes" and vectors is not None
            else "0 for equal codes, else 1"
        )
        place = {utt_id: index for index, utt_id in enumerate(own.utt_ids)}
        sequences = [_span(own, place[item.utt_id], item, rate_hz) for item in items]
        result[system] = _both(sequences, items, table, cost_name, seed)
    if frames_of is not None:
        frames = {utt_id: frames_of(utt_id) for utt_id in dict.fromkeys(item.utt_id for item in items)}
        sequences = [frames[item.utt_id][round(item.start_s * 100) : round(item.end_s * 100)] for item in items]
        result["mfcc"] = _both(
            sequences, items, angles, "angle between standardised MFCC with differences, every 10 ms", seed
        )
    return result


def _span(data: LabelledCodes, utterance: int, item: Token, rate_hz: float) -> np.ndarray:
    """The codes whose centres lie inside the triple."""
    begin, end = int(np.ceil(item.start_s * rate_hz - 0.5)), int(np.ceil(item.end_s * rate_hz - 0.5))
    own = data.codes[data.offsets[utterance] : data.offsets[utterance + 1]]
    return own[max(begin, 0) : end].astype(np.int64)


def _both(sequences: Sequence, items: Sequence[Token], cost, cost_name: str, seed: int) -> ByName:
    result: ByName = {}
    for name, across in (("within", False), ("across", True)):
        cells = errors(sequences, items, across, cost, seed)
        low, high = mean_interval(cells, seed)
        result[name] = Metric(
            name,
            100 * float(cells.mean()),
            "%",
            f"ABX error {name} speakers on phone triples that differ in the middle phone; DTW, mean cost along the path; cost: "
            f"{cost_name}; mean over cells of (speaker, context, phone pair), interval over cells; chance 50 %",
            interval=(100 * low, 100 * high),
            n=len(cells),
            chance=50.0,
        )
    return result


def standardised_mfcc(
    waveform: Callable[[str], np.ndarray], sample_rate: int, utt_ids: Sequence[str]
) -> Callable[[str], np.ndarray]:
    """utt_id -> (T, 39) MFCC with differences, each dimension scaled over ``utt_ids`` (at most 50 of them)."""
    hop = sample_rate // 100
    some = np.concatenate([baselines.centre_mfcc(waveform(utt_id), sample_rate, hop) for utt_id in utt_ids[:50]])
    mean, deviation = some.mean(axis=0), some.std(axis=0) + 1e-6
    return lambda utt_id: (baselines.centre_mfcc(waveform(utt_id), sample_rate, hop) - mean) / deviation
