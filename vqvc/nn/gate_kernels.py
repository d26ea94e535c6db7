"""Triton kernels of ``gate`` for a GPU. One program handles one frame of one sequence, in float32 registers.

A program loops over tiles of ROWS by COLUMNS of the frame's ``hop`` rows. The frame's term is therefore read once, and
its gradient is summed without atomics.
"""

import triton
import triton.language as tl
from torch import Tensor

TILE = 4096  # elements of one half of the columns in a tile


def forward(a: Tensor, terms: Tensor, z: Tensor) -> None:
    """See ``gate.gate``. a and terms must be contiguous; z may be a slice of the columns of a wider tensor."""
    grid, shape, tile = _layout(a, terms)
    _forward[grid](a, terms, z, z.stride(0), *shape, **tile)


def backward(gz: Tensor, a: Tensor, ga: Tensor, g_terms: Tensor) -> None:
    """See ``gate.gate_gradient``. All tensors must be contiguous."""
    grid, shape, tile = _layout(a, g_terms)
    _backward[grid](gz, a, ga, g_terms, *shape, **tile)


def _layout(a: Tensor, terms: Tensor) -> tuple[tuple[int, int], tuple[int, int], dict[str, int]]:
    frames, batch, gates = terms.shape
    half, hop = gates // 2, len(a) // (frames * batch)
    columns = min(64, triton.next_power_of_2(half))
    rows = min(triton.next_power_of_2(hop), TILE // columns)
    return (frames * batch, triton.cdiv(half, columns)), (batch, half), {"HOP": hop, "ROWS": rows, "COLUMNS": columns}


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _places(start, batch, half, HOP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Rows and columns of the tile that begins at row ``start`` of this program's frame, and the mask of valid ones."""
    program = tl.program_id(0).to(tl.int64)
    within = start + tl.arange(0, ROWS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    row = (program // batch * HOP + within[:, None]) * batch + program % batch
    return row, column, (within[:, None] < HOP) & (column < half)


@triton.jit
def _forward(a_at, terms_at, z_at, z_stride, batch, half, HOP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    term_at = terms_at + tl.program_id(0).to(tl.int64) * 2 * half
    for start in range(0, HOP, ROWS):
        row, column, there = _places(start, batch, half, HOP, ROWS, COLUMNS)
        at = a_at + row * 2 * half + column
        known = column < half
        t = tl.load(at, there, 0).to(tl.float32) + tl.load(term_at + column, known, 0).to(tl.float32)
        s = tl.load(at + half, there, 0).to(tl.float32) + tl.load(term_at + half + column, known, 0).to(tl.float32)
        t, s = _tanh(t), tl.sigmoid(s)
        tl.store(at, t.to(a_at.dtype.element_ty), there)
        tl.store(at + half, s.to(a_at.dtype.element_ty), there)
        tl.store(z_at + row * z_stride + column, (t * s).to(a_at.dtype.element_ty), there)


@triton.jit
def _backward(
    gz_at, a_at, ga_at, g_terms_at, batch, half, HOP: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    kind = a_at.dtype.element_ty
    sum_t, sum_s = tl.zeros((COLUMNS,), tl.float32), tl.zeros((COLUMNS,), tl.float32)
    for start in range(0, HOP, ROWS):
        row, column, there = _places(start, batch, half, HOP, ROWS, COLUMNS)
        at = row * 2 * half + column
        gz = tl.load(gz_at + row * half + column, there, 0).to(tl.float32)
        t = tl.load(a_at + at, there, 0).to(tl.float32)
        s = tl.load(a_at + at + half, there, 0).to(tl.float32)
        g_t, g_s = gz * s * (1 - t * t), gz * t * s * (1 - s)
        tl.store(ga_at + at, g_t.to(kind), there)
        tl.store(ga_at + at + half, g_s.to(kind), there)
        sum_t += tl.sum(g_t, axis=0)
        sum_s += tl.sum(g_s, axis=0)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    term_at = g_terms_at + tl.program_id(0).to(tl.int64) * 2 * half + column
    tl.store(term_at, sum_t.to(kind), column < half)
    tl.store(term_at + half, sum_s.to(kind), column < half)
