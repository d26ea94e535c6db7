"""The GPU's gate, in Triton's interpreter where there is no GPU: it equals PyTorch's, in every layout of the WaveNet's."""

import pytest
import torch

from vqvc.nn import gate as gate_module

pytest.importorskip("triton", reason="Triton, which comes with PyTorch for a GPU, is not installed")
from vqvc.nn import gate_kernels  # noqa: E402

TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 2**-7}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(
    "shape", [(3, 2, 20, 5), (2, 3, 64, 64), (1, 1, 3, 1), (2, 1, 70, 16), (1, 2, 4, 2100)], ids=str
)
def test_equals_pytorch(monkeypatch, dtype, shape):
    frames, batch, half, hop = shape
    rows = frames * batch * hop
    torch.manual_seed(half)
    a, terms, gz = (
        torch.randn(*size, device=DEVICE).mul(4).to(dtype)
        for size in ((rows, 2 * half), (frames, batch, 2 * half), (rows, half))
    )
    z = torch.full((rows, 3 * half), 7, dtype=dtype, device=DEVICE)  # half of it is a slice of all layers' outputs
    ga, g_terms = torch.full_like(a, 9), torch.full_like(terms, 9)
    expected = [tensor.float() for tensor in (a, z, ga, g_terms)]
    gate_kernels.forward(a, terms, z[:, half : 2 * half])
    gate_kernels.backward(gz, a, ga, g_terms)
    monkeypatch.setattr(gate_module, "COMPILED", ())
    gate_module.gate(expected[0], terms.float(), expected[1][:, half : 2 * half])
    gate_module.gate_gradient(gz.float(), a.float(), expected[2], expected[3])  # of the same rounded activations
    for ours, theirs in zip((a, z, ga, g_terms), expected):
        assert (ours.float() - theirs).abs().max() <= TOLERANCE[dtype] * theirs.abs().max()
