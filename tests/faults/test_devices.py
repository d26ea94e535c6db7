"""FAULTS row 60: a device that is not there is one sentence; one that is there is used."""

import pytest
import torch

from vqvc._util import devices
from vqvc.cli import prior, train
from vqvc.errors import TrainingError, UsageError


@pytest.fixture(params=["cuda", "mps"])
def only(request, monkeypatch):
    """Makes one kind of GPU look present, or none: only(True), only(False)."""

    def make(there: bool) -> str:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: there and request.param == "cuda")
        monkeypatch.setattr(torch.cuda, "device_count", lambda: int(there and request.param == "cuda"))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there and request.param == "mps")
        return request.param

    return make


def test_row_60_a_device_that_is_not_there_is_one_sentence(only):
    name = only(False)
    with pytest.raises(UsageError, match=rf"^--device {name}: PyTorch \S+ finds no .* GPU here; give --device cpu$"):
        devices.choose(name)
    assert devices.choose("auto") == devices.choose("cpu") == torch.device("cpu")


def test_row_60_a_device_that_is_there_is_used(only):
    name = only(True)
    assert devices.choose(name).type == name
    assert devices.choose("auto").type == ("cuda" if name == "cuda" else "cpu")
    if name == "cuda":
        with pytest.raises(UsageError, match="--device cuda:3: there are 1 GPUs, the last is cuda:0"):
            devices.choose("cuda:3")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "meta", "cpu0", "$(touch x)"])
def test_row_60_what_is_no_device_is_reported(name):
    with pytest.raises(UsageError, match="give auto, cpu, cuda or mps"):
        devices.choose(name)


@pytest.mark.parametrize("command", [train, prior])
def test_row_60_the_commands_report_it_in_one_line(command, only, tmp_path, capsys):
    name = only(False)
    (tmp_path / "a.yaml").write_text("")
    given = ["--conf", str(tmp_path / "a.yaml"), "--out", str(tmp_path / "out"), "--device", name]
    given += ["--store", str(tmp_path)] if command is train else ["--codes", str(tmp_path / "codes.npz")]
    assert command.main(given) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --device {name}: ") and not (tmp_path / "out").exists()


def test_row_60_full_memory_and_missing_operations_are_one_sentence():
    with pytest.raises(TrainingError, match="cuda: its memory is full; give a smaller batch"):
        with devices.explained(torch.device("cuda")):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB\nmore")
    with pytest.raises(TrainingError, match="mps: lacks what this needs .*; give --device cpu"):
        with devices.explained(torch.device("mps")):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
    with pytest.raises(TypeError), devices.explained(torch.device("cpu")):  # a bug stays one
        raise TypeError("mps")
