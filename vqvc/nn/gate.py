"""The WaveNet's gated activation, z = tanh(a1) * sigmoid(a2) (van den Oord et al. 2016, equation 2), and its gradient.

A row is one sample of one sequence, in the order (time, sequence), with time = frames * hop. The first half of its
columns is a1, the second half is a2. ``terms`` is the contribution of a frame to all of its rows: it is added before
the gate, and its gradient is the sum over the frame's rows. Gate and gradient are one pass over memory each.

Compiled code handles bfloat16 and float32 tensors and computes in float32: Numba on a CPU, which releases the GIL, and
Triton on a GPU. PyTorch handles other dtypes, and all tensors if Numba or Triton is missing.
"""

from functools import cache
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

COMPILED = (torch.bfloat16, torch.float32)
MODULES = {"cpu": "vqvc.nn.gate_loops", "cuda": "vqvc.nn.gate_kernels"}


def gate(a: Tensor, terms: Tensor, z: Tensor) -> None:
    """Write tanh and sigmoid of a + terms into a (rows, 2H), and their product into z (rows, H).

    terms: (frames, B, 2H).
    """
    compiled = _compiled(a)
    if compiled and a.is_cuda:
        compiled.forward(a, terms, z)
        return
    if compiled:
        rows, half = z.shape
        spread = z.as_strided(((rows - 1) * z.stride(0) + half,), (1,))
        compiled.forward(_flat(a), _flat(terms), _flat(spread), z.stride(0), *terms.shape)
        return
    frames, batch, gates = terms.shape
    half = gates // 2
    a.view(frames, -1, batch, gates).add_(terms[:, None])
    a[:, :half].tanh_()
    a[:, half:].sigmoid_()
    torch.mul(a[:, :half], a[:, half:], out=z)


def gate_gradient(gz: Tensor, a: Tensor, ga: Tensor, g_terms: Tensor) -> None:
    """Write the gradient of ``gate``'s inputs into ga (rows, 2H) and g_terms (frames, B, 2H).

    gz: (rows, H), the gradient of z. a: (rows, 2H), the tanh and sigmoid that ``gate`` wrote.
    """
    compiled = _compiled(a)
    if compiled and a.is_cuda:
        compiled.backward(gz, a, ga, g_terms)
        return
    if compiled:
        compiled.backward(_flat(gz), _flat(a), _flat(ga), _flat(g_terms), *g_terms.shape)
        return
    frames, batch, gates = g_terms.shape
    half = gates // 2
    t, s = a[:, :half], a[:, half:]
    torch.ops.aten.tanh_backward.grad_input(gz * s, t, grad_input=ga[:, :half])
    torch.ops.aten.sigmoid_backward.grad_input(gz * t, s, grad_input=ga[:, half:])
    torch.sum(ga.view(frames, -1, batch, gates), dim=1, out=g_terms)


def _compiled(a: Tensor) -> ModuleType | None:
    """The module of compiled code for tensors of the device and dtype of ``a``; None if PyTorch handles them."""
    name = MODULES.get(a.device.type) if a.dtype in COMPILED else None
    return _imported(name) if name else None


@cache
def _imported(name: str) -> ModuleType | None:
    try:
        return import_module(name)  # imported on first use: Numba is only for CPUs, Triton only for GPUs
    except Exception:  # not installed, or not compatible with the installed NumPy
        return None


def _flat(tensor: Tensor):
    """A CPU tensor's memory as a flat array; bfloat16 as uint16."""
    tensor = tensor.view(-1)
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
