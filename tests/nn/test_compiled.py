"""Compiled code is kept between processes where it can be, and works where it cannot."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numba
import pytest

from vqvc.nn.compiled import kept


def _refuse(*words, **options):
    raise OSError(30, "Read-only file system")


@pytest.mark.parametrize("writable", [True, False])
def test_a_function_is_kept_where_a_folder_can_be_written_and_runs_anyway(tmp_path, monkeypatch, writable):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    if not writable:
        monkeypatch.setattr(tempfile, "TemporaryFile", _refuse)  # how Numba asks whether a folder can be written

    @kept
    @numba.njit
    def twice(x):
        return 2 * x

    assert twice(21) == 42
    assert any(tmp_path.rglob("*.nbc")) == writable


def test_the_loops_are_there_when_nothing_can_be_written():
    code = """
import tempfile
def refuse(*words, **options):
    raise OSError(30, "Read-only file system")
tempfile.TemporaryFile = refuse
from vqvc.nn import gate_loops
from vqvc.engine.cpu import kernels
loops = gate_loops.forward, gate_loops.backward, kernels.advance, kernels.clear, kernels.move
assert not any(loop.stats.cache_path for loop in loops)
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, timeout=120)
