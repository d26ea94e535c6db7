"""``nn.convolution.Convolution`` by the CPU's compiled products: for the few frames at a time of a stream.

A window lies in the input as it is, since channels come last, so that ``product`` reads it there and nothing is copied together.
PyTorch takes longer to prepare such a product than to make it, and copies the weights each time it does so in bfloat16.
"""

import copy
import zlib
from pathlib import Path

import numpy as np
import torch
from numba import njit
from torch import Tensor, nn

from vqvc.engine.cpu import blocks, tiles, vectors
from vqvc.engine.cpu.blocks import COLUMNS, HAS_BFLOAT16, aligned, pack, padded, product, put
from vqvc.nn.compiled import kept
from vqvc.nn.convolution import Convolution

# see ``kernels.COMPILED_IN``
COMPILED_IN = zlib.crc32(b"".join(Path(part.__file__).read_bytes() for part in (blocks, tiles, vectors)))


@kept
@njit(nogil=True, error_model="numpy")
def convolve(x, rounded, places, step, inner, weight, bias, made, version=COMPILED_IN):
    """made (F, columns) of the inputs x, flat: window i has a part of ``inner`` numbers from each of ``places`` + i * step on.

    rounded: as ``weight``, where the inputs are laid out for it; longer than x by what a part is padded with.
    """
    for i in range(len(x)):
        put(rounded, i, x[i])
    for i in range(len(x), len(rounded)):
        put(rounded, i, np.float32(0.0))
    frames, columns = made.shape
    product(frames, rounded, places, step, weight, 0, inner, columns, bias, 0, 0, made.reshape(-1), 0, columns)


class CompiledConvolution(Convolution):
    """A convolution with the weights of another, or a linear layer's, for a batch of one, float32, on a CPU and without gradient.

    dtype: of the products; bfloat16 becomes float32 where compiled code lacks them.
    """

    def __init__(self, layer: Convolution | nn.Linear, dtype: torch.dtype) -> None:
        nn.Module.__init__(self)
        windows = (layer.stride, layer.taps, layer.dilation) if isinstance(layer, Convolution) else (1, 1, 1)
        self.stride, self.taps, self.dilation = windows
        self.weight, self.bias, self.dtype = layer.weight, layer.bias, dtype
        unit = "avx512" if dtype == torch.bfloat16 and HAS_BFLOAT16 else "floats"
        self.narrow = np.uint16 if unit == "avx512" else np.float32
        weight = layer.weight.detach().float().numpy().T  # (taps * C_in, C_out)
        parts = [weight] if self.stride > 1 else np.split(weight, self.taps)
        channels, self.outputs = len(weight) // self.taps, weight.shape[1]
        self.window = self.taps if self.stride > 1 else 2 * self.reach + 1  # inputs, from an output's first to its last
        self.inner, self.columns = padded(len(parts[0])), padded(self.outputs, COLUMNS)
        self.step, self.places = self.stride * channels, np.arange(len(parts)) * self.dilation * channels
        self.packed = pack(parts, self.inner, unit)
        self.start = aligned(np.pad(layer.bias.detach().float().numpy(), (0, self.columns - self.outputs)))

    def with_weights(self, weight: Tensor, bias: Tensor) -> "CompiledConvolution":
        """See ``Convolution.with_weights``."""
        return CompiledConvolution(super().with_weights(weight, bias), self.dtype)

    def valid(self, padded: Tensor) -> Tensor:
        """See ``Convolution.valid``: (1, T, C_in) -> (1, T', C_out)."""
        frames = max((padded.shape[1] - self.window) // self.stride + 1, 0)
        x = padded.contiguous().numpy().reshape(-1)
        rounded, made = np.empty(len(x) + self.inner, self.narrow), np.empty((frames, self.columns), np.float32)
        convolve(x, rounded, self.places, self.step, self.inner, self.packed, self.start, made)
        return torch.from_numpy(made[None, :, : self.outputs])


def compiled(module: nn.Module, dtype: torch.dtype) -> nn.Module:
    """A copy of a module on a CPU, or of a part, whose convolutions and linear layers are ``CompiledConvolution``."""
    if isinstance(module, (Convolution, nn.Linear)):
        return CompiledConvolution(module, dtype)
    made = copy.copy(module)
    made._modules = {name: None if child is None else compiled(child, dtype) for name, child in module._modules.items()}
    return made
