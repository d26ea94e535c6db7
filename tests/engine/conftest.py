"""The tiny model, and the units of the processor that the CPU's engine can compute on."""

import pytest
from tiny_voice import tiny_model

from vqvc.engine.cpu import units


@pytest.fixture(params=units.available())
def unit(request) -> str:
    """Every unit of this processor in turn that the sampling loop can make its products with."""
    return request.param


@pytest.fixture(scope="session")
def make_model():
    """``tiny_model``."""
    return tiny_model
