"""Data directories: looking changes nothing, mending keeps a backup and leaves a valid one, writing comes back."""

from pathlib import Path

import pytest

from vqvc.corpus import kaldi_dir, kaldi_fix
from vqvc.corpus.source import Item, Speaker
from vqvc.errors import CorpusError

ITEMS = [
    Item(f"{s}_{n}", s, Path(f"/a b/{s}_{n}.wav"), f"words of {n}" if n else "")
    for s in ("bdl", "slt")
    for n in range(3)
]
SPEAKERS = {"bdl": Speaker("bdl", "m"), "slt": Speaker("slt")}


def _contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.fixture
def directory(tmp_path):
    kaldi_dir.write(tmp_path / "d", reversed(ITEMS), SPEAKERS)
    return tmp_path / "d"


def test_what_is_written_is_valid_sorted_and_comes_back(directory):
    assert kaldi_dir.validate(directory) == []
    source = kaldi_dir.read(directory)
    assert source.items == ITEMS and source.speakers["bdl"].gender == "m"
    assert (directory / "spk2utt").read_text() == "bdl bdl_0 bdl_1 bdl_2\nslt slt_0 slt_1 slt_2\n"
    assert (directory / "spk2gender").read_text() == "bdl m\n"


def test_segments_come_back(tmp_path):
    items = [
        Item("a_1", "a", Path("/r.wav"), "", 0.5, 1.25, "r", "segments:1"),
        Item("a_2", "a", Path("/r.wav"), "", 2.0, None, "r", "segments:2"),
    ]
    kaldi_dir.write(tmp_path, items, {})
    assert (tmp_path / "segments").read_text() == "a_1 r 0.500000 1.250000\na_2 r 2.000000 -1\n"
    assert (tmp_path / "wav.scp").read_text() == "r /r.wav\n"
    assert kaldi_dir.read(tmp_path).items == items


def test_paths_are_taken_from_the_directory_first(tmp_path):
    (tmp_path / "wav").mkdir()
    (tmp_path / "wav/a.wav").write_bytes(b"1")
    (tmp_path / "wav.scp").write_text("a wav/a.wav\nb wav/b.wav\n")
    (tmp_path / "utt2spk").write_text("a s\nb s\n")
    paths = [item.path for item in kaldi_dir.read(tmp_path).items]
    assert paths == [tmp_path / "wav/a.wav", Path("wav/b.wav").absolute()]


BREAKS = {
    "utt2spk:2: has 3 fields, should have 2": ("utt2spk", lambda d: d.replace(b"bdl_1 bdl", b"bdl_1 bdl x")),
    "utt2spk:3: bdl_1 stands twice": ("utt2spk", lambda d: d.replace(b"bdl_1 bdl\n", b"bdl_1 bdl\nbdl_1 slt\n")),
    "utt2spk:6: slt_0 is out of order": ("utt2spk", lambda d: d.replace(b"slt_0 slt\n", b"") + b"slt_0 slt\n"),
    "utt2spk:1: ends in CR LF": ("utt2spk", lambda d: d.replace(b"\n", b"\r\n")),
    "utt2spk:1: begins with a byte order mark": ("utt2spk", lambda d: b"\xef\xbb\xbf" + d),
    "utt2spk:1: is in UTF-16": ("utt2spk", lambda d: d.decode().encode("utf-16")),
    "utt2spk:2: id '../x' holds a slash": ("utt2spk", lambda d: d.replace(b"bdl_1 bdl", b"../x bdl")),
    "utt2spk:2: id '..' is the name of a folder's own place": (
        "utt2spk",
        lambda d: d.replace(b"bdl_1 bdl", b"bdl_1 .."),
    ),
    "utt2spk:2: id 'bdl\\x1b[1m' holds a control character": (
        "utt2spk",
        lambda d: d.replace(b"1 bdl", b"1 bdl\x1b[1m"),
    ),
    "utt2spk:6: the last line has no line end": ("utt2spk", lambda d: d[:-1]),
    "utt2spk:4: is not UTF-8": ("utt2spk", lambda d: d.replace(b"slt_0", b"slt\xff0")),
    "utt2spk:1: has 0 fields": ("utt2spk", lambda d: b"\n" + d),
    "wav.scp:2: bdl_1 is a shell pipe; commands are not run": (
        "wav.scp",
        lambda d: d.replace(b"/a b/bdl_1.wav", b"touch x |"),
    ),
    "wav.scp: 1 ids are not in utt2spk: zzz": ("wav.scp", lambda d: d + b"zzz /z.wav\n"),
    "utt2spk: 2 ids are not in wav.scp: bdl_0 slt_2": ("wav.scp", lambda d: b"".join(d.splitlines(True)[1:-1])),
    "text: 1 ids are not in utt2spk: zzz": ("text", lambda d: d + b"zzz more words\n"),
    "spk2utt: is not the inverse of utt2spk for 1 utterances: bdl_2": ("spk2utt", lambda d: d.replace(b" bdl_2", b"")),
}


@pytest.mark.parametrize("message", BREAKS)
def test_looking_names_the_fault_and_mending_makes_it_valid(directory, message):
    name, change = BREAKS[message]
    (directory / name).write_bytes(change((directory / name).read_bytes()))
    before = _contents(directory)
    problems = kaldi_dir.validate(directory)
    assert any(str(problem).startswith(message) for problem in problems), [str(p) for p in problems]
    if all(problem.readable for problem in problems):  # what an editor did to the file is seen through
        source = kaldi_dir.read(directory)
        assert source.items == ITEMS and source.notes == [f"{problems[0]}; read all the same"]
    else:
        with pytest.raises(CorpusError, match="--fix"):
            kaldi_dir.read(directory)
    assert _contents(directory) == before
    changes = kaldi_fix.fix(directory)
    assert changes and kaldi_dir.validate(directory) == []
    assert _contents(directory / ".backup") == before
    assert kaldi_fix.fix(directory) == []  # a second time there is nothing to do


def test_nothing_is_run(directory, tmp_path):
    (directory / "wav.scp").write_text("".join(f"{item.utt_id} touch {tmp_path / 'ran'} |\n" for item in ITEMS))
    with pytest.raises(CorpusError, match="commands are not run"):
        kaldi_dir.read(directory)
    with pytest.raises(CorpusError, match="no utterance would be left"):
        kaldi_fix.fix(directory)
    assert not (tmp_path / "ran").exists() and not (directory / ".backup").exists()


def test_the_first_five_of_many_ids_are_named(directory):
    extra = "".join(f"z{n} words\n" for n in range(9))
    (directory / "text").write_text((directory / "text").read_text() + extra)
    assert str(kaldi_dir.validate(directory)[0]) == "text: 9 ids are not in utt2spk: z0 z1 z2 z3 z4 ..."


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a_2 r -1.0 2.0", "segments:2: starts at -1 s, before the recording"),
        ("a_2 r 2.0 2.0", "segments:2: is empty (2 s to 2 s)"),
        ("a_2 r one 2.0", "segments:2: start and end must be seconds"),
        ("a_2 r nan 2.0", "segments:2: starts at nan s, before the recording"),
        ("a_2 q 1.0 2.0", "segments:2: recording q is not in wav.scp"),
    ],
)
def test_a_bad_segment_is_left_out_by_line_and_others_kept(tmp_path, line, message):
    (tmp_path / "wav.scp").write_text("r /r.wav\n")
    (tmp_path / "utt2spk").write_text("a_1 a\na_2 a\na_3 a\n")
    (tmp_path / "segments").write_text(f"a_1 r 0 1\n{line}\na_3 r 2 3\n")
    source = kaldi_dir.read(tmp_path)
    assert [item.utt_id for item in source.items] == ["a_1", "a_3"]
    assert [(item.id, item.reason, item.detail) for item in source.left_out] == [("a_2", "bad segment", message)]
    assert len(kaldi_dir.validate(tmp_path)) == 1
    assert kaldi_fix.fix(tmp_path) and kaldi_dir.validate(tmp_path) == []


def test_a_directory_without_its_lists_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="no wav.scp"):
        kaldi_dir.validate(tmp_path)
