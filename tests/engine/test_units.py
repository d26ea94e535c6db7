"""Which of the processor's units the loop takes: by precision, by argument, by environment; what is not there is refused."""

import pytest

from vqvc.engine.cpu import units
from vqvc.engine.cpu.sampler import Sampler
from vqvc.engine.gpu.sampler import make_sampler
from vqvc.errors import UsageError

ALL, OLD = units.UNITS, ("floats",)


@pytest.fixture
def machine(monkeypatch):
    """machine(has, environment=None): a processor with these units, and the value of VQVC_UNIT."""

    def make(has, environment=None):
        monkeypatch.setattr(units, "available", lambda: has)
        monkeypatch.delenv(units.VARIABLE, raising=False)
        if environment is not None:
            monkeypatch.setenv(units.VARIABLE, environment)

    return make


@pytest.mark.parametrize(
    ("has", "precision", "trained", "expected"),
    [
        (ALL, "auto", "bfloat16", "amx"),
        (ALL, "auto", "float32", "floats"),
        (ALL, "bfloat16", "float32", "amx"),
        (ALL[1:], "auto", "bfloat16", "avx512"),
        (ALL, "float32", "bfloat16", "floats"),
        (OLD, "auto", "bfloat16", "floats"),
    ],
)
def test_the_fastest_of_the_precision_is_taken(machine, has, precision, trained, expected):
    machine(has)
    assert units.choose(precision, trained=trained) == expected


@pytest.mark.parametrize("name", ALL)
def test_argument_and_environment_choose(machine, name):
    machine(ALL)
    assert units.choose(unit=name, trained="bfloat16") == name
    machine(ALL, name)
    assert units.choose(trained="bfloat16") == name
    assert units.choose(unit="floats") == "floats"  # the argument counts first
    for precision in ("float32", "bfloat16"):  # and the precision asked for
        assert units.PRECISIONS[units.choose(precision)] == precision


@pytest.mark.parametrize("name", ["amx", "avx512"])
def test_a_unit_that_the_machine_lacks_is_refused(machine, name):
    machine(OLD)
    with pytest.raises(UsageError, match=f"unit {name}: needs .*; this machine has floats"):
        units.choose(unit=name)
    with pytest.raises(UsageError, match="no bfloat16 products; use precision float32"):
        units.choose("bfloat16")
    machine(OLD, name)
    with pytest.raises(UsageError, match=f"VQVC_UNIT {name}: needs"):
        units.choose()


def test_unknown_names_and_contradictions_are_refused(machine):
    machine(ALL)
    with pytest.raises(UsageError, match="unit 'sse' is not one of amx, avx512, floats"):
        units.choose(unit="sse")
    with pytest.raises(UsageError, match="precision 'float16' is not one of auto, float32, bfloat16"):
        units.choose("float16")
    with pytest.raises(UsageError, match="unit floats works in float32, not in bfloat16"):
        units.choose("bfloat16", "floats")
    machine(ALL, "gpu")
    with pytest.raises(UsageError, match="VQVC_UNIT 'gpu' is not one of"):
        units.choose()


def test_samplers_take_the_unit_that_they_are_given(make_model, monkeypatch, unit):
    monkeypatch.delenv(units.VARIABLE, raising=False)
    for sampler in (Sampler(make_model(), unit=unit), make_sampler(make_model(), unit)):
        assert (sampler.unit, sampler.precision) == (unit, units.PRECISIONS[unit])
    monkeypatch.setenv(units.VARIABLE, unit)
    assert Sampler(make_model()).unit == unit
