"""ABX discrimination of phone triples (Schatz et al. 2013; the ZeroSpeech challenges): is X nearer to A than to B?

A and X are the same sequence of three phones, B differs from them in the middle phone. *Within*: all three by one
speaker.
*Across*: A and B by one speaker, X by another. The error is the share of wrong answers (a tie is half wrong), averaged
over cells of (speaker, context, pair of middle phones), so that frequent phones do not dominate. Chance is 50 %.
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
MOST_CELLS = 4000  # if there are more cells, this number is drawn at random
PER_CELL = 3  # triplets (A, B, X) in each cell, at most


@dataclass(frozen=True)
class Token:
    """A sequence of three phones in an utterance; times in seconds."""

    speaker: str
    utt_id: str
    before: str
    phone: str
    after: str
    start_s: float
    end_s: float


def tokens(alignment: Mapping[str, Sequence], speaker_of: Mapping[str, str], silence: str = "pau") -> list[Token]:
    """All phone triples without silence, in the order of the alignment.

    alignment: segments by utterance id. speaker_of: speakers by utterance id; other utterances are left out.
    """
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
    """Draw triplets: indices (A, B, X) into ``items``, (R, 3) int64, and the number of the cell of each, (R,) int64."""
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
        a_tokens, b_tokens = by_place[context, speaker][a], by_place[context, speaker][b]
        x_tokens = a_tokens
        if across:
            by_speaker = by_triple[context, a]
            x_tokens = [index for name in by_speaker if name != speaker for index in by_speaker[name]]
        possible = len(a_tokens) * len(b_tokens) * (len(x_tokens) if across else len(x_tokens) - 1)
        for _ in range(min(PER_CELL, possible)):
            a_token = a_tokens[rng.integers(len(a_tokens))]
            x_token = x_tokens[rng.integers(len(x_tokens))]
            while x_token == a_token:
                x_token = x_tokens[rng.integers(len(x_tokens))]
            rows.append((a_token, b_tokens[rng.integers(len(b_tokens))], x_token))
            numbers.append(number)
    return np.array(rows, dtype=np.int64).reshape(-1, 3), np.array(numbers, dtype=np.int64)


def dtw(costs: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Dynamic time warping for P pairs at once: the mean cost along the cheapest monotonic path, (P,).

    costs: (P, A, B), with any padding. rows, columns: (P,), the true lengths, at least 1. Steps are right, down and
    diagonal. Of paths with equal sums, the shortest is taken.
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
    """Costs between codes (K, K): the angle between codebook ``vectors`` (K, D) over pi, or 0 and 1 without vectors."""
    if vectors is None:
        return 1.0 - np.eye(codebook_size, dtype=np.float32)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return np.arccos(np.clip(unit @ unit.T, -1, 1)).astype(np.float32) / np.float32(np.pi)


def distances(
    left: Sequence[np.ndarray], right: Sequence[np.ndarray], cost: Callable | np.ndarray, batch: int = 2048
) -> np.ndarray:
    """DTW distances (P,) between pairs of sequences.

    cost: a table (K, K), for sequences of codes (L,); or a function of two sequences that returns the costs (L1, L2).
    """
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
    """Angles over pi (L1, L2) between frames (L1, D) and (L2, D), the distance of the ZeroSpeech challenges."""
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
    """The error of each cell in [0, 1], (C,). sequences: the representation of each token; None or empty is left out.

    Raises CorpusError if there are no cells.
    """
    usable = [index for index, sequence in enumerate(sequences) if sequence is not None and len(sequence)]
    rows, cells = triplets([items[index] for index in usable], across, seed)
    if not len(rows):
        raise CorpusError(
            "ABX needs phone triples that differ in the middle phone, spoken more than once; give more aligned utterances"
        )
    a, b, x = ([sequences[usable[index]] for index in rows[:, column]] for column in range(3))
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
    """ABX errors {system: {"within" or "across": metric}} for each set of codes in ``data``.

    data: codes of the same utterances, by system. alignment: segments by utterance id. rate_hz: codes per second.
    vectors: (K, D), the codebook of the system "codes", whose costs are then angles. frames_of: returns features (T, D)
    every 10 ms for an utterance id, for the system "mfcc", a reference without a codebook.
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
    """The codes whose centres are inside the triple."""
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
    """A function from an utterance id to MFCC with differences (T, 39), standardised on the first 50 of ``utt_ids``."""
    hop = sample_rate // 100
    frames = np.concatenate([baselines.centre_mfcc(waveform(utt_id), sample_rate, hop) for utt_id in utt_ids[:50]])
    mean, deviation = frames.mean(axis=0), frames.std(axis=0) + 1e-6
    return lambda utt_id: (baselines.centre_mfcc(waveform(utt_id), sample_rate, hop) - mean) / deviation
