"""What is named to somebody who mistyped."""

import pytest

from vqvc._util.nearest import nearest

NAMES = ("bdl", "p225", "p226", "p227", "p252", "p292", "slt")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("p22", ["p225", "p226", "p227"]),
        ("slr", ["slt"]),
        ("292", ["p292"]),
        ("???", ["bdl", "p225", "p226"]),
        ("", ["bdl", "p225", "p226"]),
    ],
)
def test_names_that_begin_alike_come_first_and_something_is_always_named(name, wanted):
    assert nearest(name, NAMES)[: len(wanted)] == wanted


def test_no_more_than_asked_for_and_each_once():
    assert len(nearest("p2", NAMES, 2)) == 2
    assert len(set(nearest("p", NAMES, 9))) == len(nearest("p", NAMES, 9))
    assert nearest("p225", ()) == []
