"""No TensorBoard, and one small store for all."""

import pytest
from tiny_training import tiny_store

from vqvc.training.tracker import Tracker


@pytest.fixture(autouse=True)
def no_board(monkeypatch):
    monkeypatch.setattr(Tracker, "_open_board", staticmethod(lambda folder: None))


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("store") / "dump")
