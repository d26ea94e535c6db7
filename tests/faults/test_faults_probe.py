"""FAULTS row 50: an empty or one-class probe fails with "needs at least two classes" and never reports 100 %."""

import numpy as np
import pytest

from vqvc.cli import probe
from vqvc.corpus.codes import CodeArchive


def run(tmp_path, phones, subsets=("train", "test")):
    rows = [(f"p{n}_001", f"p{n}", subset, 6400, np.arange(10) % 4) for n, subset in enumerate(subsets)]
    CodeArchive.build(rows, hop_length=640, sample_rate=16000, codebook_size=4).save(tmp_path / "codes.npz")
    lines = [f"{row[0]} {0.2 * k:.2f} 0.20 {phone}" for row in rows for k, phone in enumerate(phones)]
    (tmp_path / "phones.ctm").write_text("".join(line + "\n" for line in lines))
    files = [
        "--codes",
        tmp_path / "codes.npz",
        "--align",
        tmp_path / "phones.ctm",
        "--out",
        tmp_path / "out",
        "--no-picture",
    ]
    return probe.main([str(item) for item in files])


@pytest.mark.parametrize("phones", [("aa", "aa"), ("pau", "pau"), ("aa", "pau")])
def test_row_50_one_class_is_refused(tmp_path, capsys, phones):
    assert run(tmp_path, phones) == 1
    printed = capsys.readouterr()
    assert "needs at least two classes" in printed.err and "Traceback" not in printed.err
    assert printed.out == "" and not (tmp_path / "out" / "probe.json").exists()


def test_row_50_nothing_to_score_is_refused(tmp_path, capsys):
    assert run(tmp_path, ("aa", "iy"), ("train", "train")) == 1
    assert "nothing to score" in capsys.readouterr().err


def test_row_50_nothing_to_fit_on_is_refused(tmp_path, capsys):
    assert run(tmp_path, ("aa", "iy"), ("dev", "test")) == 1
    assert "needs at least two classes" in capsys.readouterr().err


def test_two_classes_are_enough(tmp_path):
    assert run(tmp_path, ("aa", "iy")) == 0
