"""The model that comes with the package."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import vqvc
from vqvc import config
from vqvc.cli import convert as command
from vqvc.cli import decode, encode, sample
from vqvc.conversion import model_file
from vqvc.models import RELEASED
from vqvc.nn.builder import build_model
from vqvc.training.initialization import PER_SPEAKER, Initialization


def test_it_is_small_enough_and_whole():
    assert RELEASED.stat().st_size < 20e6
    assert model_file.read(RELEASED).checksum == model_file.read_header(RELEASED).checksum


def test_it_has_the_voice_that_the_readme_names(capsys):
    assert command.main(["--list-speakers"]) == 0
    names = [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    assert "p225" in names and len(names) == len(set(names)) > 100


def test_it_converts_without_being_named():
    voice = vqvc.load()
    t = np.arange(voice.sample_rate // 2) / voice.sample_rate
    source = 0.1 * np.sin(2 * np.pi * 150 * t).astype(np.float32) * (1 + np.sin(2 * np.pi * 4 * t)).astype(np.float32)
    generated = voice.convert(source, "p225")
    assert generated.shape == source.shape and np.isfinite(generated).all() and 0.01 < np.abs(generated).max() <= 2


def test_its_prior_comes_with_it(tmp_path, speechlike):
    """Unconditional samples, and codes as a file under the prior, without naming the prior."""
    assert sample.main(["--speaker", "p225", "--seconds", "0.4", "--out", str(tmp_path / "sampled.wav")]) == 0
    assert soundfile.info(tmp_path / "sampled.wav").duration == pytest.approx(0.4, abs=0.01)
    soundfile.write(tmp_path / "a.wav", speechlike(1.0), 16000)
    for out in ("a.vqc", "plain.vqc"):
        more = ["--prior", "none"] if out == "plain.vqc" else []
        assert encode.main([str(tmp_path / "a.wav"), "--out", str(tmp_path / out), *more]) == 0
    assert (tmp_path / "a.vqc").stat().st_size < 0.8 * (tmp_path / "plain.vqc").stat().st_size
    for out in ("a.vqc", "plain.vqc"):
        assert decode.main([str(tmp_path / out), "--speaker", "p225", "--out", str(tmp_path / f"{out}.wav")]) == 0
    generated = [soundfile.read(tmp_path / f"{out}.wav")[0] for out in ("a.vqc", "plain.vqc")]
    np.testing.assert_array_equal(*generated)


def test_training_can_go_on_from_it_as_in_the_readme():
    settings = config.load(Path(__file__).parents[1] / "recipes/conf/small.yaml")
    released = model_file.read(RELEASED)
    begun = build_model(settings.model, 2)
    Initialization(released.model, tuple(voice.name for voice in released.speakers), RELEASED).give(
        begun, ("p225", "somebody")
    )
    ours, theirs = begun.state_dict(), released.model.state_dict()
    changed = {name for name in theirs if not torch.equal(ours[name], theirs[name])}
    assert changed <= PER_SPEAKER.keys()
    voices = "conditioning.speaker.weight"
    assert torch.equal(ours[voices][0], theirs[voices][released.speaker_index("p225")])
