"""The processor's units for the matrix products of the sampling loop, and the choice between them.

"amx": bfloat16 in AMX tiles. "avx512": bfloat16 in AVX-512 registers (VDPBF16PS). "floats": float32 in vector registers
of any width, which every processor has.
"""

import os

from vqvc.engine.cpu.blocks import HAS_BFLOAT16
from vqvc.engine.cpu.tiles import HAS_TILES
from vqvc.errors import UsageError

UNITS = ("amx", "avx512", "floats")  # the fastest first
PRECISIONS = {"amx": "bfloat16", "avx512": "bfloat16", "floats": "float32"}  # of each unit
VARIABLE = "VQVC_UNIT"  # environment variable with the preferred unit
NEEDS = {
    "amx": "Linux on a processor with AMX and its bfloat16 products",
    "avx512": "a processor with AVX-512 and its bfloat16 products",
}


def available() -> tuple[str, ...]:
    """The ``UNITS`` that this processor has, the fastest first."""
    has = {"amx": HAS_TILES, "avx512": HAS_BFLOAT16, "floats": True}
    return tuple(unit for unit in UNITS if has[unit])


def choose(precision: str = "auto", unit: str | None = None, trained: str = "float32") -> str:
    """Choose the unit for a precision ("auto", "float32" or "bfloat16").

    unit: the caller's choice. When None, the unit in the environment variable VQVC_UNIT is used if it has the
        precision, else the fastest unit that has it.
    trained: the precision of training. "auto" means this precision if the processor has a unit for it, else float32.

    Raises UsageError for an unknown name, for a unit or precision that the processor lacks, and for a unit of another
    precision.
    """
    if precision not in ("auto", *PRECISIONS.values()):
        raise UsageError(f"precision {precision!r} is not one of auto, float32, bfloat16")
    if unit is not None:
        _check(unit, "unit")
        if precision not in ("auto", PRECISIONS[unit]):
            raise UsageError(f"unit {unit} works in {PRECISIONS[unit]}, not in {precision}; leave one of the two out")
        return unit
    preferred = os.environ.get(VARIABLE)
    if preferred:
        _check(preferred, VARIABLE)
        if precision in ("auto", PRECISIONS[preferred]):
            return preferred
    target = trained if precision == "auto" else precision
    candidates = [name for name in available() if PRECISIONS[name] == target]
    if not candidates and precision == "bfloat16":
        raise UsageError("this processor has no bfloat16 products; use precision float32")
    return candidates[0] if candidates else "floats"


def _check(unit: str, source: str) -> None:
    if unit not in UNITS:
        raise UsageError(f"{source} {unit!r} is not one of {', '.join(UNITS)}")
    if unit not in available():
        raise UsageError(f"{source} {unit}: needs {NEEDS[unit]}; this machine has {', '.join(available())}")
