"""The dtype that layers compute in. bfloat16 is used only on devices with bfloat16 instructions.

A processor that emulates them is 25 to 60 times slower in bfloat16 than in float32 (AVX2; PyTorch 2.13).
"""

import torch

PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}
MULTIPLIERS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # PyTorch's names of bfloat16 instruction sets


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether a device has bfloat16 instructions."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in MULTIPLIERS)


def working_dtype(precision: str, device: torch.device | str) -> torch.dtype:
    """The dtype for ``training.precision`` on a device: float32 instead of bfloat16 if the device lacks it."""
    return PRECISIONS[precision] if has_bfloat16(device) else torch.float32
