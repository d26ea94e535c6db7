"""A decoder's weights in the layout of ``kernel``: each program's slice of a product is contiguous, widths are padded.

The columns of the gates alternate between tanh and sigmoid, so that a slice holds both halves for the same z.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vqvc.engine.spec import Decoder
from vqvc.nn.features import CLASSES, mulaw_decode, mulaw_edges

NARROWEST = 16  # rows and inner dimension of the smallest product on tensor cores


def padded(width: int, least: int = NARROWEST) -> int:
    """The smallest power of two that is at least ``width`` and ``least``."""
    return max(least, 1 << (width - 1).bit_length())


@dataclass(frozen=True)
class Widths:
    """Padded widths of the layers.

    wide: of the outputs, or of each of the three parts of a mixture's outputs. outputs: their true number.
    """

    residual: int
    half: int
    skip: int
    wide: int
    outputs: int
    mixtures: int  # 0 for the categorical output

    @classmethod
    def of(cls, net: Decoder) -> "Widths":
        """The widths of a decoder. One with LPC inputs has the mixture output."""
        _, half, residual = net.residual.shape
        outputs = len(net.out_bias)
        mixtures = outputs // 3 if net.lpc_input is not None else 0
        return cls(
            padded(residual), padded(half), padded(len(net.skip_bias)), padded(mixtures or outputs), outputs, mixtures
        )

    @property
    def narrowest(self) -> int:
        """The smallest of the widths that are divided among the programs of a team."""
        return min(self.residual, self.half, self.skip)


class Packed:
    """Weights on a device for teams of ``team`` programs, named as the arguments of ``kernel.synthesize``.

    kind: dtype of the layers' weights. frame (C, L * 2 * half) and frame_bias compute the kernel's ``terms``.
    """

    def __init__(self, net: Decoder, kind: torch.dtype, team: int, device: torch.device):
        self.widths, self.team, self.kind, self.device = Widths.of(net), team, kind, device
        self.layers, self.kernel = net.tap.shape[:2]
        width = self.widths
        tap = _wide(self._gates(self._double(net.tap)), width.residual, 2)
        # the residual output of a layer is computed at the beginning of the next one
        residual = _later(_wide(_wide(self._double(net.residual), width.residual), width.half, 1)[:-1])
        bias = _later(_wide(self._double(net.residual_bias), width.residual)[:-1])
        pieces = [*tap.unbind(1)]
        frame_bias = self._gates(self._double(net.gate_bias))
        if team > 1:
            pieces.append(residual @ tap[:, -1])
            frame_bias = frame_bias + torch.einsum("lr,lrg->lg", bias, tap[:, -1])
        pieces.append(residual)
        self.layer_weights = torch.cat([self._slices(piece).flatten(2) for piece in pieces], 2).to(kind)
        skip = _later(_wide(_wide(self._double(net.skip), width.skip), width.half, 1))
        self.skip_weights = self._slices(skip).to(kind)
        mix = _wide(_wide(self._double(net.mix), width.skip), width.skip, 0)
        self.mix_weights = self._slices(mix[None])[0].to(kind)
        self.out_weights, self.out_bias = self._out(net)
        self.residual_bias = bias.float()
        self.skip_bias, self.mix_bias = (_wide(self._float(each), width.skip) for each in (net.skip_bias, net.mix_bias))
        frame = self._double(net.frame).transpose(0, 1)  # (C, L, G)
        self.frame, self.frame_bias = self._gates(frame).flatten(1).to(kind), frame_bias.flatten().to(kind)
        self.embed = _wide(self._float(net.embed), width.residual)
        self.lpc_input = self.embed if net.lpc_input is None else _wide(self._float(net.lpc_input), width.residual)
        self.amplitudes = mulaw_decode(torch.arange(CLASSES)).to(device)
        self.edges = torch.cat([mulaw_edges()[1:-1].double(), torch.tensor([torch.inf]).double()]).to(device)
        self.dilations = torch.tensor(net.dilations, dtype=torch.int32, device=device)
        self.lengths = (self.kernel - 1) * self.dilations + 1  # samples of history that a layer needs
        self.starts = (self.lengths.cumsum(0) - self.lengths).int()

    @property
    def parts(self) -> int:
        """How many matrices of dtype ``kind`` the float32 weights of the output are split into."""
        return 2 if self.kind == torch.bfloat16 else 1

    def arguments(self) -> dict[str, Tensor]:
        """The weights among the kernel's arguments."""
        names = (
            "layer_weights skip_weights mix_weights out_weights residual_bias skip_bias mix_bias out_bias "
            "embed lpc_input amplitudes edges dilations starts"
        )
        return {name: getattr(self, name) for name in names.split()}

    def _float(self, weight: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(weight)).to(self.device)

    def _double(self, weight: np.ndarray) -> Tensor:
        return self._float(weight).double()

    def _gates(self, weight: Tensor) -> Tensor:
        """Reorder gates (..., G) to (..., 2 * half) with alternating tanh and sigmoid columns."""
        return torch.stack([_wide(part, self.widths.half) for part in weight.chunk(2, -1)], -1).flatten(-2)

    def _slices(self, weight: Tensor) -> Tensor:
        """Divide the columns of weights among the team: (L, K, N) to (L, team, K, N / team)."""
        return weight.unflatten(2, (self.team, -1)).transpose(1, 2).contiguous()

    def _out(self, net: Decoder) -> tuple[Tensor, Tensor]:
        """The output's weights (team, parts, S, wide / team), or (3, parts, S, wide) for a mixture, and its bias."""
        width = self.widths
        count = 3 if width.mixtures else 1
        weight = _wide(self._float(net.out).unflatten(1, (count, -1)).transpose(0, 1), width.wide)
        weight = _wide(weight, width.skip, 1)
        rounded = [weight.to(self.kind)]
        if self.parts == 2:
            rounded.append((weight - rounded[0].float()).to(self.kind))
        weights = torch.stack(rounded, 1)
        if not width.mixtures:
            weights = self._slices(weights[0]).transpose(0, 1)
        return weights.contiguous(), _wide(self._float(net.out_bias).view(count, -1), width.wide).flatten()


def _later(weight: Tensor) -> Tensor:
    """Shift weights (L, ...) by one layer: zeros for the first one are put in front."""
    return torch.cat([weight.new_zeros(1, *weight.shape[1:]), weight])


def _wide(weight: Tensor, width: int, dim: int = -1) -> Tensor:
    """Pad one dimension with zeros to ``width``."""
    shape = list(weight.shape)
    shape[dim] = width - shape[dim]
    return torch.cat([weight, weight.new_zeros(shape)], dim)
