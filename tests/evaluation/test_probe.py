"""Laws of the phone probe: against a loop in plain Python, and where the answer is known."""

import numpy as np
import pytest

from vqvc.errors import CorpusError
from vqvc.evaluation import probe
from vqvc.evaluation.figures import difference_interval, ratio_interval
from vqvc.evaluation.probe import BigramMap, CodeMap, ConstantMap, LabelledCodes, WindowMap, joint_counts, score

CLASSES = 5


def made_up(lengths, codebook_size=6, seed=0, rule=None):
    rng = np.random.default_rng(seed)
    total = int(sum(lengths))
    codes = rng.integers(codebook_size, size=total)
    labels = rng.integers(CLASSES, size=total) if rule is None else rule(codes)
    return LabelledCodes(
        codes=codes.astype(np.int16),
        labels=labels.astype(np.int8),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        utt_ids=tuple(f"p{n:03d}_001" for n in range(len(lengths))),
        speakers=tuple(f"p{n % 3:03d}" for n in range(len(lengths))),
        codebook_size=codebook_size,
    )


def test_chunks_cover_every_utterance_once(monkeypatch):
    monkeypatch.setattr(probe, "CHUNK_FRAMES", 7)
    data = made_up([3, 0, 9, 1, 1, 20, 0])
    ranges = list(data.chunks())
    assert [first for first, _ in ranges] == [0] + [last for _, last in ranges[:-1]]
    assert ranges[-1][1] == 7
    assert joint_counts(data, CLASSES).sum() == data.frames == 34


def test_counts_map_and_score_equal_a_plain_loop(monkeypatch):
    monkeypatch.setattr(probe, "CHUNK_FRAMES", 11)
    fitted, scored = made_up([10, 3, 0, 30], seed=1), made_up([5, 0, 8], seed=2)
    counts = joint_counts(fitted, CLASSES)
    expected = np.zeros((6, CLASSES), int)
    for code, label in zip(fitted.codes, fitted.labels, strict=True):
        expected[code, label] += 1
    assert (counts == expected).all()
    for ignored in (None, 2):
        allowed = [label for label in range(CLASSES) if label != ignored]
        named = {code: max(allowed, key=lambda label: (expected[code, label], -label)) for code in range(6)}
        right, total = score(CodeMap(counts, ignored), scored, ignored)
        for u in range(3):
            span = range(scored.offsets[u], scored.offsets[u + 1])
            frames = [n for n in span if scored.labels[n] != ignored]
            assert total[u] == len(frames)
            assert right[u] == sum(named[int(scored.codes[n])] == scored.labels[n] for n in frames)


def test_perfect_codes_score_everything_and_random_codes_the_constant_guess():
    rule = lambda codes: codes % CLASSES  # noqa: E731
    train, test = made_up([500, 500], 20, 1, rule), made_up([200, 300], 20, 2, rule)
    counts = joint_counts(train, CLASSES)
    right, total = score(CodeMap(counts), test)
    assert right.sum() == total.sum() == 500
    noise = made_up(
        [4000], 20, 3, lambda codes: np.random.default_rng(9).choice(CLASSES, len(codes), p=[0.6, 0.1, 0.1, 0.1, 0.1])
    )
    right, total = score(CodeMap(joint_counts(noise, CLASSES)), noise)
    constant, _ = score(ConstantMap(joint_counts(noise, CLASSES)), noise)
    assert right.sum() == pytest.approx(constant.sum(), rel=0.02)


def test_unseen_code_maps_to_the_commonest_phone():
    counts = np.array([[5, 0, 0], [0, 9, 0], [0, 0, 0], [0, 0, 20]])
    assert CodeMap(counts).table.tolist() == [0, 1, 2, 2]
    assert CodeMap(counts, ignored=2).table.tolist() == [0, 1, 1, 1]  # the last was seen in silence alone


def test_ignored_class_is_never_answered_and_never_scored():
    data = made_up([100], seed=4)
    counts = joint_counts(data, CLASSES)
    models = (CodeMap(counts, 1), BigramMap(data, CLASSES, counts, 1), WindowMap(data, 2, 1), ConstantMap(counts, 1))
    for model in models:
        assert 1 not in model.predict(data.codes.astype(np.int64), data.offsets)
        assert score(model, data, 1)[1].sum() == (data.labels != 1).sum()


def test_bigram_sees_the_code_before_but_not_across_utterances():
    def rule(codes):
        return np.concatenate([[0], codes[:-1] % CLASSES])  # the phone follows from the code before

    train, test = made_up([5000], 6, 1, rule), made_up([500], 6, 2, rule)
    counts = joint_counts(train, CLASSES)
    right, total = score(BigramMap(train, CLASSES, counts), test)
    assert right.sum() >= total.sum() - 1
    assert score(CodeMap(counts), test)[0].sum() < 0.5 * total.sum()
    assert BigramMap._pair(np.array([4, 5, 1]), np.array([0, 2, 2, 3]), 7).tolist() == [6 * 7 + 4, 4 * 7 + 5, 6 * 7 + 1]


def test_bigram_by_merging_equals_the_whole_table(monkeypatch):
    monkeypatch.setattr(probe, "CHUNK_FRAMES", 50)
    data = made_up([90, 0, 40, 200], 9, 5)
    counts = joint_counts(data, CLASSES)
    for ignored in (None, 3):
        whole = BigramMap(data, CLASSES, counts, ignored)
        monkeypatch.setattr(probe, "DENSE_CELLS", 0)
        merged = BigramMap(data, CLASSES, counts, ignored)
        monkeypatch.undo()
        monkeypatch.setattr(probe, "CHUNK_FRAMES", 50)
        assert (whole.keys == merged.keys).all() and (whole.phones == merged.phones).all()


def test_neighbours_stay_inside_their_utterance():
    window = probe.neighbours(np.array([1, 2, 3, 4]), np.array([0, 3, 3, 4]), 1, 9)
    assert window.tolist() == [[9, 1, 2], [1, 2, 3], [2, 3, 9], [9, 4, 9]]


def test_window_learns_what_a_single_code_does_not_hold():
    def rule(codes):
        return np.concatenate([codes[1:] % CLASSES, [0]])  # from the code after

    train, test = made_up([3000, 3000], 6, 1, rule), made_up([700], 6, 2, rule)
    right, total = score(WindowMap(train, 1), test)
    assert right.sum() > 0.97 * total.sum()


def test_window_prediction_does_not_depend_on_where_it_is_cut(monkeypatch):
    data = made_up([70000, 0, 3], 6, 7, lambda codes: codes % CLASSES)
    model = WindowMap(data, 2, most_fitted=2000)
    whole = model.predict(data.codes.astype(np.int64), data.offsets)
    tail = data.pick(np.array([2]))
    assert (whole[-3:] == model.predict(tail.codes.astype(np.int64), tail.offsets)).all()
    middle = slice(65536 - 50, 65536 + 50)
    around = model.predict(data.codes[65000:66000].astype(np.int64), np.array([0, 1000]))[65536 - 50 - 65000 :][:100]
    assert (whole[middle] == around).all()


def test_one_class_or_nothing_is_refused():
    for data in (made_up([50], rule=lambda codes: codes * 0), made_up([]), made_up([0])):
        with pytest.raises(CorpusError, match="at least two classes"):
            probe.check(joint_counts(data, CLASSES), "subset test")
    silence_and_one = made_up([50], rule=lambda codes: codes % 2)
    with pytest.raises(CorpusError, match="at least two classes"):
        probe.check(joint_counts(silence_and_one, CLASSES), "subset test", ignored=0)


def test_interval_holds_the_ratio_and_narrows_with_more_utterances():
    rng = np.random.default_rng(0)
    widths = []
    for count in (20, 2000):
        total = rng.integers(50, 150, count)
        right = rng.binomial(total, 0.3)
        low, high = ratio_interval(right, total)
        assert low < right.sum() / total.sum() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 5


def test_paired_interval_is_zero_for_equal_maps():
    right, total = np.array([3, 4, 5]), np.array([9, 9, 9])
    assert difference_interval(right, right, total) == (0.0, 0.0)


def test_four_million_frames_take_no_loop_in_python_and_flat_memory():
    import sys
    import tracemalloc

    rng = np.random.default_rng(0)
    frames, each = 4_000_000, 1000
    data = LabelledCodes(
        codes=rng.integers(512, size=frames, dtype=np.int16),
        labels=rng.integers(41, size=frames, dtype=np.int8),
        offsets=np.arange(0, frames + 1, each),
        utt_ids=tuple(map(str, range(frames // each))),
        speakers=("a",) * (frames // each),
        codebook_size=512,
    )
    calls = 0

    def count(frame, event, argument):
        nonlocal calls
        calls += event in ("call", "c_call")

    tracemalloc.start()
    sys.setprofile(count)
    try:
        counts = joint_counts(data, 41)
        score(CodeMap(counts), data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        sys.setprofile(None)
        tracemalloc.stop()
    assert calls < frames / each, calls  # not one for each utterance, so that 40 million frames take seconds
    assert peak < 80e6, peak  # chunks, not frames
