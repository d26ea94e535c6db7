"""Instruction sets of the processor that Numba compiles for."""

import llvmlite.binding
from numba import config


def features() -> dict[str, bool]:
    """Which instruction sets are available, by LLVM's names; NUMBA_CPU_FEATURES overrides them (e.g. "+avx2,+fma")."""
    if config.CPU_FEATURES is None:
        return dict(llvmlite.binding.get_host_cpu_features())
    return {name[1:]: name[0] == "+" for name in config.CPU_FEATURES.split(",") if name}


FEATURES = features()
