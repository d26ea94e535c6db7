"""Small dense matrix products for compiled (Numba) code: c = start + sum of x W.

``product`` uses AMX tiles (``tiles``) for weights that are packed for them, else the vector registers of this module.

A block keeps ``rows`` x ``VECTORS`` accumulators of ``LANES`` floats in registers along the inner dimension. Loops in
Python do not guarantee that, so the block is generated as LLVM vector code (``benchmarks/synthesis.py`` compares it
with PyTorch's products).

bfloat16 numbers are stored as uint16. Two neighbours of the inner dimension lie side by side, as VDPBF16PS requires.
"""

from collections.abc import Sequence

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from vqvc.engine.cpu.processor import FEATURES
from vqvc.engine.cpu.tiles import configure_tiles, pack_tiles, release_tiles, tile_product
from vqvc.engine.cpu.vectors import FLOAT, INT16, INT64, LANES, VECTOR, BFloat, spread

HAS_BFLOAT16 = bool(FEATURES.get("avx512bf16"))  # the dot product instruction, not only the format
VECTORS = 2 if LANES == 8 else 4  # times ROWS accumulators: 8 of AVX2's 16 registers, else 16
ROWS = 4  # of the largest block
PANEL = LANES * VECTORS  # columns of a block
WIDTH = 32  # inner dimensions are padded to a multiple of this
COLUMNS = max(PANEL, WIDTH)  # columns are padded to a multiple of this

_INT32 = ir.IntType(32)


def padded(width: int, multiple: int = WIDTH) -> int:
    """``width`` rounded up to a multiple of ``multiple``."""
    return -(-width // multiple) * multiple


def pack(parts: Sequence[np.ndarray], inner: int, unit: str) -> np.ndarray:
    """Pack weights (K, N), one for each part of ``product``, in its layout: (tiles, 512) for AMX, else flat.

    unit: one of ``units.UNITS``. K is padded with zeros to ``inner``, N to a multiple of COLUMNS. A flat array holds
    one panel of PANEL columns after another, each row by row.
    """
    rows, columns = parts[0].shape
    panels = padded(columns, COLUMNS) // PANEL
    full = np.zeros((len(parts), inner, panels * PANEL), np.float32)
    for whole, part in zip(full, parts):
        whole[:rows, :columns] = part
    if unit == "amx":
        return aligned(pack_tiles(to_bfloat16(full).reshape(-1, panels * PANEL)))
    if unit == "avx512":
        return aligned(
            to_bfloat16(full).reshape(len(parts), inner // 2, 2, panels, PANEL).transpose(0, 3, 1, 4, 2).reshape(-1)
        )
    return aligned(full.reshape(len(parts), inner, panels, PANEL).transpose(0, 2, 1, 3).reshape(-1))


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Round float32 values to the nearest bfloat16 numbers, stored as uint16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def aligned(values: np.ndarray) -> np.ndarray:
    """A copy of an array that begins on a cache line."""
    result = empty(values.size, values.dtype).reshape(values.shape)
    result[:] = values
    return result


def empty(size: int, dtype: type) -> np.ndarray:
    """An uninitialised flat array that begins on a cache line."""
    item = np.dtype(dtype).itemsize
    raw = np.empty(size + 64 // item, dtype)
    start = (-raw.ctypes.data % 64) // item
    return raw[start : start + size]


def _make_block(rows: int):
    """A compiled function c[rows, PANEL] += x[rows, inner] @ w[inner, PANEL] for flat arrays.

    Offsets and strides are in elements.
    """

    @intrinsic
    def block(context, x, x_at, x_stride, w, w_at, inner, c, c_at, c_stride):
        bfloat16 = w.dtype == types.uint16
        signature = types.void(x, types.intp, types.intp, w, types.intp, types.intp, c, types.intp, types.intp)

        def generate(cg, builder, signature, values):
            x, x_at, x_stride, w, w_at, inner, c, c_at, c_stride = values
            x, w, c = (
                builder.ptrtoint(cg.make_array(kind)(cg, builder, value).data, INT64)
                for kind, value in zip((signature.args[0], signature.args[3], signature.args[6]), (x, w, c))
            )
            _generate(builder, rows, bfloat16, (x, x_at, x_stride), (w, w_at, inner), (c, c_at, c_stride))
            return cg.get_dummy_value()

        return signature, generate

    return block


def _generate(builder, rows: int, bfloat16: bool, x_place, w_place, c_place) -> None:
    """Generate the LLVM code of a block. A step of its loop reads one row of w (two rows in pairs for bfloat16)."""
    (x, x_at, x_stride), (w, w_at, inner), (c, c_at, c_stride) = x_place, w_place, c_place
    size = 2 if bfloat16 else 4
    vector = VECTOR
    factor = ir.VectorType(BFloat(), 2 * LANES) if bfloat16 else vector
    scalar = _INT32 if bfloat16 else FLOAT  # four bytes of x, given to all lanes
    name = "llvm.x86.avx512bf16.dpbf16ps.512" if bfloat16 else f"llvm.fma.v{LANES}f32"
    order = (vector, factor, factor)
    multiply_add = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, order), name)

    def number(value: int):
        return ir.Constant(INT64, value)

    def offset(base, elements, bytes_each: int):
        return builder.add(base, builder.mul(elements, number(bytes_each)))

    def load(address, kind):
        value = builder.load(builder.inttoptr(address, kind.as_pointer()))
        value.align = 4
        return value

    c_rows = [offset(c, builder.add(c_at, builder.mul(c_stride, number(row))), 4) for row in range(rows)]
    x_rows = [offset(x, builder.add(x_at, builder.mul(x_stride, number(row))), size) for row in range(rows)]
    places = [builder.add(row, number(4 * LANES * v)) for row in c_rows for v in range(VECTORS)]
    first_w = offset(w, w_at, size)
    steps = builder.udiv(inner, number(2)) if bfloat16 else inner
    started = [load(place, vector) for place in places]

    before = builder.block
    loop, done = builder.append_basic_block("inner"), builder.append_basic_block("made")
    builder.branch(loop)
    builder.position_at_end(loop)
    step, w_now = builder.phi(INT64), builder.phi(INT64)
    step.add_incoming(number(0), before)
    w_now.add_incoming(first_w, before)
    sums = [builder.phi(vector) for _ in places]
    for total, start in zip(sums, started):
        total.add_incoming(start, before)
    weights = [load(builder.add(w_now, number(4 * LANES * v)), factor) for v in range(VECTORS)]
    fresh = []
    for row in range(rows):
        value = builder.bitcast(spread(builder, load(offset(x_rows[row], step, 4), scalar)), factor)
        for v in range(VECTORS):
            total = sums[row * VECTORS + v]
            given = (total, weights[v], value) if bfloat16 else (value, weights[v], total)
            fresh.append(builder.call(multiply_add, given))
    step_next = builder.add(step, number(1))
    step.add_incoming(step_next, loop)
    w_now.add_incoming(builder.add(w_now, number(4 * PANEL)), loop)
    for total, new in zip(sums, fresh):
        total.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", step_next, steps), loop, done)
    builder.position_at_end(done)
    for place, new in zip(places, fresh):
        builder.store(new, builder.inttoptr(place, vector.as_pointer())).align = 4


_block1, _block2, _block3, _block4 = (_make_block(rows) for rows in (1, 2, 3, 4))


@njit(nogil=True)
def _vector_product(
    rows, x, places, x_stride, w, w_at, inner, columns, start, start_at, start_stride, c, c_at, c_stride
):
    """``product`` for flat weights."""
    for row in range(rows):
        here, there = np.uint64(c_at + row * c_stride), np.uint64(start_at + row * start_stride)
        for i in range(columns):
            c[here + np.uint64(i)] = start[there + np.uint64(i)]
    for part in range(len(places)):
        for panel in range(columns // PANEL):
            w_here, c_here = w_at + (part * columns + panel * PANEL) * inner, c_at + panel * PANEL
            row, x_here = 0, places[part]
            while row + ROWS <= rows:
                _block4(x, x_here, x_stride, w, w_here, inner, c, c_here, c_stride)
                row += ROWS
                x_here += ROWS * x_stride
                c_here += ROWS * c_stride
            left = rows - row
            if left == 3:
                _block3(x, x_here, x_stride, w, w_here, inner, c, c_here, c_stride)
            elif left == 2:
                _block2(x, x_here, x_stride, w, w_here, inner, c, c_here, c_stride)
            elif left == 1:
                _block1(x, x_here, x_stride, w, w_here, inner, c, c_here, c_stride)


def product(rows, x, places, x_stride, w, w_at, inner, columns, start, start_at, start_stride, c, c_at, c_stride):
    """c[rows, columns] = start[rows, columns] + the sum over parts p of x[places[p] :][rows, inner] @ w[p].

    The arrays are flat, except for w, which is from ``pack``. Offsets and strides are in elements. ``columns`` is a
    multiple of COLUMNS. ``start`` may be c itself, or a single row with a stride of 0. The result of a row does not
    depend on how many rows there are, since every row is summed in the same order.
    """
    raise NotImplementedError("for compiled code")


@overload(product)
def _product(rows, x, places, x_stride, w, w_at, inner, columns, start, start_at, start_stride, c, c_at, c_stride):
    make = tile_product if w.ndim == 2 else _vector_product

    def compiled(rows, x, places, x_stride, w, w_at, inner, columns, start, start_at, start_stride, c, c_at, c_stride):
        make(rows, x, places, x_stride, w, w_at, inner, columns, start, start_at, start_stride, c, c_at, c_stride)

    return compiled


def begin_products(w, palette, rows):
    """Prepare this thread for products of ``rows`` rows by weights like ``w``; call ``end_products`` after them."""
    raise NotImplementedError("for compiled code")


@overload(begin_products)
def _begin_products(w, palette, rows):
    if w.ndim == 2:
        return lambda w, palette, rows: configure_tiles(palette, rows)
    return lambda w, palette, rows: None


def end_products(w):
    """See ``begin_products``."""
    raise NotImplementedError("for compiled code")


@overload(end_products)
def _end_products(w):
    if w.ndim == 2:
        return lambda w: release_tiles()
    return lambda w: None


@intrinsic
def _nearest_bfloat(context, value):
    """Round a float32 to the nearest bfloat16, as 16 bits."""

    def generate(cg, builder, signature, values):
        return builder.bitcast(builder.fptrunc(values[0], BFloat()), INT16)

    return types.uint16(types.float32), generate


def put(target, index, value):
    """Store a float32 in a float32 array, or rounded to bfloat16 in a uint16 array."""
    raise NotImplementedError("for compiled code")


@overload(put, inline="always")
def _put(target, index, value):
    if target.dtype == types.uint16:

        def rounded(target, index, value):
            target[index] = _nearest_bfloat(np.float32(value))

        return rounded

    def plain(target, index, value):
        target[index] = value

    return plain
