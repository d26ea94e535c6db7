"""vqvc-decode: what it does not take is one sentence with the file and the remedy, before the weights are read."""

import numpy as np
import pytest
from tiny_voice import SPEAKERS, tiny_model

from vqvc.cli import decode
from vqvc.conversion import model_file
from vqvc.corpus.codes import CodeArchive


@pytest.fixture
def wrong(tmp_path, monkeypatch, capsys):
    """Runs vqvc-decode on a file that it does not take; returns the error."""
    model_file.write(tmp_path / "model.safetensors", tiny_model(), SPEAKERS, {})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vqvc.load", None)

    def run(*arguments):
        status = decode.main(["--model", "model.safetensors", "--speaker", "p225", "--out", "b.wav", *arguments])
        errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert status == 2 and len(errors) == 1 and not (tmp_path / "b.wav").exists()
        return errors[0]

    return run


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("", "holds no numbers"), ("1 -4 2", "numbers from -4 to 2"), ("1 99999", "to 99999"), ("1.5", "whole numbers")],
)
def test_numbers_that_are_no_codes_of_the_model(wrong, tmp_path, text, sentence):
    (tmp_path / "a.txt").write_text(text)
    error = wrong("a.txt")
    assert error.startswith("error: a.txt: ") and sentence in error


def test_a_recording_is_answered_with_the_commands_for_it(wrong, tmp_path):
    (tmp_path / "a.WAV").write_bytes(b"RIFF")
    assert "a.WAV: is a recording" in (error := wrong("a.WAV")) and "vqvc-convert" in error


def test_an_unknown_utterance_gets_the_file_and_the_nearest_names(wrong):
    rows = [(f"p225_00{n}", "p225", "test", 64, np.zeros(1, np.int64)) for n in range(3)]
    CodeArchive.build(rows, hop_length=64, sample_rate=16000, codebook_size=8).save("a.npz")
    assert "a.npz: holds no utterance 'p225_01'; the nearest are p225_00" in wrong("a.npz", "--utt", "p225_01")
    assert "name one with --utt" in wrong("a.npz")


@pytest.mark.parametrize("name", ["a.txt", "a.vqc"])
def test_an_utterance_of_a_file_that_holds_one_recording_is_refused(wrong, tmp_path, name):
    (tmp_path / name).write_text("1 2 3")
    assert "--utt x: is for .npz files" in wrong(name, "--utt", "x")
