"""Products in AMX tiles, on any processor: the compiled code's Python, with the instructions written out in NumPy."""

import numpy as np
import pytest

from vqvc.engine.cpu import tiles
from vqvc.engine.cpu.blocks import pack, to_bfloat16
from vqvc.engine.cpu.tiles import DEPTH, SIDE

INNER, COLUMNS, PARTS = 64, 96, 2


class Registers:
    """Eight tiles of up to 16 rows by 64 bytes, as the palette of LDTILECFG has them."""

    def __init__(self):
        self.palette, self.tiles = tiles.tile_palette(), {}

    def configure(self, palette):
        self.palette = palette.copy()

    def places(self, tile, array, at, stride):
        """Elements (rows, 64 bytes) of a flat array that a load or a store of a tile touches."""
        assert self.palette[16 + 2 * tile] == 64
        return at + np.arange(self.palette[48 + tile])[:, None] * stride + np.arange(64 // array.itemsize)

    def load(self, tile, array, at, stride):
        self.tiles[tile] = array[self.places(tile, array, at, stride)]

    def store(self, tile, array, at, stride):
        array[self.places(tile, array, at, stride)] = self.tiles[tile]

    def multiply_add(self, total, left, right):
        """TDPBF16PS: pairs of the inner dimension lie side by side in both."""
        a, b = (wide(self.tiles[tile]) for tile in (left, right))
        pairs = b.reshape(SIDE, SIDE, 2).transpose(0, 2, 1).reshape(DEPTH, SIDE)
        self.tiles[total] = self.tiles[total] + a @ pairs


def wide(values: np.ndarray) -> np.ndarray:
    """bfloat16 (uint16) as float32."""
    return (values.astype(np.uint32) << 16).view(np.float32)


@pytest.fixture
def registers(monkeypatch) -> Registers:
    found = Registers()
    for name, instruction in {
        "_configure": found.configure, "_load": found.load, "_store": found.store, "_multiply_add": found.multiply_add,
        "_step": tiles._step.py_func,
    }.items():  # fmt: skip
        monkeypatch.setattr(tiles, name, instruction)
    return found


@pytest.mark.parametrize("shared_start", [True, False])
@pytest.mark.parametrize("rows", [1, 5, 16, 17, 32, 41])
def test_a_product_in_tiles_is_the_product(registers, rows, shared_start):
    rng = np.random.default_rng(rows)
    whole = rows if rows <= SIDE else -(-rows // SIDE) * SIDE  # buffers hold whole tiles, but for a few rows
    x = to_bfloat16(rng.standard_normal((PARTS, whole, INNER)))
    weights = rng.standard_normal((PARTS, INNER, COLUMNS)).astype(np.float32)
    start = rng.standard_normal((1 if shared_start else whole, COLUMNS)).astype(np.float32)
    found = np.full((whole, COLUMNS), np.nan, np.float32)
    packed = pack(weights, INNER, "amx")
    tiles.configure_tiles.py_func(registers.palette, rows)
    tiles.tile_product.py_func(
        rows, x.reshape(-1), np.arange(PARTS) * whole * INNER, INNER, packed, 0, INNER, COLUMNS,
        start.reshape(-1), 0, 0 if shared_start else COLUMNS, found.reshape(-1), 0, COLUMNS,
    )  # fmt: skip
    expected = start + (wide(x) @ wide(to_bfloat16(weights))).sum(0)
    assert np.allclose(found[:rows], expected[:rows], atol=1e-4)
