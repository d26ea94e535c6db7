"""The tiny model as fixtures, and one thread for it."""

from pathlib import Path

import pytest
import torch
from tiny_voice import SPEAKERS, tiny_model

from vqvc.synthesis import package


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """These tensors are too small to share out."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def make_model():
    """``tiny_model``."""
    return tiny_model


@pytest.fixture(scope="session")
def model_file(tmp_path_factory) -> Path:
    """A released model file, of the mixture output."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    package.write(path, tiny_model(), SPEAKERS, {"steps": 0})
    return path
