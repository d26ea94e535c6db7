"""FAULTS rows 13 to 18 through vqvc-prepare (the lists' own messages are tested in tests/corpus)."""

import os
import random
import re
from pathlib import Path

import pytest
import soundfile

from vqvc.cli import prepare


@pytest.fixture
def kaldi(tmp_path, speechlike):
    directory = tmp_path / "kaldi"
    (directory / "wav").mkdir(parents=True)
    for n in range(4):
        soundfile.write(directory / f"wav/amy_{n}.wav", speechlike(0.5, seed=n), 16000)
    (directory / "wav.scp").write_text("".join(f"amy_{n} wav/amy_{n}.wav\n" for n in range(4)))
    (directory / "utt2spk").write_text("".join(f"amy_{n} amy\n" for n in range(4)))
    return directory


def _prepare(source, tmp_path, name="data"):
    return prepare.main(["--source", str(source), "--out", str(tmp_path / name)])


def test_row_13_a_malformed_list_stops_with_its_line_and_stays(kaldi, tmp_path, capsys):
    (kaldi / "utt2spk").write_text((kaldi / "utt2spk").read_text().replace("amy_2 amy", "amy_2 amy x"))
    before = (kaldi / "utt2spk").read_bytes()
    assert _prepare(kaldi, tmp_path) == 1
    err = capsys.readouterr().err
    assert "utt2spk:3: has 3 fields, should have 2" in err and "--fix" in err and "Traceback" not in err
    assert (kaldi / "utt2spk").read_bytes() == before and not (tmp_path / "data").exists()


LISTS = {
    "has 3 fields": lambda text: text.replace("amy_2 amy", "amy_2 amy x"),
    "stands twice": lambda text: text.replace("amy_2", "amy_1"),
    "out of order": lambda text: "".join(reversed(text.splitlines(True))),
    "ends in CR LF": lambda text: text.replace("\n", "\r\n"),
    "has no line end": lambda text: text.rstrip("\n"),
}


@pytest.mark.parametrize("fault", LISTS)
def test_row_13_every_fault_of_a_list_is_named_by_line_and_mended_with_a_backup(kaldi, capsys, fault):
    broken = LISTS[fault]((kaldi / "utt2spk").read_text()).encode()
    (kaldi / "utt2spk").write_bytes(broken)
    assert prepare.main(["--validate", str(kaldi)]) == 1
    assert re.search(rf"utt2spk:\d: .*{fault}", capsys.readouterr().out) and (kaldi / "utt2spk").read_bytes() == broken
    assert prepare.main(["--fix", str(kaldi)]) == 0 and prepare.main(["--validate", str(kaldi)]) == 0
    assert (kaldi / ".backup/utt2spk").read_bytes() == broken


def test_row_14_a_pipe_is_not_run(kaldi, tmp_path, capsys):
    (kaldi / "wav.scp").write_text((kaldi / "wav.scp").read_text().replace("wav/amy_1.wav", f"touch {tmp_path}/ran |"))
    assert _prepare(kaldi, tmp_path) == 1
    assert "commands are not run" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists() and not (tmp_path / "data").exists()


def test_row_15_lists_that_disagree_are_not_cut_down_silently(kaldi, tmp_path, capsys):
    (kaldi / "utt2spk").write_text("".join(f"amy_{n} amy\n" for n in range(10)))
    assert _prepare(kaldi, tmp_path) == 1
    assert "utt2spk: 6 ids are not in wav.scp: amy_4 amy_5 amy_6 amy_7 amy_8 ..." in capsys.readouterr().err


def test_row_16_faults_of_the_release_are_a_line_each(vctk_layout, tmp_path, capsys):
    root = vctk_layout(
        "0.92", {"p225": 2, "p280": 2, "p315": 1, "s5": 1}, {"p280_001_mic2", "p280_002_mic2", "p315_001.txt"}
    )
    (root / "txt/p362").mkdir()
    (root / "txt/p362/p362_001.txt").write_text("No audio.")
    err = []
    for name in ("one", "two"):
        assert _prepare(root, tmp_path, name) == 0  # known faults are no failure
        err.append([line.strip() for line in capsys.readouterr().err.splitlines() if line.startswith("  ")])
    assert err[0] == err[1] and len(err[0]) == 5
    for start in (
        "p280: no mic2 recordings",
        "p315: no transcripts",
        "p362: 1 transcripts without audio",
        "s5: does not begin with p",
    ):
        assert sum(line.startswith(start) for line in err[0]) == 1, start


def test_row_17_another_file_order_is_the_same_split(vctk_layout, tmp_path, monkeypatch):
    root = vctk_layout("0.92", {f"p{225 + n}": 3 for n in range(7)})
    assert _prepare(root, tmp_path, "one") == 0
    real, rng = os.listdir, random.Random(1)

    def shuffled(folder="."):
        names = real(folder)
        rng.shuffle(names)
        return names

    monkeypatch.setattr("os.listdir", shuffled)
    monkeypatch.setattr(Path, "iterdir", lambda self: (self / name for name in shuffled(self)))
    assert _prepare(root, tmp_path, "two") == 0
    for path in sorted((tmp_path / "one").rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes(), path


def test_row_18_a_segment_past_the_end_is_named_by_line(kaldi, tmp_path):
    lines = ["amy_0 amy_0 0.1 0.9", "amy_1 amy_1 0.5 7.0", "amy_2 amy_2 -1 0.5", "amy_3 amy_3 0.2 0.2"]
    (kaldi / "segments").write_text("\n".join(lines) + "\n")
    assert _prepare(kaldi, tmp_path) == 3
    rows = [line.split("\t") for line in (tmp_path / "data/left_out.tsv").read_text().splitlines()[1:]]
    assert [row[:2] for row in rows] == [[f"amy_{n}", "bad segment"] for n in (1, 2, 3)]
    assert rows[0][2].startswith("segments:2: ends at 7 s") and rows[1][2].startswith("segments:3: starts at -1 s")
    assert "amy_0" in "".join((tmp_path / "data" / name / "utt2spk").read_text() for name in ("train", "dev"))
