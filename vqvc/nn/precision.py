"""The number format that layers work in: bfloat16 pays only where the device multiplies it itself.

A processor that has to emulate it is 25 to 60 times slower with it than with float32 (AVX2; PyTorch 2.13).
"""

import torch

PRECISIONS = {"bfloat16": torch.bfloat16, "float32": torch.float32}
MULTIPLIERS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # PyTorch's names of a processor's bfloat16 products


def has_bfloat16(device: torch.device | str) -> bool:
    """Whether a device has bfloat16 products of its own."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in MULTIPLIERS)


def working_dtype(precision: str, device: torch.device | str) -> torch.dtype:
    """The dtype of ``training.precision`` on a device: bfloat16 becomes float32 where the device lacks it."""
    return PRECISIONS[precision] if has_bfloat16(device) else torch.float32
