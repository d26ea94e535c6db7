"""The WaveNet's gate, z = tanh(a1) * sigmoid(a2), and its gradient: one pass over memory each on a CPU.

Rows are (time, sequence) in that order, time = frames * hop; a row's first half of columns goes through tanh, the second
through the sigmoid. What a frame adds to all of its rows (``terms``) is added here on the way in and summed on the way
back. bfloat16 and float32 tensors are handled by compiled code that works in float32: on a CPU by Numba's loops, which
release the interpreter, on a GPU by Triton's kernels. All others, and all where these are missing, by PyTorch.
"""

from functools import cache

import torch
from torch import Tensor

COMPILED = (torch.bfloat16, torch.float32)


def gate(a: Tensor, terms: Tensor, z: Tensor) -> None:
    """a (rows, 2H) becomes (tanh, sigmoid) of a + terms (frames, B, 2H), z (rows, H) their product; both in place."""
    if a.is_cuda and (kernels := _gpu_kernels()):
        kernels.forward(a, terms, z)
        return
    if loops := _loops(a):
        rows, half = z.shape
        spread = z.as_strided(((rows - 1) * z.stride(0) + half,), (1,))
        loops.forward(_flat(a), _flat(terms), _flat(spread), z.stride(0), *terms.shape)
        return
    frames, batch, gates = terms.shape
    half = gates // 2
    a.view(frames, -1, batch, gates).add_(terms[:, None])
    a[:, :half].tanh_()
    a[:, half:].sigmoid_()
    torch.mul(a[:, :half], a[:, half:], out=z)


def gate_gradient(gz: Tensor, a: Tensor, ga: Tensor, g_terms: Tensor) -> None:
    """ga (rows, 2H), the gradient of what came in, from gz (rows, H) and what ``gate`` left in a; g_terms its frame sums."""
    if a.is_cuda and (kernels := _gpu_kernels()):
        kernels.backward(gz, a, ga, g_terms)
        return
    if loops := _loops(a):
        loops.backward(_flat(gz), _flat(a), _flat(ga), _flat(g_terms), *g_terms.shape)
        return
    frames, batch, gates = g_terms.shape
    half = gates // 2
    t, s = a[:, :half], a[:, half:]
    torch.ops.aten.tanh_backward.grad_input(gz * s, t, grad_input=ga[:, :half])
    torch.ops.aten.sigmoid_backward.grad_input(gz * t, s, grad_input=ga[:, half:])
    torch.sum(ga.view(frames, -1, batch, gates), dim=1, out=g_terms)


def _loops(a: Tensor):
    return _compiled_loops() if a.device.type == "cpu" and a.dtype in COMPILED else None


@cache
def _compiled_loops():
    try:
        from vqvc.nn import gate_loops  # late: a machine that trains on a GPU need not have Numba
    except ImportError:
        return None
    return gate_loops


@cache
def _gpu_kernels():
    try:
        from vqvc.nn import gate_kernels  # late: Triton comes with PyTorch for a GPU alone
    except ImportError:
        return None
    return gate_kernels


def _flat(tensor: Tensor):
    """A CPU tensor's memory as a flat array; bfloat16 as uint16."""
    tensor = tensor.view(-1)
    return (tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy()
