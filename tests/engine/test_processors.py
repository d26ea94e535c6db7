"""The loop runs on processors that this one is not: it is compiled for what they have, here."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(600)
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="compiles for x86-64 processors")
@pytest.mark.parametrize("features", ["+avx2,+fma", "+sse2"])  # ten years old; the oldest that there is
def test_without_bfloat16_and_wide_vectors_the_loop_computes_what_the_network_computes(tmp_path, features):
    environment = os.environ | {
        "NUMBA_CPU_NAME": "x86-64",
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    environment.pop("VQVC_UNIT", None)
    loop = "tests/engine/test_sampler.py::test_the_loop_computes_what_the_network_computes"
    engines = "tests/engine/test_engines.py::test_row_49_an_engine_equals_the_specification"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-k",
        "floats or network_computes",
        loop,
        engines,
    ]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=570)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    assert "skipped" not in found.stdout and "20 passed" in found.stdout
