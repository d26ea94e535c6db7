"""Commands called in an empty folder."""

from pathlib import Path

import pytest

from vqvc.audio import io as sound


@pytest.fixture
def here(tmp_path, monkeypatch, speechlike) -> Path:
    """An empty current folder but for a recording."""
    monkeypatch.chdir(tmp_path)
    sound.write("a.wav", speechlike(0.4), 16000)
    return tmp_path


@pytest.fixture
def run(call_command, model_file):
    """run(command, *words) -> (exit status, stdout, stderr) with the tiny model."""
    return lambda command, *words: call_command(command, model_file, *words)
