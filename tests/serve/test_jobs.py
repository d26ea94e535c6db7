"""Work for a page: one at a time, looked at while it runs, given up when nobody waits for it."""

import threading
import time

import pytest

from vqvc.serve.jobs import Stopped, Turns


def test_one_works_at_a_time_and_each_gets_its_own_result():
    turns, running, most = Turns(), [0], [0]

    def work(number):
        def run(report):
            running[0] += 1
            most[0] = max(most[0], running[0])
            time.sleep(0.01)
            running[0] -= 1
            return number

        return run

    jobs = [turns.start(work(number)) for number in range(8)]
    assert [job.result() for job in jobs] == list(range(8)) and most == [1]


def test_the_share_is_none_while_another_works():
    turns, go = Turns(), threading.Event()
    first = turns.start(lambda report: go.wait(60))
    shares = first.shares(0.01)
    while next(shares) is None:
        pass
    second = turns.start(lambda report: report(0.5))
    waiting = second.shares(0.01)
    assert [next(waiting) for _ in range(3)] == [None] * 3
    go.set()
    assert set(waiting) <= {None, 0.0, 0.5}
    second.result()


def test_leaving_stops_the_work_and_the_next_begins():
    turns, stopped = Turns(), threading.Event()

    def endless(report):
        try:
            while True:
                report(0.5)
                time.sleep(0.005)
        finally:
            stopped.set()

    job = turns.start(endless)
    shares = job.shares(0.01)
    next(shares)
    shares.close()
    assert stopped.wait(60) and turns.start(lambda report: 1).result() == 1
    with pytest.raises(Stopped):
        job.result()


def test_closing_ends_what_runs_and_what_waits():
    turns = Turns()

    def endless(report):
        while True:
            report(0.5)
            time.sleep(0.005)

    jobs = [turns.start(endless) for _ in range(3)]
    turns.close()
    for job in jobs:
        with pytest.raises(Stopped):
            job.result()


def test_an_error_reaches_who_asked_and_passes_the_turn_on():
    turns = Turns()
    with pytest.raises(ZeroDivisionError):
        turns.start(lambda report: 1 / 0).result()
    assert turns.start(lambda report: 1).result() == 1
