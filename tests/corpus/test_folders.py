"""Folders per speaker: names and transcripts are found in each layout, and odd names are dealt with."""

import os

import pytest

from vqvc.corpus.layouts import folders
from vqvc.errors import CorpusError


def _put(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def _found(source):
    return {item.utt_id: (item.speaker, item.text) for item in source.items}


def test_the_built_in_voices_layout(tmp_path):
    files = {
        "wav/amy/amy_001.wav": "",
        "txt/amy/amy_001.txt": "Hello.\n",
        "wav/bob/bob_001.wav": "",
        "phones/amy/amy_001.TextGrid": "",
        "speakers.tsv": "speaker\tgender\taccent\namy\tF\ten-us\nbob\tmale\t\nzoe\tf\t\n",
    }
    source = folders.read(_put(tmp_path, files))
    assert _found(source) == {"amy_001": ("amy", "Hello."), "bob_001": ("bob", "")}
    assert {name: (s.gender, s.accent) for name, s in source.speakers.items()} == {
        "amy": ("f", "en-us"),
        "bob": ("m", ""),
    }


def test_transcripts_beside_recordings_and_in_lists(tmp_path):
    files = {
        "amy/one.flac": "", "amy/one.txt": "\ufeffOne  line.", "amy/two.WAV": "", "amy/two.lab": "Two.", "amy/notes.pdf": "",
        "19/198/19-198-0000.flac": "", "19/198/19-198.trans.txt": "19-198-0000 NORTHANGER ABBEY\n",
    }  # fmt: skip
    assert _found(folders.read(_put(tmp_path, files))) == {
        "amy_one": ("amy", "One line."), "amy_two": ("amy", "Two."), "19-198-0000": ("19", "NORTHANGER ABBEY"),
    }  # fmt: skip


def test_names_with_spaces_dashes_and_line_breaks(tmp_path):
    files = {"amy b/-my take.wav": "", "amy b/my\ntake.wav": "", "amy b/-my_take.wav": "", "amy b/.hidden.wav": ""}
    source = folders.read(_put(tmp_path, files))
    assert [(item.speaker, item.path.name) for item in source.items] == [
        ("amy_b", "-my take.wav"),
        ("amy_b", "-my_take.wav"),
    ]
    assert len({item.utt_id for item in source.items}) == 2
    assert [item.reason for item in source.left_out] == ["file name cannot be listed"]


def test_names_that_are_not_utf_8_are_listed(tmp_path):
    _put(tmp_path, {"amy/good.wav": ""})
    try:
        with open(os.fsencode(tmp_path / "amy") + b"/\xff.wav", "wb"):
            pass
    except OSError:
        pytest.skip("this disk refuses names that are not UTF-8")
    source = folders.read(tmp_path)
    assert [item.utt_id for item in source.items] == ["amy_good"]
    assert [item.detail for item in source.left_out] == ["the file name is not UTF-8"]


def test_a_folder_without_recordings_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="no recordings in folders of speakers"):
        folders.read(_put(tmp_path, {"amy/notes.txt": "", "loose.wav": ""}))
