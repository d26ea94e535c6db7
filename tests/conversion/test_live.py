"""A stream against the clock: nothing is lost on the way to the loudspeaker, and what comes late is counted."""

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.conversion.live import Figures, Pace, Playout, blocks_of, converted, level_db


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_parts_become_blocks_of_one_size_and_nothing_is_lost(lengths, size):
    whole = np.arange(sum(lengths), dtype=np.float32)
    parts = np.split(whole, np.cumsum(lengths)[:-1]) if lengths else []
    blocks = list(blocks_of(parts, size))
    assert np.array_equal(np.concatenate([np.zeros(0, np.float32), *blocks]), whole)
    assert all(len(block) == size for block in blocks[:-1])


def test_what_is_written_in_time_is_played_after_the_delay():
    playout = Playout(5)
    played = []
    for begin in range(0, 40, 4):
        playout.write(np.arange(begin, begin + 4, dtype=np.float32))
        played.append(playout.read(4))
    assert np.array_equal(np.concatenate(played), np.concatenate([np.zeros(5), np.arange(35)]))
    assert (playout.dropouts, playout.read_samples) == (0, 40)


def test_what_is_late_is_left_out_so_that_the_delay_stays():
    playout = Playout(2)
    assert not playout.read(4).any() and playout.dropouts == 1  # 2 are missing
    playout.write(np.array([1, 2, 3, 4], np.float32))
    assert np.array_equal(playout.read(2), [3, 4])
    playout.read(3)
    playout.skip(3)  # these never come
    playout.write(np.array([5], np.float32))
    assert np.array_equal(playout.read(1), [5]) and playout.dropouts == 2


class Clock:
    """A clock that goes on when somebody sleeps."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize("size", [1, 16], ids=["sample", "samples"])
@pytest.mark.parametrize(("work_s", "late"), [(0.009, 0), (0.0199, 0), (0.025, 1), (0.055, 4)])
def test_blocks_arrive_at_their_time_and_late_ones_are_dropouts(work_s, late, size):
    """Blocks of 10 ms; the loudspeaker, which reads blocks as well, is a block and a cushion of one more behind."""
    clock, playout = Clock(), Playout(2 * size)
    pace = Pace(100 * size, playout, clock, clock.sleep)
    arrivals, missing = [], 0
    for number, block in enumerate(pace.blocks(np.zeros((20, size)))):
        arrivals.append(clock.now)
        clock.now += work_s if number == 4 else 0.001
        pace.play(block)
        missing = max(missing, playout.missing + (size if playout.dropouts else 0))
    assert arrivals[:5] == pytest.approx([0.01 * (n + 1) for n in range(5)])
    assert arrivals[-1] == pytest.approx(0.2)  # nothing is put off for good
    assert (playout.dropouts, playout.missing) == (int(late > 0), 0) and missing == late * size
    assert len(pace.late_s) == 20 and max(pace.late_s) == pytest.approx(work_s)


@pytest.mark.parametrize(("cushion", "most_s"), [(0, 0.01), (80, 0.01), (160, 0.02), (320, 0.03)])
def test_a_block_may_take_its_own_length_and_the_whole_blocks_of_the_cushion(cushion, most_s):
    """Blocks of 10 ms at 16 kHz."""
    for work_s, dropouts in ((most_s - 1e-4, 0), (most_s + 1e-4, 1)):
        clock, playout = Clock(), Playout(160 + cushion)
        pace = Pace(16000, playout, clock, clock.sleep)
        for number, block in enumerate(pace.blocks(np.zeros((12, 160)))):
            clock.now += work_s if number == 4 else 0.001
            pace.play(block)
        assert playout.dropouts == dropouts


def test_what_is_left_at_the_end_is_never_late():
    clock, playout = Clock(), Playout(2)
    pace = Pace(100, playout, clock, clock.sleep)
    for block in pace.blocks(np.zeros((5, 1))):
        pace.play(block)
    clock.now += 1.0
    pace.play(np.zeros(9))
    assert playout.dropouts == 0 and len(pace.late_s) == 5


class Doubling:
    """A stream that is one block behind."""

    def __init__(self):
        self.held = np.zeros(0, np.float32)

    def convert(self, block):
        made, self.held = self.held, 2 * block
        return made

    def flush(self):
        return self.held


def test_figures_count_blocks_samples_and_their_time():
    figures, clock = Figures(100), Clock()
    ticks = iter(np.cumsum([0, 0.1, 0, 0.3]).tolist())
    made = list(converted([np.full(50, 0.5), np.zeros(50)], Doubling(), figures, lambda: next(ticks)))
    assert [len(part) for part in made] == [0, 50, 50] and (made[1] == 1).all()
    assert (figures.taken, figures.given) == (100, 50)
    assert figures.real_time_factor == pytest.approx(0.4) and figures.percentile_ms(0.5) == pytest.approx(200)
    assert (figures.in_db, figures.out_db) == (-100.0, pytest.approx(0.0, abs=1e-6))
    assert np.isnan(Figures(100).real_time_factor) and np.isnan(Figures(100).percentile_ms(0.5))
    assert clock.now == 0


def test_the_garbage_collector_leaves_alone_what_was_there_before_the_stream():
    making = converted([np.zeros(5)], Doubling(), Figures(100))
    next(making)
    assert gc.get_freeze_count() > 1000
    assert len(list(making)) == 1 and gc.get_freeze_count() == 0


def test_levels_are_in_decibels_of_full_scale():
    assert level_db(np.full(10, 0.1, np.float32)) == pytest.approx(-20)
    assert level_db(np.zeros(10)) == level_db(np.zeros(0)) == -100
