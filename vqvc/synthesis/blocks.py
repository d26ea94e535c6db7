"""Small dense products that stay in vector registers: c += x W for a few rows, from compiled (Numba) code.

A block keeps ``rows`` x ``VECTORS`` accumulators of ``LANES`` floats in registers while it walks down the inner
dimension; loops written in Python cannot promise that, so the block is given to LLVM as vector code. On one core of
an AMD Zen 5 it runs at 250 GFLOP/s in float32 and 500 in bfloat16 for 8 rows and more, where MKL reaches 95 and
oneDNN 470 on large matrices only (``benchmarks/synthesis.py`` measures them together).

bfloat16 numbers are held as uint16, two neighbours of the inner dimension side by side, as VDPBF16PS wants them.
"""

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

_FEATURES = llvmlite.binding.get_host_cpu_features()
HAS_BFLOAT16 = bool(_FEATURES.get("avx512bf16"))  # the dot product instruction, not only the format
if _FEATURES.get("avx512f"):
    LANES, VECTORS = 16, 4  # 32 registers of 16 floats: 16 accumulators, 4 weights, 1 input
elif _FEATURES.get("avx2"):
    LANES, VECTORS = 8, 2  # 16 registers of 8 floats
else:
    LANES, VECTORS = 4, 4  # 32 registers of 4 floats (NEON)
ROWS = 4
PANEL = LANES * VECTORS  # columns that a block makes
WIDTH = 16  # every buffer's width is a multiple of this

_FLOAT, _INT32, _INT64 = ir.FloatType(), ir.IntType(32), ir.IntType(64)


class _BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not name."""

    null = "0.0"

    def __str__(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat)

    def __hash__(self) -> int:
        return hash(_BFloat)


def padded(width: int, multiple: int = WIDTH) -> int:
    """``width`` rounded up."""
    return -(-width // multiple) * multiple


def pack(weight: np.ndarray, inner: int, bfloat16: bool) -> np.ndarray:
    """A weight (K, N) as the flat array that ``product`` reads: panels of PANEL columns, each walked down by rows.

    The inner dimension is padded with zeros to ``inner``, N to a multiple of PANEL.
    """
    rows, columns = weight.shape
    panels = padded(columns, PANEL) // PANEL
    full = np.zeros((inner, panels * PANEL), np.float32)
    full[:rows, :columns] = weight
    if not bfloat16:
        return aligned(full.reshape(inner, panels, PANEL).transpose(1, 0, 2))
    pairs = to_bfloat16(full).reshape(inner // 2, 2, panels, PANEL)
    return aligned(pairs.transpose(2, 0, 3, 1))


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Nearest bfloat16 of float32 values, as uint16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)).astype(np.uint16)


def aligned(values: np.ndarray) -> np.ndarray:
    """A flat copy that begins on a cache line."""
    result = empty(values.size, values.dtype)
    result[:] = values.reshape(-1)
    return result


def empty(size: int, dtype: type) -> np.ndarray:
    """Uninitialised flat array that begins on a cache line."""
    item = np.dtype(dtype).itemsize
    raw = np.empty(size + 64 // item, dtype)
    start = (-raw.ctypes.data % 64) // item
    return raw[start : start + size]


def _make_block(rows: int):
    """c[rows, PANEL] += x[rows, inner] @ w[inner, PANEL]; the arrays are flat, the offsets and strides in elements."""

    @intrinsic
    def block(context, x, x_at, x_stride, w, w_at, inner, c, c_at, c_stride):
        bfloat16 = w.dtype == types.uint16
        signature = types.void(x, types.intp, types.intp, w, types.intp, types.intp, c, types.intp, types.intp)

        def generate(cg, builder, signature, values):
            x, x_at, x_stride, w, w_at, inner, c, c_at, c_stride = values
            x, w, c = (
                builder.ptrtoint(cg.make_array(kind)(cg, builder, value).data, _INT64)
                for kind, value in zip((signature.args[0], signature.args[3], signature.args[6]), (x, w, c))
            )
            _generate(builder, rows, bfloat16, (x, x_at, x_stride), (w, w_at, inner), (c, c_at, c_stride))
            return cg.get_dummy_value()

        return signature, generate

    return block


def _generate(builder, rows: int, bfloat16: bool, x_place, w_place, c_place) -> None:
    """LLVM code of a block. A step of the loop takes one row of w (two for bfloat16: a pair per 32 bits)."""
    (x, x_at, x_stride), (w, w_at, inner), (c, c_at, c_stride) = x_place, w_place, c_place
    size = 2 if bfloat16 else 4
    vector = ir.VectorType(_FLOAT, LANES)
    factor = ir.VectorType(_BFloat(), 2 * LANES) if bfloat16 else vector
    scalar = _INT32 if bfloat16 else _FLOAT  # four bytes of x, given to all lanes
    name = "llvm.x86.avx512bf16.dpbf16ps.512" if bfloat16 else f"llvm.fma.v{LANES}f32"
    order = (vector, factor, factor)
    multiply_add = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, order), name)

    def number(value: int):
        return ir.Constant(_INT64, value)

    def offset(base, elements, bytes_each: int):
        return builder.add(base, builder.mul(elements, number(bytes_each)))

    def load(address, kind):
        value = builder.load(builder.inttoptr(address, kind.as_pointer()))
        value.align = 4
        return value

    def spread(value):
        holder = ir.Constant(ir.VectorType(scalar, LANES), ir.Undefined)
        one = builder.insert_element(holder, value, ir.Constant(_INT32, 0))
        mask = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
        return builder.bitcast(builder.shuffle_vector(one, holder, mask), factor)

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
    step, w_now = builder.phi(_INT64), builder.phi(_INT64)
    step.add_incoming(number(0), before)
    w_now.add_incoming(first_w, before)
    sums = [builder.phi(vector) for _ in places]
    for total, start in zip(sums, started):
        total.add_incoming(start, before)
    weights = [load(builder.add(w_now, number(4 * LANES * v)), factor) for v in range(VECTORS)]
    fresh = []
    for row in range(rows):
        value = spread(load(offset(x_rows[row], step, 4), scalar))
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
def product(rows, x, x_at, x_stride, w, w_at, inner, columns, c, c_at, c_stride):
    """c[rows, columns] += x[rows, inner] @ w, with w as ``pack`` made it; ``columns`` is a multiple of PANEL.

    A row's result does not depend on the other rows: each is summed in the same order, however many there are.
    """
    for panel in range(columns // PANEL):
        w_here, c_here = w_at + panel * inner * PANEL, c_at + panel * PANEL
        row = 0
        while row + ROWS <= rows:
            _block4(x, x_at + row * x_stride, x_stride, w, w_here, inner, c, c_here + row * c_stride, c_stride)
            row += ROWS
        x_here, c_here, left = x_at + row * x_stride, c_here + row * c_stride, rows - row
        if left == 3:
            _block3(x, x_here, x_stride, w, w_here, inner, c, c_here, c_stride)
        elif left == 2:
            _block2(x, x_here, x_stride, w, w_here, inner, c, c_here, c_stride)
        elif left == 1:
            _block1(x, x_here, x_stride, w, w_here, inner, c, c_here, c_stride)


@intrinsic
def float_bits(context, value):
    """The 32 bits of a float32 as uint32."""

    def generate(cg, builder, signature, values):
        return builder.bitcast(values[0], _INT32)

    return types.uint32(types.float32), generate


@intrinsic
def bits_float(context, value):
    """The float32 that 32 bits (int32) stand for."""

    def generate(cg, builder, signature, values):
        return builder.bitcast(values[0], _FLOAT)

    return types.float32(types.int32), generate


def put(target, index, value):
    """Store a float32 in a float32 array, or rounded to bfloat16 in a uint16 one."""
    raise NotImplementedError("for compiled code")


@overload(put, inline="always")
def _put(target, index, value):
    if target.dtype == types.uint16:

        def rounded(target, index, value):
            bits = float_bits(np.float32(value))
            target[index] = np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

        return rounded

    def plain(target, index, value):
        target[index] = value

    return plain
