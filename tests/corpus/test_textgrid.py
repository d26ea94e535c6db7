"""TextGrids: what is written is read back equal, in every form and encoding; what is wrong is named by its line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.corpus import textgrid
from vqvc.corpus.textgrid import Interval, Point, TextGrid, Tier
from vqvc.errors import CorpusError

LABELS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\0"), max_size=8)
FORMS = pytest.mark.parametrize("form", [textgrid.format_long, textgrid.format_short])


@st.composite
def tiers(draw) -> Tier:
    times = sorted(draw(st.lists(st.floats(0, 100), min_size=2, max_size=12, unique=True)))
    labels = iter(draw(st.lists(LABELS, min_size=len(times), max_size=len(times))))
    if draw(st.booleans()):
        return Tier(
            next(labels), 0.0, 100.0, tuple(Point(time, label) for time, label in zip(times, labels)), points=True
        )
    step = draw(st.sampled_from([1, 2]))  # 2 leaves gaps
    spans = list(zip(times, times[1:]))[::step]
    return Tier(next(labels), 0.0, 100.0, tuple(Interval(a, b, label) for (a, b), label in zip(spans, labels)))


@settings(max_examples=60, deadline=None)
@given(st.lists(tiers(), max_size=3), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]))
def test_row_20_round_trip_is_equal_in_both_forms_and_all_encodings(items, encoding):
    grid = TextGrid(0.0, 100.0, tuple(items))
    for form in (textgrid.format_long, textgrid.format_short):
        assert textgrid.parse(textgrid.decode(form(grid).encode(encoding))) == grid
        assert textgrid.parse(form(grid).replace("\n", "\r\n").replace("\r\n", "\n")) == grid


def grid_of(*items: Interval) -> TextGrid:
    return TextGrid(0.0, 2.0, (Tier("phones", 0.0, 2.0, items),))


def test_praats_own_layouts_are_read():
    short = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n2\n<exists>\n1\n"IntervalTier"\n"phones"\n0\n2\n1\n0\n2\n"AH0"\n'
    assert textgrid.parse(short) == grid_of(Interval(0.0, 2.0, "AH0"))
    old = short.replace('"ooTextFile"', '"ooTextFile short"').replace('Object class = "TextGrid"', '"TextGrid"')
    assert textgrid.parse(old) == textgrid.parse(short)
    assert textgrid.parse("! a comment with 3 numbers\n" + short) == textgrid.parse(short)
    assert textgrid.parse('File type = "ooTextFile"\nObject class = "TextGrid"\n0 1 <absent>') == TextGrid(0.0, 1.0)


@FORMS
def test_windows_line_ends(form):
    grid = grid_of(Interval(0.0, 1.0, "a"), Interval(1.0, 2.0, 'a "quoted" label'))
    assert textgrid.parse(form(grid).replace("\n", "\r\n")) == grid


@FORMS
def test_gaps_are_kept(form):
    grid = grid_of(Interval(0.0, 0.5, "a"), Interval(1.0, 1.5, "b"))
    assert textgrid.parse(form(grid)) == grid


@FORMS
def test_an_overlap_is_an_error_with_its_line(form):
    text = form(grid_of(Interval(0.0, 1.0, "a"), Interval(0.75, 2.0, "late")))
    line = next(number for number, content in enumerate(text.split("\n"), 1) if '"late"' in content)
    with pytest.raises(CorpusError, match=rf"^{line}: 'late' at 0.75 s overlaps the one before, which ends at 1 s"):
        textgrid.parse(text)


@pytest.mark.parametrize(
    ("items", "reason"),
    [
        ((Interval(1.0, 0.5, "a"),), "ends .0.5 s. before it starts .1 s."),
        ((Interval(0.0, 3.0, "a"),), "ends at 3 s, after its tier, at 2 s"),
    ],
)
def test_intervals_that_cannot_be_are_errors(items, reason):
    with pytest.raises(CorpusError, match=reason):
        textgrid.parse(textgrid.format_long(grid_of(*items)))


@FORMS
def test_a_file_cut_anywhere_is_an_error_or_whole(form):
    grid = grid_of(Interval(0.0, 1.0, "a"), Interval(1.0, 2.0, "b"))
    text = form(grid).rstrip("\n")
    for length in range(len(text)):
        with pytest.raises(CorpusError, match=r"^\d+: "):
            textgrid.parse(text[:length])


def test_files_that_are_something_else(tmp_path):
    path = tmp_path / "a.TextGrid"
    for data, reason in (
        (b"ooBinaryFile\x08TextGrid", "binary"),
        (b"RIFF\xff\xfe\xfd", "not UTF-8"),
        (b"", "the file ends"),
        (b'File type = "ooTextFile"\nObject class = "PitchTier"\n', "not a TextGrid"),
    ):
        path.write_bytes(data)
        with pytest.raises(CorpusError, match=rf"a\.TextGrid:\d+: .*{reason}"):
            textgrid.read(path)
    with pytest.raises(CorpusError, match="no such file"):
        textgrid.read(tmp_path / "missing.TextGrid")


def test_tier_is_found_by_name_or_by_being_alone():
    phones, words = (Tier(name, 0.0, 1.0) for name in ("Phones", "words"))
    assert TextGrid(0.0, 1.0, (words, phones)).tier("phones") is phones
    assert TextGrid(0.0, 1.0, (words,)).tier("phones") is words
    with pytest.raises(CorpusError, match="no tier named phones; interval tiers here: 'words', 'x'"):
        TextGrid(0.0, 1.0, (words, Tier("x", 0.0, 1.0))).tier("phones")


def test_written_files_are_read(tmp_path):
    grid = grid_of(Interval(0.0, 1 / 3, "ə"), Interval(1 / 3, 2.0, ""))
    textgrid.write(tmp_path / "b.TextGrid", grid)
    assert textgrid.read(tmp_path / "b.TextGrid") == grid
