"""What the processor that compiled (Numba) code is made for can do."""

import llvmlite.binding
from numba import config


def features() -> dict[str, bool]:
    """LLVM's names of instruction sets: this processor's, or those that NUMBA_CPU_FEATURES names instead ("+avx2,+fma")."""
    if config.CPU_FEATURES is None:
        return dict(llvmlite.binding.get_host_cpu_features())
    return {name[1:]: name[0] == "+" for name in config.CPU_FEATURES.split(",") if name}


FEATURES = features()
