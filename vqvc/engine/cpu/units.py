"""The processor's units that can make the sampling loop's products, and the choice between them.

"amx": bfloat16 in AMX tiles. "avx512": bfloat16 in AVX-512 registers (VDPBF16PS). "floats": float32 in vector registers of
whatever width there is, on every processor.
"""

import os

from vqvc.engine.cpu.blocks import HAS_BFLOAT16
from vqvc.engine.cpu.tiles import HAS_TILES
from vqvc.errors import UsageError

UNITS = ("amx", "avx512", "floats")  # the fastest first
PRECISIONS = {"amx": "bfloat16", "avx512": "bfloat16", "floats": "float32"}  # that each works in
VARIABLE = "VQVC_UNIT"
NEEDS = {
    "amx": "Linux on a processor with AMX and its bfloat16 products",
    "avx512": "a processor with AVX-512 and its bfloat16 products",
}


def available() -> tuple[str, ...]:
    """Those of ``UNITS`` that this processor has, the fastest first."""
    return ("amx",) * HAS_TILES + ("avx512",) * HAS_BFLOAT16 + ("floats",)


def choose(precision: str = "auto", unit: str | None = None, trained: str = "float32") -> str:
    """The unit for a precision ("auto", "float32", "bfloat16") of a model that was trained in ``trained``.

    unit: the caller's choice; None takes that of the environment's VQVC_UNIT where it works in the precision, else the
    fastest unit of the precision. "auto" is the precision of training where the processor has products for it, float32
    elsewhere. Raises UsageError for what the processor lacks, for an unknown name, and for a unit of another precision.
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
    wanted = trained if precision == "auto" else precision
    found = [name for name in available() if PRECISIONS[name] == wanted]
    if not found and precision == "bfloat16":
        raise UsageError("this processor has no bfloat16 products; use precision float32")
    return found[0] if found else "floats"


def _check(unit: str, source: str) -> None:
    if unit not in UNITS:
        raise UsageError(f"{source} {unit!r} is not one of {', '.join(UNITS)}")
    if unit not in available():
        raise UsageError(f"{source} {unit}: needs {NEEDS[unit]}; this machine has {', '.join(available())}")
