"""Names of speakers, voices and recordings as parts of the names of files."""

import pytest

from vqvc._util import file_names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p225", "p225"),
        ("Анна 2", "Анна 2"),
        ("a/b\\c:d", "a_b_c_d"),
        ('*?"<>|', "______"),
        ("a\nb\x00", "a_b_"),
        ("..", ".."),
    ],
)
def test_what_file_names_may_not_hold_is_replaced(name, expected):
    assert file_names.part(name) == expected


@pytest.mark.parametrize("letter", ["a", "ж", "語", "𐍈"])
def test_a_long_name_is_cut_between_characters(letter):
    made = file_names.part(100 * letter)
    assert made == letter * (file_names.MOST_BYTES // len(letter.encode()))


def test_a_long_name_of_a_voice_makes_a_file(tmp_path):
    (tmp_path / f"{file_names.beginning('x' * 300, 180)}_{file_names.part('𐍈' * 100)}.wav").touch()
    assert len(list(tmp_path.iterdir())) == 1
