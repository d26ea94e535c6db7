"""The kernel of the GPU's engine, run by Triton's interpreter: it computes what plain PyTorch computes, alone and in teams.

The interpreter has to be chosen before triton is imported, hence the processes; what they compare is in
``kernel_cases``, and how the programs of a team come to run at once in ``interpreted``.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vqvc.nn.wavenet import ResidualStack, WaveNet

HERE = Path(__file__).resolve().parent
PROCESSORS = 132
pytestmark = pytest.mark.timeout(600)
needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs the package triton")


def run(*names: str) -> str:
    done = subprocess.run(
        [sys.executable, HERE / "kernel_cases.py", *names], capture_output=True, text=True, timeout=570,
        env=os.environ | {"PYTHONPATH": f"{HERE.parent.parent}:{HERE.parent}:{HERE}", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@needs_triton
def test_one_program_computes_what_pytorch_computes():
    run("alone", "alone-categorical", "alone-bfloat16")


@needs_triton
def test_a_team_computes_what_pytorch_computes():
    run("team", "team-bfloat16", "team-pointwise")


@needs_triton
def test_a_team_that_is_not_complete_gives_up():
    assert "at once" in run("give-up")


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", [(64, 128, 128), (128, 256, 256), (256, 512, 256), (256, 512, 128)], ids=str)
@pytest.mark.parametrize("streams", [1, 64, 1000, 5000])
def test_programs_of_a_team_fit_on_the_gpu_together(sizes, streams, kind):
    from vqvc.engine.gpu.span import Plan
    from vqvc.engine.gpu.weights import Packed, Widths
    from vqvc.engine.spec import Decoder

    net = Decoder.of(WaveNet(ResidualStack(1, 1, 2, *sizes, 8), 256, 0, 256))
    widths = Widths.of(net)
    plan = Plan.of(widths, streams, PROCESSORS, kind)
    assert 1 <= plan.team <= min(PROCESSORS, widths.narrowest)
    assert min(widths.residual, widths.half, widths.skip) // plan.split >= 16
    assert plan.team == 1 or widths.half // plan.team * kind.itemsize <= 64
    assert Packed(net, kind, plan.team, torch.device("cpu")).layer_weights.shape[:2] == (1, plan.team)
