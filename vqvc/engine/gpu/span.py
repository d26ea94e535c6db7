"""The state of the GPU engine's streams for ``kernel``, and the division of the kernel into programs.

The inputs of each layer are in a ring buffer (samples, streams, residual) of as many samples as the layer looks back.
"""

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from vqvc.engine.gpu.rows import Inputs, Streams, logistic, uniforms
from vqvc.engine.gpu.weights import NARROWEST, Packed, Widths, padded
from vqvc.engine.spec import Decoder
from vqvc.errors import VqvcError
from vqvc.nn.likelihood import MIN_LOG_SCALE
from vqvc.nn.linear_prediction import LPC_INPUT_GAIN, LPC_RESIDUAL_LIMIT

ALONE = 64  # widest layer that one program computes alone
SLICE = 8  # smallest number of columns of the narrowest product that a program of a team computes
WIDEST_SLICE = 64  # largest size in bytes of a row of that slice; the rest of the registers is needed for other data
MOST_ROWS = 32  # streams of a group; with 64, Triton 3.6 generates code that reads memory out of bounds
SPAN = 16  # frames per launch; bounds the memory of the conditioning terms


@dataclass(frozen=True)
class Plan:
    """Division of the work: groups of ``rows`` streams, each computed by a team of ``team`` programs.

    warps: per program. split: parts of the inner dimension of a product, see ``kernel``.
    """

    rows: int
    team: int
    warps: int
    split: int

    @classmethod
    def of(cls, widths: Widths, streams: int, processors: int, kind: torch.dtype) -> "Plan":
        """The plan for ``streams`` streams on a GPU of ``processors`` multiprocessors. kind: dtype of the layers."""
        rows, alone = 16, max(widths.residual, widths.half) <= ALONE
        most = widths.narrowest // SLICE
        least = 1 if alone else min(most, widths.half * kind.itemsize // WIDEST_SLICE)
        if kind == torch.bfloat16:  # float32 products are not on tensor cores; more rows would not fit into registers
            while rows < MOST_ROWS and -(-streams // rows) * least > processors:
                rows *= 2
        groups, warps = -(-streams // rows), 4 if rows == 16 else 8  # measured on an H200, as is the split
        if alone:
            return cls(rows, 1, warps, 1)
        team = most
        while team > least and groups * team > processors:
            team //= 2
        return cls(rows, team, warps, min(4, widths.narrowest // NARROWEST) if rows == 16 else 1)


class SpanRows(Streams):
    """Streams for which ``kernel`` generates up to ``SPAN`` frames per launch."""

    @torch.inference_mode()
    def __init__(
        self,
        weights: Decoder,
        kind: torch.dtype,
        count: int,
        hop: int,
        order: int,
        device: torch.device,
        plan: Plan | None = None,
    ):
        super().__init__(count, hop, device)
        widths, self.processors = Widths.of(weights), _processors(device)
        self.plan = plan or Plan.of(widths, count, self.processors, kind)
        self.packed, self.order = Packed(weights, kind, self.plan.team, device), padded(max(order, 1), 1)
        layers = self.packed.layers

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        groups = -(-count // self.plan.rows)
        self.history = zeros(int(self.packed.lengths.sum()), count, widths.residual, dtype=kind)
        self.now = zeros(layers, dtype=torch.int32)  # the current place in each layer's ring
        self.signal = zeros(count, self.order)  # amplitudes, the latest first
        self.previous = self.previous.int()
        # exchanged by the programs of a team
        self.gated = zeros(layers, count, widths.half, dtype=kind)
        self.head = zeros(2, count, widths.skip, dtype=kind)
        self.counters, self.failed = zeros(groups, 32, dtype=torch.int32), zeros(1, dtype=torch.int32)

    def _forget(self, at: Tensor) -> None:
        self.history[:, at], self.signal[at] = 0, 0

    def synthesize(self, inputs: Inputs, observe: bool) -> tuple[Tensor, Tensor | None]:
        """See ``Streams.synthesize``. Raises VqvcError if the programs of a team do not run at the same time."""
        outputs, classes, raw = self.packed.widths.outputs, [inputs.forced[:, :0].int()], []
        for part in inputs.cut(SPAN, self.hop):
            samples = part.forced.shape[1]
            drawn = torch.empty(samples, self.count, dtype=torch.int32, device=self.device)
            made = torch.empty(samples if observe else 1, self.count, outputs, device=self.device)
            conditioning = self._arguments(part) | {"classes": drawn, "raw": made}
            self._launch(conditioning, part.temperature, samples // self.hop, made.stride(0) * observe)
            self.position += samples
            self.now.copy_((self.now + samples) % self.packed.lengths)
            classes.append(drawn.T)
            raw.append(made.transpose(0, 1))
        if self.plan.team > 1 and self.failed.item():
            raise VqvcError("the GPU did not run all parts of the sampling loop at once; is it shared with other work?")
        return torch.cat(classes, 1), torch.cat(raw, 1) if observe and raw else None

    def _arguments(self, inputs: Inputs) -> dict[str, Tensor]:
        """The kernel's arguments for conditioning, linear prediction and random draws."""
        packed = self.packed
        terms = torch.addmm(packed.frame_bias, inputs.frames.flatten(0, 1).to(packed.kind), packed.frame)
        u, v = uniforms(self.seed, self.position, inputs.forced.shape[1])
        mixture, predictor = packed.widths.mixtures, inputs.predictor
        predictor = torch.nn.functional.pad(predictor, (0, self.order - predictor.shape[2])) if mixture else self.signal
        return {
            "terms": terms,
            "predictor": predictor.contiguous(),
            "gains": inputs.gain.float().contiguous() if mixture else self.lpc_residual,
            "uniform": u,
            "noise": logistic(v, inputs.temperature) if mixture else u,
            "forced": inputs.forced.T.int().contiguous(),
        }

    def _launch(self, conditioning: dict[str, Tensor], temperature: float, frames: int, raw_step: int) -> None:
        """Launch as many groups at a time as fit on the GPU, since the programs of a team wait for each other."""
        from vqvc.engine.gpu.kernel import synthesize

        packed, plan, widths = self.packed, self.plan, self.packed.widths
        state = ("now", "history", "gated", "head", "counters", "failed", "lpc_residual", "signal")
        own = {name: getattr(self, name) for name in state}
        own["previous_at"], own["lpc_residual_at"] = self.previous, own.pop("lpc_residual")
        # one stage: pipelined loads could read values that are not yet written; maxnreg: else too few registers are used
        options = {"num_warps": plan.warps, "num_stages": 1, "maxnreg": 255}
        if plan.team > 1:
            options["launch_cooperative_grid"] = True
        groups = -(-self.count // plan.rows)
        at_once = max(1, self.processors // plan.team) if plan.team > 1 else groups
        for group in range(0, groups, at_once):
            self.counters.zero_()
            synthesize[(min(at_once, groups - group) * plan.team,)](
                **packed.arguments(), **own, **conditioning, temperature=temperature, count=self.count, frames=frames,
                first=group * plan.rows, raw_step=raw_step, HOP=self.hop, KERNEL=packed.kernel, LAYERS=packed.layers,
                RESIDUAL=widths.residual, HALF=widths.half, SKIP=widths.skip, OUTPUTS=widths.outputs,
                WIDE=widths.wide, MIXTURES=widths.mixtures, ORDER=self.order, PARTS=packed.parts,
                LPC_INPUT_GAIN=LPC_INPUT_GAIN, LPC_RESIDUAL_LIMIT=LPC_RESIDUAL_LIMIT, MIN_LOG_SCALE=MIN_LOG_SCALE,
                ROWS=plan.rows, TEAM=plan.team, SPLIT=plan.split, **options,
            )  # fmt: skip


@cache
def _processors(device: torch.device) -> int:
    """How many multiprocessors a GPU has; 1 for a CPU, on which the kernel is interpreted."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1
