"""The engine for a GPU: hundreds of streams at once, and several conditioning frames per kernel launch.

One sample of one stream is far too little work for a GPU, and launching its hundred small kernels from Python takes
longer than running them. Therefore all streams are rows of the same matrix products, and one kernel generates whole
frames (``kernel``). A row whose stream has ended is idle until another job takes it.

Without Triton, and on a CPU, plain PyTorch does the same (``rows``), slowly. Tests compare it with ``spec`` and with
the CPU engine, up to the rounding of sums.
"""

import copy
import importlib.util
import logging
from collections.abc import Callable, Sequence

import numpy as np
import torch

from vqvc.engine import scheduler
from vqvc.engine.gpu.rows import Inputs, Rows, Streams
from vqvc.engine.protocol import Engine, Job, check_temperature
from vqvc.engine.spec import Decoder
from vqvc.errors import UsageError
from vqvc.nn.precision import has_bfloat16
from vqvc.nn.vqvae import VQVAE, Conditioning

logger = logging.getLogger("vqvc.synthesis")

STREAMS = 256  # rows of a launch


def make_sampler(model: VQVAE, unit: str | None = None, device: torch.device | None = None) -> Engine:
    """Make the engine for a device: ``GpuSampler`` for a CUDA GPU, ``cpu.sampler.Sampler`` for a CPU.

    device: when None, the GPU if there is one. unit: of the processor, see ``units.choose``; it selects the CPU.
    """
    if unit is None and (torch.cuda.is_available() if device is None else device.type == "cuda"):
        return GpuSampler(model, device=None if device is None else str(device))
    from vqvc.engine.cpu.sampler import Sampler

    return Sampler(model, unit=unit)


class GpuSampler:
    """A copy of a model's decoder on a device: an ``Engine``.

    precision: of the layers, "float32" or "bfloat16"; draws are in float32 and float64 in both cases. "auto" is the
        precision of training on a GPU that has bfloat16 instructions, else float32.
    device: when None, the GPU if there is one, else the CPU.
    streams: how many ``run`` works on at a time. The rounding of sums may depend on it.

    Raises UsageError for an unknown precision.
    """

    def __init__(self, model: VQVAE, precision: str = "auto", device: str | None = None, streams: int = STREAMS):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        if precision == "auto":
            fast = self.device.type == "cuda" and has_bfloat16(self.device)
            precision = model.config.precision if fast else "float32"
        if precision not in ("float32", "bfloat16"):
            raise UsageError(f"precision {precision!r} is not one of auto, float32, bfloat16")
        self.precision, self.streams = precision, streams
        self.mixture, self.hop = model.mixture, model.config.decoder.conditioning_hop
        self.order = model.config.decoder.lpc_order if model.mixture else 0
        self.receptive_field = model.wavenet.stack.receptive_field
        self.net = copy.deepcopy(model.wavenet).to(self.device).requires_grad_(False)
        self.kind = getattr(torch, precision)  # of the layers
        for part in (self.net.stack, self.net.mix):
            part.to(self.kind)
        self.weights = Decoder.of(self.net)  # rounded to the precision of the layers
        self.compiled = self.device.type == "cuda" and importlib.util.find_spec("triton") is not None
        if self.device.type == "cuda" and not self.compiled:
            logger.warning("without the package triton this GPU samples slowly: pip install triton")
        self._rows: Streams | None = None

    def start(self, streams: int, seeds: Sequence[int], positions: Sequence[int] | None = None) -> Streams:
        """See ``Engine.start``."""
        rows = self._new(streams)
        rows.begin(range(streams), seeds, [0] * streams if positions is None else positions)
        return rows

    @torch.inference_mode()
    def feed(
        self,
        state: Streams,
        conditioning: Conditioning,
        temperature: float = 1.0,
        forced: np.ndarray | None = None,
        observe: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """See ``Engine.feed``: classes (streams, F * hop) uint8, with ``observe`` also the raw outputs."""
        gain = conditioning.log_gain.exp() if self.mixture else None
        return self._advance(state, conditioning.frames, conditioning.predictor, gain, temperature, forced, observe)

    @torch.inference_mode()
    def _advance(self, rows, frames, predictor, gain, temperature, forced=None, observe=False):
        """Frames (streams, F, C) and the rest as tensors or arrays on any device; see ``feed``."""
        check_temperature(temperature)
        streams, count = frames.shape[:2]
        given = np.full((streams, count * self.hop), -1, np.int64)
        if forced is not None:
            given[:, : forced.shape[1]] = forced
        placed = (
            None if part is None else torch.as_tensor(part).to(self.device) for part in (frames, predictor, gain, given)
        )
        classes, raw = rows.synthesize(Inputs(*placed, temperature), observe)
        classes = classes.to(torch.uint8).cpu().numpy()
        return (classes, raw.cpu().numpy()) if observe else classes

    @torch.inference_mode()
    def run(
        self,
        jobs: Sequence[Job],
        temperature: float = 1.0,
        lanes: int | None = None,
        progress: Callable[[int], None] = lambda samples: None,
    ) -> list[np.ndarray]:
        """See ``Engine.run``. lanes: ``streams`` when None."""
        # powers of two: with few different counts, the cached state is used again more often
        count = min(lanes or self.streams, 1 << (sum(len(job.frames) > 0 for job in jobs) - 1).bit_length())
        return scheduler.run(jobs, self.hop, lambda: self._kept(count), self._advance, temperature, progress=progress)

    def _kept(self, count: int) -> Streams:
        if self._rows is None or self._rows.count != count:
            self._rows = None  # frees the memory before the new state is allocated
            self._rows = self._new(count)
        return self._rows

    def _new(self, count: int) -> Streams:
        if self.compiled:
            from vqvc.engine.gpu.span import SpanRows

            return SpanRows(self.weights, self.kind, count, self.hop, self.order, self.device)
        return Rows(self.net, count, self.hop, self.order, self.device)
