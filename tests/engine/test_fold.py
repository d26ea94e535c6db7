"""Folding: nothing lost, nothing doubled, cut where it is quiet, joined without a click."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.engine.fold import CROSSFADE_S, OVERLAP_S, REACH, Part, crossfade, cuts, fold, join

HOP, RATE = 64, 16000


@settings(max_examples=200, deadline=None)
@given(
    loudness=st.lists(st.floats(0, 1, width=32), min_size=1, max_size=300),
    count=st.integers(1, 40),
    warm_up=st.integers(0, 20),
)
def test_parts_cover_without_gap_or_overlap_and_take_alike(loudness, count, warm_up):
    count = max(1, min(count, len(loudness) // (2 * warm_up + 2)))
    parts = fold(np.array(loudness), count, warm_up)
    assert len(parts) == count
    assert parts[0].begin == parts[0].start == 0 and parts[-1].end == len(loudness)
    assert all(before.end == after.begin for before, after in zip(parts, parts[1:]))
    mean = (len(loudness) + (count - 1) * warm_up) / count
    for part in parts:
        assert part.begin < part.end
        assert part.start == max(0, part.begin - warm_up)
        assert abs(part.end - part.start - mean) <= max(1, REACH * mean)


def price(loudness: np.ndarray, at: list[int]) -> float:
    return float(loudness[at[1:-1]].sum())


def test_cuts_are_at_quiet_places():
    loudness = np.ones(400)
    pauses = [96, 203, 309]
    loudness[pauses] = 0.01
    assert cuts(loudness, 4, 0) == [0, *pauses, 400]


def test_no_other_cuts_are_quieter():
    """Against every choice of two cuts."""
    rng = np.random.default_rng(5)
    for warm_up in (0, 3):
        loudness = rng.uniform(size=60)
        mean = (60 + 2 * warm_up) / 3
        low, high = np.ceil((1 - REACH) * mean), np.floor((1 + REACH) * mean)
        found = cuts(loudness, 3, warm_up)
        best = min(
            price(loudness, [0, a, b, 60])
            for a in range(1, 59)
            for b in range(a + 1, 60)
            if all(low <= length <= high for length in (a, b - a + warm_up, 60 - b + warm_up))
        )
        assert price(loudness, found) == pytest.approx(best, abs=0.01 * 3 * REACH**2)


def test_a_pause_out_of_reach_is_left_alone():
    loudness = np.linspace(1, 1.001, 400)
    loudness[50] = 0  # halfway between two cuts
    assert 50 not in cuts(loudness, 4, 0)


def test_where_nothing_is_quieter_parts_are_even():
    assert cuts(np.zeros(400), 4, 0) == [0, 100, 200, 300, 400]
    assert cuts(np.zeros(400), 4, 20) == [0, 115, 210, 305, 400]  # the first has no warm-up


def test_one_part_is_the_whole():
    assert fold(np.ones(5), 1, 20) == [Part(0, 0, 5)]


@pytest.fixture
def folded(speechlike):
    """A signal of 500 frames and its parts."""
    signal = speechlike(2.0, seed=4, silence_s=0.0)[: 500 * HOP]
    frames = signal.reshape(-1, HOP)
    return signal, fold((frames**2).mean(1), 8, 20)


def test_where_streams_agree_the_join_is_exact(folded):
    signal, parts = folded
    assert len(parts) > 5
    pieces = [signal[part.start * HOP : part.end * HOP] for part in parts]
    np.testing.assert_allclose(join(pieces, parts, HOP, RATE).samples, signal, atol=1e-6)


def test_only_the_crossfade_is_mixed(folded):
    signal, parts = folded
    pieces = [signal[part.start * HOP : part.end * HOP] * (1 + n) for n, part in enumerate(parts)]
    joined, overlap = join(pieces, parts, HOP, RATE).samples, int(OVERLAP_S * RATE)
    for n, part in enumerate(parts):
        kept = slice(part.begin * HOP, part.end * HOP - (overlap if n + 1 < len(parts) else 0))
        np.testing.assert_array_equal(joined[kept], signal[kept] * (1 + n))


def test_streams_that_disagree_join_without_a_click(folded):
    """Streams of other phase: steps between samples are no larger at joins than within the streams."""
    signal, parts = folded
    rng = np.random.default_rng(0)
    pieces = [np.roll(signal, int(rng.integers(-40, 40)))[part.start * HOP : part.end * HOP] for part in parts]
    joined, fade = join(pieces, parts, HOP, RATE), int(CROSSFADE_S * RATE)
    bend = np.abs(np.diff(joined.samples, 2))
    assert len(joined.middles) == len(parts) - 1
    for middle in joined.middles:
        end = middle + fade // 2
        around = bend[end - 10 * fade : end + 10 * fade]
        assert bend[end - fade - 2 : end + 2].max() <= 1.2 * around.max() + 1e-4
        power = joined.samples[end - fade : end] ** 2
        assert (
            power.mean() <= 1.2 * (joined.samples[end - 5 * fade : end + 5 * fade] ** 2).reshape(-1, fade).mean(1).max()
        )


def test_a_join_lies_where_both_streams_are_equally_loud():
    """A stream that fades in while the one before fades out: they meet where they cross, not at the end."""
    rng = np.random.default_rng(1)
    noise = rng.choice([-1.0, 1.0], (2, 40 * HOP)).astype(np.float32)
    parts = [Part(0, 0, 20), Part(10, 20, 50)]
    cross = 20 * HOP - int(CROSSFADE_S * RATE) // 2 - 16  # a millisecond before the last place
    t = np.arange(40 * HOP, dtype=np.float32)
    first = noise[0, : 20 * HOP] * np.exp((cross - t[: 20 * HOP]) / 400)
    second = noise[1] * np.exp((t + 10 * HOP - cross) / 400)
    middle = join([first, second], parts, HOP, RATE).middles[0]
    assert abs(middle - cross) <= 1


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
def test_a_crossfade_is_as_loud_as_its_surroundings(alike):
    rng = np.random.default_rng(2)
    a, other = rng.normal(size=(2, 400, 96)).astype(np.float32)
    b = alike * a + np.sqrt(1 - alike**2) * other
    power = np.mean([crossfade(x, y) ** 2 for x, y in zip(a, b)], axis=0)
    assert abs(10 * np.log10(power[40:56].mean())) < 0.5
    if alike == 1:
        np.testing.assert_allclose(crossfade(a[0], b[0]), a[0], atol=1e-5)


def test_a_click_would_be_noticed(folded):
    """The statistic of the test above sees a plain cut between streams of other phase."""
    signal, parts = folded
    pieces = [signal[part.start * HOP : part.end * HOP] * (-1) ** n + 0.02 * (-1) ** n for n, part in enumerate(parts)]
    plain = np.concatenate([piece[(part.begin - part.start) * HOP :] for piece, part in zip(pieces, parts)])
    at, bend = parts[1].begin * HOP, np.abs(np.diff(plain, 2))
    assert bend[at - 2 : at].max() > 1.2 * np.concatenate([bend[at - 600 : at - 2], bend[at + 2 : at + 600]]).max()
