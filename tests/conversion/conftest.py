"""The tiny model with an auxiliary log-mel head, with which voices can be enrolled, and a recording for it."""

from pathlib import Path

import pytest
import soundfile
from tiny_voice import SPEAKERS, model_with_mel

import vqvc
from vqvc.conversion import model_file as model_files


@pytest.fixture(scope="session")
def mel_file(tmp_path_factory) -> Path:
    """``model_with_mel`` as a model file."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model_files.write(path, model_with_mel(), SPEAKERS, {"steps": 0})
    return path


@pytest.fixture(scope="session")
def mel_converter(mel_file):
    """The same, loaded."""
    return vqvc.load(mel_file)


@pytest.fixture
def wav(tmp_path, speechlike) -> Path:
    """me.wav: enough speech for an enrollment."""
    soundfile.write(tmp_path / "me.wav", speechlike(12.0), 16000)
    return tmp_path / "me.wav"
