"""bfloat16 is used where the device multiplies it, and nowhere else."""

import pytest
import torch

from vqvc.nn.precision import has_bfloat16, working_dtype

AVX2 = {"architecture": "x86_64", "avx2": True, "avx512_bf16": False, "amx_bf16": False}


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16"])
def test_a_processor_that_multiplies_bfloat16_works_in_it(monkeypatch, name):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: AVX2 | {name: True})
    assert working_dtype("bfloat16", "cpu") == torch.bfloat16
    assert working_dtype("float32", "cpu") == torch.float32


def test_a_processor_that_would_emulate_it_works_in_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: AVX2)
    assert not has_bfloat16("cpu")
    assert working_dtype("bfloat16", "cpu") == torch.float32


def test_a_gpu_is_asked_itself(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert working_dtype("bfloat16", "cuda") == torch.float32
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert working_dtype("bfloat16", "cuda") == torch.bfloat16
