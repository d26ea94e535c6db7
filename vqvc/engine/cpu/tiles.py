"""Matrix products in AMX tiles, in bfloat16: c = start + sum of x W, 16 rows by 16 columns at a time.

A tile holds 16 rows of 64 bytes. TDPBF16PS multiplies a tile of inputs (16 rows, 32 numbers) by a tile of weights (16
pairs of the inner dimension, 16 columns) and adds the product to a tile of float32 sums (Intel, Architecture
Instruction Set Extensions Programming Reference, chapter 3). Tiles 0 to 3 hold sums, 4 and 5 inputs, 6 and 7 weights.
Two tiles of inputs times two of weights use every load twice.
"""

import ctypes
import platform

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from vqvc.engine.cpu.processor import FEATURES

SIDE = 16  # rows of a tile, and columns of a tile of sums
DEPTH = 32  # inner numbers of a tile
TILE = SIDE * DEPTH  # numbers in a tile of weights
_INT8, _INT64 = ir.IntType(8), ir.IntType(64)


def _permitted() -> bool:
    """Whether tiles can be used. Linux grants a process their state on request (arch_prctl(2), ARCH_REQ_XCOMP_PERM)."""
    if not (FEATURES.get("amx-tile") and FEATURES.get("amx-bf16") and platform.system() == "Linux"):
        return False
    arch_prctl, request, tile_data = 158, 0x1023, 18
    return ctypes.CDLL(None).syscall(arch_prctl, request, tile_data) == 0


HAS_TILES = _permitted()


def pack_tiles(weight: np.ndarray) -> np.ndarray:
    """Reorder a bfloat16 (uint16) weight (K, N) to (tiles, 512), in the order in which ``tile_product`` reads it.

    K and N are multiples of 32. Two columns of tiles lie side by side along the inner dimension.
    """
    inner, columns = weight.shape
    pairs = weight.reshape(inner // DEPTH, SIDE, 2, columns // (2 * SIDE), 2, SIDE)
    return pairs.transpose(3, 0, 4, 1, 5, 2).reshape(-1, TILE)


def tile_palette() -> np.ndarray:
    """The configuration (64,) uint8 for LDTILECFG: palette 1, eight tiles of 16 rows by 64 bytes."""
    palette = np.zeros(64, np.uint8)
    palette[0] = 1
    palette[16:32:2] = 64
    palette[48:56] = SIDE
    return palette


def _call(builder, name: str, *values) -> None:
    signature = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(cgutils.get_or_insert_function(builder.module, signature, name), values)


def _address(context, builder, kind, array, at):
    """Pointer to element ``at`` of an array."""
    base = builder.ptrtoint(context.make_array(kind)(context, builder, array).data, _INT64)
    offset = builder.mul(at, ir.Constant(_INT64, kind.dtype.bitwidth // 8))
    return builder.inttoptr(builder.add(base, offset), _INT8.as_pointer())


@intrinsic
def _configure(context, palette):
    def generate(cg, builder, signature, values):
        _call(
            builder, "llvm.x86.ldtilecfg", _address(cg, builder, signature.args[0], values[0], ir.Constant(_INT64, 0))
        )
        return cg.get_dummy_value()

    return types.void(palette), generate


@intrinsic
def release_tiles(context):
    """Release the tiles; context switches are faster for a thread without tiles."""

    def generate(cg, builder, signature, values):
        _call(builder, "llvm.x86.tilerelease")
        return cg.get_dummy_value()

    return types.void(), generate


def _mover(name: str):
    """A function (tile number, array, first element, elements between rows) that loads or stores a tile."""

    @intrinsic(prefer_literal=True)
    def move(context, tile, array, at, stride):
        number = ir.Constant(_INT8, tile.literal_value)

        def generate(cg, builder, signature, values):
            kind = signature.args[1]
            step = builder.mul(values[3], ir.Constant(_INT64, kind.dtype.bitwidth // 8))
            _call(builder, name, number, _address(cg, builder, kind, values[1], values[2]), step)
            return cg.get_dummy_value()

        return types.void(tile, array, types.intp, types.intp), generate

    return move


_load, _store = _mover("llvm.x86.tileloadd64"), _mover("llvm.x86.tilestored64")


@intrinsic(prefer_literal=True)
def _multiply_add(context, total, left, right):
    numbers = [ir.Constant(_INT8, tile.literal_value) for tile in (total, left, right)]

    def generate(cg, builder, signature, values):
        _call(builder, "llvm.x86.tdpbf16ps", *numbers)
        return cg.get_dummy_value()

    return types.void(total, left, right), generate


@njit(nogil=True)
def configure_tiles(palette, rows):
    """Configure the tiles of this thread for products of ``rows`` rows, until ``release_tiles``.

    Products of tiles with fewer rows are faster.
    """
    for tile in range(6):
        palette[48 + tile] = min(rows, SIDE)
    _configure(palette)


@njit(nogil=True, inline="always")
def _step(x, x_at, x_stride, w, w_at):
    """Add a tile of inputs times two tiles of weights, which are loaded into 6 and 7, to the sums in 0 and 1."""
    _load(4, x, x_at, x_stride)
    _load(6, w, w_at, DEPTH)
    _multiply_add(0, 4, 6)
    _load(7, w, w_at + TILE, DEPTH)
    _multiply_add(1, 4, 7)


@njit(nogil=True)
def tile_product(rows, x, places, x_stride, w, w_at, inner, columns, start, start_at, start_stride, c, c_at, c_stride):
    """``blocks.product`` for weights from ``pack_tiles``; with more than 16 rows it reads and writes whole tiles."""
    flat, depth = w.reshape(-1), inner // DEPTH
    tiles = -(-rows // SIDE)
    for column in range(0, columns, 2 * SIDE):
        w_here = w_at + column * inner * len(places)
        for tile in range(0, tiles, 2):
            at, s, o = w_here, start_at + tile * SIDE * start_stride + column, c_at + tile * SIDE * c_stride + column
            if tile + 1 < tiles:
                s_low, o_low = s + SIDE * start_stride, o + SIDE * c_stride
                _load(0, start, s, start_stride)
                _load(1, start, s + SIDE, start_stride)
                _load(2, start, s_low, start_stride)
                _load(3, start, s_low + SIDE, start_stride)
                for part in range(len(places)):
                    high = places[part] + tile * SIDE * x_stride
                    low = high + SIDE * x_stride
                    for k in range(depth):
                        _step(x, high + k * DEPTH, x_stride, flat, at)
                        _load(5, x, low + k * DEPTH, x_stride)
                        _multiply_add(2, 5, 6)
                        _multiply_add(3, 5, 7)
                        at += 2 * TILE
                _store(0, c, o, c_stride)
                _store(1, c, o + SIDE, c_stride)
                _store(2, c, o_low, c_stride)
                _store(3, c, o_low + SIDE, c_stride)
            else:
                _load(0, start, s, start_stride)
                _load(1, start, s + SIDE, start_stride)
                for part in range(len(places)):
                    high = places[part] + tile * SIDE * x_stride
                    for k in range(depth):
                        _step(x, high + k * DEPTH, x_stride, flat, at)
                        at += 2 * TILE
                _store(0, c, o, c_stride)
                _store(1, c, o + SIDE, c_stride)
