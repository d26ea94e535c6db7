"""FAULTS rows 53, 56, 58, 61 and 64: corpora as they are unpacked and as people keep them, through vqvc-prepare."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from vqvc._util import textfile
from vqvc.audio import formats
from vqvc.cli import _conversions, prepare
from vqvc.corpus import alignment, ids, kaldi_dir
from vqvc.corpus.layouts import registry
from vqvc.errors import CorpusError, UsageError


@pytest.fixture
def put(tmp_path):
    """put({"amy/x.wav": None, "amy/x.txt": "Words."}): recordings where there is no text; returns the folder."""

    def make(files, base="corpus"):
        for number, (name, content) in enumerate(files.items()):
            path = tmp_path / base / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            elif content is not None:
                path.write_text(content, encoding="utf-8")
            else:
                samples = np.random.default_rng(number).uniform(-0.1, 0.1, 4000)
                form = formats.format_of(path)
                soundfile.write(path, samples, 16000, form.subtype, format=form.kind)
        return tmp_path / base

    return make


LIBRISPEECH = {
    "SPEAKERS.TXT": "; ID |SEX|SUBSET|MINUTES|NAME\n1272 | M | dev-clean | 8.02 | John\n61 | F | test-clean | 8.08 | Ann\n",
    "dev-clean/1272/128104/1272-128104-0000.flac": None,
    "dev-clean/1272/128104/1272-128104-0001.flac": None,
    "dev-clean/1272/128104/1272-128104.trans.txt": "1272-128104-0000 MISTER QUILTER\n1272-128104-0001 IS THE APOSTLE\n",
    "test-clean/61/70968/61-70968-0000.flac": None,
    "test-clean/61/70968/61-70968.trans.txt": "61-70968-0000 HE BEGAN\n",
}
LIBRITTS = {
    "speakers.txt": "READER|GENDER|SUBSET|NAME\n84|F|dev|Ann\n",
    "dev-clean/84/121123/84_121123_000007_000001.wav": None,
    "dev-clean/84/121123/84_121123_000007_000001.normalized.txt": "Number ten.",
    "dev-clean/84/121123/84_121123_000007_000001.original.txt": "Number 10.",
}
LJSPEECH = {
    "metadata.csv": "LJ001-0001|In 1900|In nineteen hundred\nLJ001-0002|Printing|\nLJ001-0009|alone|alone\n",
    "wavs/LJ001-0001.wav": None,
    "wavs/LJ001-0002.wav": None,
}
JVS = {
    "gender_f0range.txt": "speaker Male_or_Female minf0[Hz] maxf0[Hz]\njvs001 M 70 300\n",
    "jvs001/parallel100/transcripts_utf8.txt": "V_001:また東寺のように\n",
    "jvs001/parallel100/wav24kHz16bit/V_001.wav": None,
    "jvs001/whisper10/transcripts_utf8.txt": "V_001:小さい声\n",
    "jvs001/whisper10/wav24kHz16bit/V_001.wav": None,
}
KALDI = {"wav.scp": "amy_1 wav/amy_1.wav\n", "utt2spk": "amy_1 amy\n", "text": "amy_1 Hello.\n", "wav/amy_1.wav": None}
FOLDERS = {"amy/one.wav": None, "amy/one.txt": "One.", "bob/one.wav": None}
FOUND = {
    "librispeech": (LIBRISPEECH, {"1272-128104-0000": ("1272", "MISTER QUILTER"), "1272-128104-0001": ("1272", "IS THE APOSTLE"), "61-70968-0000": ("61", "HE BEGAN")}, {"1272": "m", "61": "f"}),
    "libritts": (LIBRITTS, {"84_121123_000007_000001": ("84", "Number ten.")}, {"84": "f"}),
    "ljspeech": (LJSPEECH, {"LJ001-0001": ("LJ", "In nineteen hundred"), "LJ001-0002": ("LJ", "Printing")}, {"LJ": "f"}),
    "jvs": (JVS, {"jvs001_parallel100_V_001": ("jvs001", "また東寺のように"), "jvs001_whisper10_V_001": ("jvs001", "小さい声")}, {"jvs001": "m"}),
    "kaldi": (KALDI, {"amy_1": ("amy", "Hello.")}, {"amy": ""}),
    "folders": (FOLDERS, {"amy_one": ("amy", "One."), "bob_one": ("bob", "")}, {}),
}  # fmt: skip


def _prepared(source, out, *more):
    """Exit status, {utt_id: speaker}, rows of left_out.tsv."""
    status = prepare.main(["--source", str(source), "--out", str(out), *more])
    if not out.exists():
        return status, {}, []
    items = [item for name in ("train", "dev", "test") for item in kaldi_dir.read(out / name).items]
    rows = [line.split("\t") for line in (out / "left_out.tsv").read_text(encoding="utf-8").splitlines()[1:]]
    return status, {item.utt_id: item.speaker for item in items}, rows


@pytest.mark.parametrize("name", FOUND)
def test_row_53_a_layout_is_found_with_its_speakers_and_texts(put, name):
    files, items, genders = FOUND[name]
    source = registry.read(put(files))
    assert source.kind == name
    assert {item.utt_id: (item.speaker, item.text) for item in source.items} == items
    assert {speaker.speaker: speaker.gender for speaker in source.speakers.values()} == genders


@pytest.mark.parametrize("name", FOUND)
def test_row_53_what_macos_leaves_beside_files_is_no_part_of_a_corpus(put, name):
    files, items, _ = FOUND[name]
    shadows = {str(Path(path).with_name(f"._{Path(path).name}")): b"\0\x05\x16\x07Mac OS X\xff" for path in files}
    source = registry.read(put({**files, **shadows, ".DS_Store": b"\0\0\0\1Bud1"}))
    assert source.kind == name and not [item for item in source.left_out if "._" in item.id]
    assert {item.utt_id: (item.speaker, item.text) for item in source.items} == items


@pytest.mark.parametrize("name", ["librispeech", "libritts", "ljspeech", "jvs"])
def test_row_53_a_layout_is_found_from_the_folder_above(put, name):
    files, items, _ = FOUND[name]
    put({f"Unpacked/{path}": content for path, content in files.items()})
    found = registry.read(put({}))
    assert found.kind == name and {item.utt_id for item in found.items} == set(items)


def test_row_53_prepare_prints_the_layout_and_what_it_counted(put, tmp_path, capsys):
    status, found, rows = _prepared(put(LIBRISPEECH), tmp_path / "data", "--unseen-speakers", "0")
    assert status == 0 and set(found.values()) == {"1272", "61"} and not rows
    assert "librispeech, 2 speakers, 3 utterances, 3 with text" in capsys.readouterr().err
    assert json.loads((tmp_path / "data/prepare.json").read_text())["sources"][0]["layout"] == "librispeech"


@pytest.mark.parametrize(
    "files",
    [
        {"dev-clean/1272/128104/a.flac": None, "test-clean/61/70968/b.flac": None},  # LibriSpeech without its texts
        {"wavs/a.wav": None, "wavs/b.wav": None},  # LJ Speech without its list
        {"clips/a.mp3": None},  # Common Voice
        {"TRAIN/DR1/FCJF0/SA1.wav": None, "TEST/DR1/MDAB0/SA1.wav": None},  # TIMIT
        {"wav/train/S0002/a.wav": None},  # AISHELL
        {"mycorpus/amy/a.wav": None, "mycorpus/bob/b.wav": None},  # the folder above
        {"men/bob/a.wav": None, "women/amy/b.wav": None},  # groups of speakers
        {"one/wav/amy/a.wav": None, "two/wav/bob/b.wav": None},  # corpora beside each other
    ],
)
def test_row_53_what_is_not_understood_is_refused_and_never_guessed(put, tmp_path, capsys, files):
    source = put(files)
    status, *_ = _prepared(source, tmp_path / "data")
    assert status == 1 and not (tmp_path / "data").exists()
    output = capsys.readouterr().err
    assert "layout is not understood" in output and "--layout" in output and "Traceback" not in output
    status, found, _ = _prepared(source, tmp_path / "data", "--layout", "folders")
    assert status == 0 and found  # the user's word


def test_row_53_a_forced_layout_that_is_not_there_is_refused(put):
    source = put(FOLDERS)
    for name in set(registry.LAYOUTS) - {"folders"}:
        with pytest.raises((CorpusError, UsageError)):
            registry.read(source, name)


def test_row_53_a_corpus_beside_another_is_not_lost(put):
    files = {f"LJSpeech-1.1/{path}": content for path, content in LJSPEECH.items()}
    with pytest.raises(UsageError, match="give each corpus as a --source"):
        registry.read(put({**files, "amy/one.wav": None}))
    lists = {f"{name}/{path}": content for name in ("one", "two") for path, content in KALDI.items()}
    with pytest.raises(UsageError, match="holds kaldi in one; give each corpus as a --source"):
        registry.read(put(lists, base="lists"))


def test_row_53_recordings_outside_the_layout_are_listed(put, tmp_path):
    source = put({**LIBRISPEECH, "dev-clean/intro.flac": None})
    status, found, rows = _prepared(source, tmp_path / "data", "--unseen-speakers", "0")
    assert status == 3 and len(found) == 3
    assert [row[:2] for row in rows] == [["dev-clean/intro.flac", "recording outside the layout"]]


def test_row_56_every_readable_format_is_taken_and_the_rest_named_with_its_remedy(put, tmp_path, capsys):
    files = {
        f"amy/{n}.{suffix}": None
        for n, suffix in enumerate(("wav", "aif", "flac", "ogg", "opus", "oga", "mp3", "au", "caf"))
    }
    source = put({**files, "amy/phone.m4a": b"\0\0\0\x20ftypM4A ", "amy/chat.webm": b"\x1aE\xdf\xa3"})
    status, found, rows = _prepared(source, tmp_path / "data")
    assert status == 3 and sorted(found) == sorted(f"amy_{n}" for n in range(len(files)))
    assert [row[:2] for row in rows] == [
        ["amy/chat.webm", "sound of a format that cannot be read"],
        ["amy/phone.m4a", "sound of a format that cannot be read"],
    ]
    assert f"ffmpeg -i {source}/amy/phone.m4a {source}/amy/phone.wav" in rows[1][2]
    output = capsys.readouterr()
    assert "sound of a format that cannot be read\t2" in output.out and "ffmpeg -i" in output.err


def test_row_56_linked_folders_are_followed_once(put, tmp_path):
    elsewhere = put({"one.wav": None}, base="elsewhere")
    source = put({"bob/two.wav": None})
    try:
        (source / "amy").symlink_to(elsewhere, target_is_directory=True)
        (source / "bob/again").symlink_to(source / "bob", target_is_directory=True)
    except OSError:
        pytest.skip("this disk has no links")
    status, found, rows = _prepared(source, tmp_path / "data")
    assert (status, found, rows) == (0, {"amy_one": "amy", "bob_two": "bob"}, [])


WINDOWS = {
    "bom": lambda text: ("\ufeff" + text.replace("\n", "\r\n")).encode(),
    "crlf": lambda text: text.replace("\n", "\r\n").encode(),
    "utf-16": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "utf-16 without mark": lambda text: text.replace("\n", "\r\n").encode("utf-16-le"),
}


@pytest.mark.parametrize("saved", WINDOWS)
def test_row_58_lists_saved_by_windows_editors_are_read(put, saved):
    table = "speaker\tgender\taccent\namy\tf\tScottish\n"
    layouts = {
        **{name: FOUND[name] for name in ("librispeech", "libritts", "ljspeech", "jvs", "kaldi")},
        "folders": ({**FOLDERS, "speakers.tsv": table}, FOUND["folders"][1], {"amy": "f"}),
    }
    for name, (files, items, genders) in layouts.items():
        files = {path: WINDOWS[saved](text) if text else text for path, text in files.items()}
        source = registry.read(put(files, base=name))
        assert {item.utt_id: (item.speaker, item.text) for item in source.items} == items, name
        assert {speaker.speaker: speaker.gender for speaker in source.speakers.values()} == genders, name


@pytest.mark.parametrize("saved", WINDOWS)
def test_row_58_phone_times_saved_by_windows_editors_are_read(tmp_path, saved):
    (tmp_path / "phones.ctm").write_bytes(WINDOWS[saved]("amy_1 0.0 0.5 aa\namy_1 0.5 0.5 s\n"))
    assert [s.phone for s in alignment.read_ctm(tmp_path / "phones.ctm")["amy_1"]] == ["aa", "s"]


@pytest.mark.parametrize("saved", WINDOWS)
def test_row_58_pairs_saved_by_windows_editors_are_read(tmp_path, saved):
    (tmp_path / "pairs.tsv").write_bytes(WINDOWS[saved]("a.wav\tp225\tb.wav\nc d.wav\tp226\te.wav\n"))
    jobs = _conversions._read_pairs(tmp_path / "pairs.tsv")
    assert [(str(job.src), job.speaker, str(job.out)) for job in jobs] == [
        ("a.wav", "p225", "b.wav"),
        ("c d.wav", "p226", "e.wav"),
    ]


@given(st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\ufeff\0"), min_size=1))
def test_row_58_a_text_is_the_same_however_it_was_saved(text):
    text = "a" + text  # UTF-16 without a mark is known by where its zero bytes stand
    for data in (text.encode(), ("\ufeff" + text).encode(), text.encode("utf-16"), text.encode("utf-16-be")):
        assert textfile.decode(data) == text
    assert textfile.decode(text.replace("\n", "\r\n").encode()) == text


def test_row_58_what_is_no_text_is_named_with_its_line(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"one\ntwo\n\xff\xe9\n")
    with pytest.raises(CorpusError, match="list.txt:3: is not UTF-8 text; save it as UTF-8"):
        textfile.read(tmp_path / "list.txt", error=CorpusError)
    assert textfile.read(tmp_path / "list.txt", fallback="cp1252").endswith("\u00e9\n")
    with pytest.raises(CorpusError, match="no such file; make it"):
        textfile.read(tmp_path / "none.txt", error=CorpusError, remedy="make it")


def test_row_61_the_same_name_in_several_style_folders_is_kept(put, tmp_path):
    names = ("angry/001.wav", "happy/001.wav", "happy/002.wav")
    source = put({f"{speaker}/{name}": None for speaker in ("amy", "bob") for name in names})
    status, found, rows = _prepared(source, tmp_path / "data")
    assert status == 0 and not rows and set(found.values()) == {"amy", "bob"}
    assert {name for name in found if name.startswith("amy")} == {"amy_angry_001", "amy_happy_001", "amy_002"}


def test_row_64_names_that_look_alike_are_kept_distinct(put, tmp_path):
    files = {"Ann Lee/x.wav": None, "Ann_Lee/x.wav": None, "a/b_c.wav": None, "a_b/c.wav": None}
    files |= {"bob/x.wav": None, "bob/x.ogg": None, "bob/my take.wav": None, "bob/my_take.wav": None}
    status, found, rows = _prepared(put(files), tmp_path / "data")
    assert status == 0 and not rows and len(found) == len(files)
    speakers = sorted(set(found.values()))
    assert len(speakers) == 5 and "Ann_Lee" in speakers and sum(name.startswith("Ann_Lee-") for name in speakers) == 1
    assert {"bob_x_wav", "bob_x_ogg"} <= set(found)


def test_row_64_ids_do_not_depend_on_the_order_of_files():
    names = ["Ann Lee", "Ann_Lee", "Ann  Lee", "..", "x/y", "x_y", "\udcff", "é" * 300, "tab\there"]
    made = ids.distinct(names)
    assert made == ids.distinct(names[::-1]) and len(set(made.values())) == len(names)
    assert not any(ids.problem(name) for name in made.values()) and made["Ann_Lee"] == "Ann_Lee"
    choices = {n: (f"{n % 2}", f"{n % 3}", f"last{n}") for n in range(6)}
    unique = ids.first_unique(choices)
    assert len(set(unique.values())) == 6 and unique == ids.first_unique(dict(reversed(choices.items())))


def test_layouts_of_the_command_are_those_of_the_package():
    assert prepare.LAYOUTS == (registry.AUTO, *registry.LAYOUTS)
    files = {path.stem for path in Path(registry.__file__).parent.glob("*.py")} - {"__init__", "registry"}
    assert files == set(registry.LAYOUTS)
