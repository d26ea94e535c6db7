"""The WaveNet's gate, z = tanh(a1) * sigmoid(a2), and its gradient: one pass over memory each on a CPU.

Rows are (time, sequence) in that order, time = frames * hop; a row's first half of columns goes through tanh, the second
through the sigmoid. What a frame adds to all of its rows (``terms``) is added here on the way in and summed on the way
back. bfloat16 and float32 tensors are handled by compiled code that works in float32: on a CPU by Numba's loops, which
release the interpreter, on a GPU by Triton's kernels. All others, and all where these are missing, by PyTorch.
"""

from functools import cache
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

COMPILED = (torch.bfloat16, torch.float32)
MODULES = {"cpu": "vqvc.nn.gate_loops", "cuda": "vqvc.nn.gate_kernels"}


def gate(a: Tensor, terms: Tensor, z: Tensor) -> None:
    """a (rows, 2H) becomes (tanh, sigmoid) of a + terms (frames, B, 2H), z (rows, H) their product; both in place."""
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
    """ga (rows, 2H), the gradient of what came in, from gz (rows, H) and what ``gate`` left in a; g_terms its frame sums."""
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
    """The module of compiled code for tensors like ``a``; None leaves them to PyTorch."""
    name = MODULES.get(a.device.type) if a.dtype in COMPILED else None
    return _imported(name) if name else None


@cache
def _imported(name: str) -> ModuleType | None:
    try:
        return import_module(name)  # late: Numba is for a CPU, Triton comes with PyTorch for a GPU alone
    except Exception:  # absent, or beside a NumPy that it does not know
        return None


def _flat(tensor: Tensor):
    """A CPU tensor's memory as a flat array; bfloat16 as uint16."""
    tensor = tensor.view(-1)
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
