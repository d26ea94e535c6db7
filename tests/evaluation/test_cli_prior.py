"""vqvc-prior as a command: trains, goes on, scores; reports what does not fit."""

import json

import pytest
from tiny_prior import TINY, tiny_archive

from vqvc.cli import prior
from vqvc.codec import prior_file


@pytest.fixture
def given(tmp_path):
    tiny_archive().save(tmp_path / "codes.npz")
    settings = [f"--set={section}.{key}={value}" for section in TINY for key, value in TINY[section].items()]
    return ["--codes", str(tmp_path / "codes.npz"), "--out", str(tmp_path / "prior"), "--threads", "1", *settings]


def test_it_trains_goes_on_and_scores(given, tmp_path, capsys):
    assert prior.main(given) == 0
    assert "held-out bits per code" in capsys.readouterr().out
    found = prior_file.read(tmp_path / "prior" / "prior.safetensors")
    assert found.speakers == ("p1", "p2") and found.training["steps"] == 8
    assert prior.main([*given, "--set=training.steps=10"]) == 0
    assert "resuming at step 8" in capsys.readouterr().err

    assert prior.main([*given, "--score", "--decoder-bits", "3.5"]) == 0
    out = capsys.readouterr().out
    result = json.loads((tmp_path / "prior" / "score.json").read_text())
    assert set(result["sets"]) == {"dev", "test"} and result["prior"]["training"]["steps"] == 10
    assert "5 of 5 decoded alike" in out and "bound on log2 p(x)" in out
    assert prior.main([*given, "--score"]) == 2
    assert "score.json: exists already; give --overwrite" in capsys.readouterr().err


def test_a_prior_of_other_codes_is_not_scored(given, tmp_path, capsys):
    assert prior.main(given) == 0
    tiny_archive(model="cd" * 32).save(tmp_path / "codes.npz")
    assert prior.main([*given, "--score"]) == 2
    assert "was trained on the codes of another model" in capsys.readouterr().err
    assert prior.main(given) == 1
    assert (
        "was made with another codes_of_model; train in another folder, or give --overwrite" in capsys.readouterr().err
    )
    assert prior.main([*given, "--overwrite"]) == 0 and "beginning again" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message", "status"),
    [
        (["--max-minutes", "0"], "--max-minutes: must be above 0", 2),
        (["--set", "prior.layrs=3"], "did you mean prior.layers?", 2),
        (["--codes", "none.npz"], "none.npz: no such file; make it with vqvc-encode", 1),
        (["--score"], "prior.safetensors: no such file; train a prior with vqvc-prior", 1),
    ],
)
def test_what_does_not_fit_is_one_sentence(given, capsys, more, message, status):
    assert prior.main([*given, *more]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ") and message in line
