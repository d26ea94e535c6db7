"""ABX against answers worked out by hand."""

from collections import namedtuple

import numpy as np
import pytest

from vqvc.errors import CorpusError
from vqvc.evaluation.metrics import abx

Segment = namedtuple("Segment", "start_s duration_s phone")


def sentence(phones):
    return [Segment(0.1 * n, 0.1, phone) for n, phone in enumerate(phones.split())]


def test_dtw_by_hand():
    """abb against ab costs nothing along 3 steps; abc against ab has one wrong step of three; a against b is one of one."""
    cost = abx.code_costs(None, 3)
    left = [np.array([0, 1, 1]), np.array([0, 1, 2]), np.array([0]), np.array([0, 0])]
    right = [np.array([0, 1]), np.array([0, 1]), np.array([1]), np.array([1, 1, 1])]
    assert np.allclose(abx.distances(left, right, cost), [0, 1 / 3, 1, 1])


def test_dtw_equals_a_plain_loop():
    rng = np.random.default_rng(0)
    costs = rng.random((4, 5, 6))
    rows, columns = np.array([5, 3, 1, 4]), np.array([6, 2, 4, 1])
    for n, got in enumerate(abx.dtw(costs, rows, columns)):
        best = {}
        for i in range(rows[n]):
            for j in range(columns[n]):
                before = [best[k] for k in ((i - 1, j - 1), (i - 1, j), (i, j - 1)) if k in best]
                total, steps = min(before) if before else (0.0, 0)
                best[i, j] = (total + costs[n, i, j], steps + 1)
        total, steps = best[rows[n] - 1, columns[n] - 1]
        assert got == pytest.approx(total / steps)


def test_tokens_leave_silence_out_and_keep_times():
    found = abx.tokens({"u": sentence("pau k ae t pau d ao g pau"), "other": sentence("a b c")}, {"u": "p1"})
    assert [(t.before, t.phone, t.after) for t in found] == [("k", "ae", "t"), ("d", "ao", "g")]
    assert (found[0].start_s, found[0].end_s) == pytest.approx((0.1, 0.4))


def corpus(speakers=("p1", "p2"), times=2):
    alignment, speaker_of = {}, {}
    for speaker in speakers:
        for n in range(times):
            for word in ("k ae t", "k ih t"):
                utt = f"{speaker}_{n}_{word[2:4]}"
                alignment[utt], speaker_of[utt] = sentence(word), speaker
    return abx.tokens(alignment, speaker_of)


def test_codes_that_tell_the_phone_make_no_error_and_the_wrong_way_round_all():
    items = corpus()
    good = [np.array([5, 1 if token.phone == "ae" else 2, 6]) for token in items]
    cost = abx.code_costs(None, 9)
    for across in (False, True):
        assert abx.errors(good, items, across, cost).tolist() == [0.0] * 4  # 2 speakers, 2 orders of the pair
        assert abx.errors([good[0]] * len(items), items, across, cost).tolist() == [0.5] * 4  # ties everywhere


def test_codes_that_tell_the_speaker_fail_across_but_not_within():
    items = corpus()
    # p2's "ae" is coded as p1's "ih", and the other way round
    codes = [np.array([(token.phone == "ae") ^ (token.speaker == "p2")], dtype=int) for token in items]
    cost = abx.code_costs(None, 2)
    assert abx.errors(codes, items, False, cost).mean() == 0.0
    assert abx.errors(codes, items, True, cost).mean() == 1.0


def test_triplets_keep_their_promise():
    items = corpus(("p1", "p2", "p3"), 3)
    for across in (False, True):
        rows, cells = abx.triplets(items, across)
        assert len(rows) == len(cells) > 0
        for a, b, x in (tuple(items[n] for n in row) for row in rows):
            assert a.phone == x.phone != b.phone and a.speaker == b.speaker
            assert (a.speaker != x.speaker) == across and a is not x


def test_codebook_angles():
    cost = abx.code_costs(np.array([[1.0, 0], [0, 2], [-3, 0]]), 3)
    assert np.allclose(cost, [[0, 0.5, 1], [0.5, 0, 0.5], [1, 0.5, 0]], atol=1e-4)


def test_nothing_to_compare_is_refused():
    items = corpus(("p1",), 1)
    with pytest.raises(CorpusError, match="differ in the middle phone"):
        abx.errors([np.array([1])] * len(items), items, False, abx.code_costs(None, 2))
