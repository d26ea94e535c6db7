"""VCTK: both layouts give the same utterances, and each fault of a release is named and counted."""

import pytest

from vqvc.corpus.layouts import vctk
from vqvc.corpus.source import Speaker
from vqvc.errors import CorpusError, UsageError

SPEAKERS = {"p225": 3, "p226": 2}


def _ids(source):
    return [(item.utt_id, item.speaker, item.text) for item in source.items]


def test_both_layouts_give_the_same_utterances_and_speakers(vctk_layout):
    old, new = (vctk.read(vctk_layout(name, SPEAKERS)) for name in ("0.80", "0.92"))
    assert (old.release, new.release) == ("0.80", "0.92") and (old.mic, new.mic) == ("", "mic2")
    assert _ids(old) == _ids(new) and len(old.items) == 5
    assert old.items[0].text == "Please call Stella."
    assert old.speakers == new.speakers == {name: Speaker(name, "f", "English") for name in SPEAKERS}
    assert old.notes == new.notes == [] and old.left_out == new.left_out == []


@pytest.mark.parametrize("mic", ["mic1", "mic2"])
def test_the_microphone_that_was_asked_for_is_used(vctk_layout, mic):
    source = vctk.read(vctk_layout("0.92", SPEAKERS), mic)
    assert all(item.path.stem.endswith(mic) for item in source.items)


def test_a_corpus_one_folder_down_is_found(vctk_layout):
    assert len(vctk.read(vctk_layout("0.92", SPEAKERS).parent).items) == 5


def test_speakers_without_a_microphone_fall_back_with_a_note(vctk_layout):
    skip = {f"{name}_{n:03d}_mic2" for name in ("p280", "p315") for n in (1, 2)} | {"p225_001_mic2"}
    source = vctk.read(vctk_layout("0.92", {"p225": 3, "p280": 2, "p315": 2}, skip))
    assert len(source.items) == 7
    assert "p280: no mic2 recordings; mic1 used for 2 utterances" in source.notes
    assert "p315: no mic2 recordings; mic1 used for 2 utterances" in source.notes
    assert "p225: 1 of 3 lack mic2; mic1 used for 1 utterances" in source.notes
    assert {item.path.stem for item in source.items if item.speaker == "p280"} == {"p280_001_mic1", "p280_002_mic1"}


def test_a_speaker_without_transcripts_is_kept_and_named(vctk_layout):
    source = vctk.read(vctk_layout("0.80", {"p225": 3, "p315": 2}, {"p315_001.txt", "p315_002.txt"}))
    assert source.notes == ["p315: no transcripts; 2 utterances kept without text"]
    assert [item.text for item in source.items if item.speaker == "p315"] == ["", ""]


def test_transcripts_without_audio_are_listed(vctk_layout):
    source = vctk.read(vctk_layout("0.80", {"p225": 3, "p362": 2}, {"p362_001", "p362_002"}))
    assert "p362: 2 transcripts without audio; left out" in source.notes
    assert [(item.id, item.reason) for item in source.left_out] == [
        (f"p362_00{n}", "transcript without audio") for n in (1, 2)
    ]
    assert {item.speaker for item in source.items} == {"p225"}


def test_a_speaker_whose_name_has_no_p_is_read(vctk_layout):
    source = vctk.read(vctk_layout("0.92", {"p225": 1, "s5": 2}))
    assert [item.utt_id for item in source.items] == ["p225_001", "s5_001", "s5_002"]
    assert any(note.startswith("s5: does not begin with p") for note in source.notes)
    assert "s5: not in speaker-info.txt; gender and accent unknown" in source.notes


def test_strange_files_and_empty_folders_are_named(vctk_layout):
    root = vctk_layout("0.80", SPEAKERS)
    (root / "wav48/p376").mkdir()
    (root / "wav48/p225/p225_295.raw").write_bytes(b"1")
    (root / "wav48/p225/p226_009.wav").write_bytes(b"1")
    (root / "wav48/p225/.DS_Store").write_bytes(b"1")
    source = vctk.read(root)
    assert len(source.items) == 5
    assert [item.id for item in source.left_out] == ["p225/p225_295.raw", "p225/p226_009.wav"]
    assert "p376: its folder is empty" in source.notes
    assert "2 files whose names are not those of utterances; left out" in source.notes


def test_the_same_counts_every_time(vctk_layout):
    root = vctk_layout("0.92", {"p225": 3, "p280": 2, "s5": 1}, {"p280_001_mic2", "p225_002.txt"})
    one, two = vctk.read(root), vctk.read(root)
    assert (one.notes, one.left_out, one.items) == (two.notes, two.left_out, two.items) and len(one.notes) == 4


def test_other_folders_and_empty_ones_are_refused(tmp_path):
    with pytest.raises(UsageError, match="is not VCTK"):
        vctk.read(tmp_path)
    (tmp_path / "wav48").mkdir()
    with pytest.raises(CorpusError, match="holds no recordings"):
        vctk.read(tmp_path)
    with pytest.raises(UsageError, match="--mic mic3"):
        vctk.read(tmp_path, "mic3")
