"""A service on the tiny model, and recordings for it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from browser import address, launch, open_page  # noqa: F401 (fixtures)
from tiny_voice import SPEAKERS, model_with_mel

from vqvc.cli import convert
from vqvc.conversion import model_file as model_files
from vqvc.serve.service import MB, Limits, Service

RATE = 16000
LIMITS = Limits(longest_s=20.0, largest_bytes=MB)


@pytest.fixture(scope="session")
def mel_model(tmp_path_factory) -> Path:
    """A model file that voices can be enrolled with."""
    path = tmp_path_factory.mktemp("served") / "tiny.safetensors"
    model_files.write(path, model_with_mel(), SPEAKERS, {"steps": 0}, unlisted=["p315"])
    return path


@pytest.fixture(scope="session")
def service(mel_model) -> Service:
    return Service(mel_model, LIMITS)


@pytest.fixture(scope="session")
def recordings(tmp_path_factory, speechlike) -> Path:
    """A folder of recordings by what is the matter with them; voice.wav can be enrolled."""
    folder = tmp_path_factory.mktemp("recordings")
    speech = speechlike(1.0)
    sounds = {
        "good": speech, "other": speechlike(1.4, seed=1), "voice": speechlike(12.0), "silence": np.zeros(RATE), "short": speech[:40],
        "stereo": np.stack([speech, 0.5 * speech], axis=1), "long": np.tile(speech, 15),
    }  # fmt: skip
    for name, samples in sounds.items():
        soundfile.write(folder / f"{name}.wav", samples, RATE)
    (folder / "text.wav").write_text("no sound\n" * 50)
    with open(folder / "huge.wav", "wb") as file:
        file.truncate(2 * MB)
    return folder


@pytest.fixture
def by_command(mel_model):
    """by_command(source, speaker, out): what vqvc-convert writes with the model of the page."""

    def converted(source, speaker, out):
        words = ["--model", mel_model, "--src", source, "--speaker", speaker, "--out", out]
        assert convert.main([*map(str, words)]) == 0

    return converted
