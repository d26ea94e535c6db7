"""The tiny model as fixtures, and the units of the processor that the CPU's engine can compute on."""

from pathlib import Path

import pytest
from tiny_voice import SPEAKERS, tiny_model

from vqvc.conversion import model_file as model_files
from vqvc.engine.cpu import units


@pytest.fixture(params=units.available())
def unit(request) -> str:
    """Every unit of this processor in turn that the sampling loop can make its products with."""
    return request.param


@pytest.fixture(scope="session")
def make_model():
    """``tiny_model``."""
    return tiny_model


@pytest.fixture(scope="session")
def model_file(tmp_path_factory) -> Path:
    """A released model file, of the mixture output."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model_files.write(path, tiny_model(), SPEAKERS, {"steps": 0})
    return path


@pytest.fixture
def call_command(capsys, caplog):
    """call_command(command, model, *arguments) -> (exit status, stdout, stderr and log) of a command on a model file."""

    def call(command, model, *arguments):
        caplog.clear()
        capsys.readouterr()
        try:
            status = command.main(["--model", str(model), *map(str, arguments)])
        except SystemExit as stopped:
            status = stopped.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err + caplog.text

    return call
