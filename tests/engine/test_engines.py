"""Every engine and unit makes the outputs and the draws of the one specification, ``vqvc.engine.spec``."""

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import engine_cases
import numpy as np
import pytest
from engine_cases import GPU, KERNELS, NETWORK, PROCESSOR, PYTORCH
from tiny_voice import tiny_model

from vqvc.audio import mulaw
from vqvc.audio.mulaw import CLASSES
from vqvc.engine import spec
from vqvc.engine.cpu import kernels
from vqvc.engine.cpu.sampler import Sampler
from vqvc.engine.gpu.sampler import GpuSampler
from vqvc.engine.protocol import Engine

HERE = Path(__file__).resolve().parent
OUTPUTS = ("mixture", "categorical")


@pytest.mark.parametrize("shape", ["odd", "deep", "pointwise"])
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("engine", [*NETWORK, *PROCESSOR, *PYTORCH, *GPU])
def test_row_49_an_engine_equals_the_specification(engine, output, shape):
    engine_cases.check(engine, output, shape)


@pytest.mark.timeout(600)
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs the package triton")
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("engine", KERNELS)
def test_the_gpus_kernel_equals_the_specification(engine, output):
    """By Triton's interpreter, on the processor."""
    path = [HERE.parent.parent, HERE.parent, HERE]
    done = subprocess.run(
        [sys.executable, HERE / "engine_cases.py", engine, output], capture_output=True, text=True, timeout=570,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_uniform_numbers_are_the_compiled_loops():
    seeds, position = (0, 1, 2**63, 2**64 - 1, 123456789), 2**40 + 7
    found = [[kernels._uniform(np.uint64(seed), position, which) for which in range(2)] for seed in seeds]
    assert np.array_equal(spec.uniforms(seeds, position), found)


def test_classes_of_amplitudes_are_the_compiled_loops():
    amplitudes = np.concatenate([np.linspace(-1.5, 1.5, 3001), [1e-5, -1e-5], mulaw.decode(np.arange(CLASSES))])
    found = np.array([kernels.mulaw_class(x) for x in amplitudes])
    expected = mulaw.encode(amplitudes)
    assert np.array_equal(found, expected) and set(expected) == set(range(CLASSES))


@pytest.mark.parametrize(
    "make", [Sampler, lambda model: GpuSampler(model, "float32", "cpu")], ids=["Sampler", "GpuSampler"]
)
def test_an_engine_has_the_signatures_of_the_protocol(make):
    """Names, order and defaults of the arguments alike, so that either takes the other's place."""
    engine = make(tiny_model())
    assert isinstance(engine, Engine)
    for method in ("start", "feed", "run"):
        ours, wanted = (inspect.signature(getattr(one, method)).parameters for one in (engine, Engine))
        assert list(ours) == list(wanted)[1:]
        for name, parameter in ours.items():
            both = parameter.default, wanted[name].default
            assert both[0] == both[1] or all(map(callable, both)), (method, name)
