"""vqvc-enroll, and vqvc-convert with what it wrote."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from enrolled import row_as_voice
from tiny_voice import SPEAKERS, model_with_mel

from vqvc.cli import convert, enroll, evaluate, prior, probe, sample
from vqvc.conversion import model_file, voice_file
from vqvc.conversion.disclosure import CONSENT

RATE = 16000


@pytest.fixture
def run(mel_file, tmp_path, monkeypatch, call_command):
    """run(command, *arguments) -> (exit status, stdout, stderr), in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    return lambda command, *arguments, model=mel_file: call_command(command, model, *arguments)


def test_enroll_with_the_fewest_words_and_convert_to_the_voice(run, wav, mel_converter, speechlike, caplog):
    caplog.set_level("INFO", "vqvc")
    status, out, err = run(enroll, "--src", wav)
    assert (status, out) == (0, "me.voice\n") and CONSENT in err
    soundfile.write("a.wav", speechlike(0.4), RATE)
    status, out, _ = run(convert, "--src", "a.wav", "--voice", "me.voice", "--subtype", "float")
    assert (status, out) == (0, "a_me.wav\n")
    wanted = mel_converter.convert("a.wav", voice="me.voice")
    assert np.allclose(soundfile.read("a_me.wav", dtype="float32")[0], wanted, atol=1e-6)


def test_the_name_of_a_voice_does_not_choose_a_folder(run, wav):
    status, out, err = run(enroll, "--src", wav, "--name", "../a/b c")
    assert (status, out) == (0, ".._a_b c.voice\n"), err
    assert voice_file.read(".._a_b c.voice").name == "../a/b c"


def test_enroll_takes_several_files_and_folders_each_file_once(run, tmp_path, speechlike):
    more = tmp_path / "more"
    more.mkdir()
    for n in range(2):
        soundfile.write(more / f"{n}.wav", speechlike(7.0, seed=n), RATE)
    status, out, err = run(enroll, "--src", more / "0.wav", "--src", more, "--name", "we two", "--out", "voices/")
    assert (status, out.strip()) == (0, str(Path("voices", "we two.voice"))), err
    assert voice_file.read(out.strip()).provenance["recordings"] == ["0.wav", "1.wav"]


def test_enroll_replaces_nothing_unasked(run, wav):
    Path("me.voice").write_text("mine")
    status, _, err = run(enroll, "--src", wav)
    assert status == 2 and "--overwrite" in err and Path("me.voice").read_text() == "mine"
    assert run(enroll, "--src", wav, "--overwrite")[0] == 0


def test_a_seed_repeats_a_voice_and_another_seed_makes_another(run, wav, mel_converter):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        status, _, err = run(enroll, "--src", wav, "--name", name, "--seed", str(seed))
        assert status == 0, err
    one, again, other = (voice_file.read(f"{name}.voice") for name in "abc")
    assert one.provenance["seed"] == again.provenance["seed"] == 3
    assert torch.equal(one.vector, again.vector) and not torch.equal(one.vector, other.vector)
    assert torch.equal(one.vector, mel_converter.enroll(wav, seed=3).vector)


@pytest.mark.parametrize(
    "command", [enroll, evaluate, prior, probe, sample], ids=lambda one: one.__name__.split(".")[-1]
)
def test_a_seed_that_no_generator_takes_is_wrong_usage(command, capsys):
    for seed in ("-1", str(1 << 63), "two"):
        with pytest.raises(SystemExit, match="2"):
            command.main([f"--seed={seed}"])
        assert "must be a whole number from 0 to" in capsys.readouterr().err


def test_enroll_refuses_in_one_sentence_and_writes_nothing(run, tmp_path):
    soundfile.write(tmp_path / "quiet.wav", np.zeros(12 * RATE), RATE)
    for arguments, status, reason in (
        ((), 2, "no recordings"),
        (("--src", tmp_path / "none.wav"), 1, "no such file"),
        (("--src", tmp_path / "quiet.wav"), 1, "quiet.wav: digital silence"),
        (("--src", tmp_path / "quiet.wav", "--name", "a\nb"), 2, "name"),
    ):
        found, out, err = run(enroll, *arguments)
        assert (found, out) == (status, "") and reason in err
    assert not list(Path().iterdir())


def test_convert_refuses_a_voice_beside_a_speaker_and_one_of_another_model(run, wav, mel_converter, tmp_path):
    row_as_voice(mel_converter, 1).save("me.voice")
    status, _, err = run(convert, "--src", wav, "--voice", "me.voice", "--speaker", "p226")
    assert status == 2 and "--voice" in err
    other = tmp_path / "other.safetensors"
    model_file.write(other, model_with_mel(seed=1), SPEAKERS, {"steps": 0})
    status, out, err = run(convert, "--src", wav, "--voice", "me.voice", model=other)
    assert (status, out) == (1, "") and "another model" in err and "other.safetensors" in err


def test_help_says_whose_voices_may_be_enrolled():
    assert "owners agree" in " ".join(enroll.make_parser().format_help().split())


def test_conversions_of_a_folder_are_made_again_when_the_voice_is_another(run, mel_converter, tmp_path, speechlike):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name in "ab":
        soundfile.write(folder / f"{name}.wav", speechlike(0.3), RATE)
    row_as_voice(mel_converter, 1).save("me.voice")
    assert run(convert, "--src", folder, "--voice", "me.voice", "--out", "out")[0] == 0
    assert run(convert, "--src", folder, "--voice", "me.voice", "--out", "out")[:2] == (0, "")  # nothing is left to do
    row_as_voice(mel_converter, 2).save("me.voice")
    status, _, err = run(convert, "--src", folder, "--voice", "me.voice", "--out", "out")
    assert status == 2 and "--overwrite" in err
