"""One thread, no TensorBoard, and one small store for all."""

import pytest
import torch
from tiny_training import tiny_store

from vqvc.training.tracker import Tracker


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def no_board(monkeypatch):
    monkeypatch.setattr(Tracker, "_open_board", staticmethod(lambda folder: None))


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("store") / "dump")
