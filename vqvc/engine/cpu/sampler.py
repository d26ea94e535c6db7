"""The engine for a CPU: the WaveNet generates sample after sample for one or many streams, from cached activations.

    sampler = Sampler(model)
    state = sampler.start(streams=2, seeds=[1, 2])
    classes = sampler.feed(state, conditioning)      # again for more frames; the state is updated

``run`` takes jobs of any length instead and distributes them over lanes and cores. In both cases the samples of a
stream depend on its seed, its position and its conditioning, not on other streams.
"""

import logging
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from vqvc._util.platform import cores
from vqvc.audio import mulaw
from vqvc.engine import scheduler
from vqvc.engine.cpu import kernels, units
from vqvc.engine.cpu.blocks import COLUMNS, aligned, empty, pack, padded, to_bfloat16
from vqvc.engine.cpu.tiles import SIDE, tile_palette
from vqvc.engine.protocol import Job, check_temperature
from vqvc.engine.spec import Decoder
from vqvc.nn.linear_prediction import LPC_INPUTS
from vqvc.nn.vqvae import VQVAE, Conditioning

logger = logging.getLogger("vqvc.synthesis")

LANES = 16  # streams that one core works on at a time; the rows of an AMX tile


@dataclass
class State:
    """The state of ``count`` streams; made by ``Sampler.start``."""

    buffers: kernels.Buffers
    sizes: kernels.Sizes
    weights: kernels.Weights
    count: int

    def begin(self, rows: Sequence[int], seeds: Sequence[int], positions: Sequence[int]) -> None:
        """Reset streams ``rows``: zeros in every layer, silence before them. See ``scheduler.Streams``."""
        for row, seed, position in zip(rows, seeds, positions):
            kernels.clear(row, self.sizes, self.weights, self.buffers)
            self.buffers.seed[row], self.buffers.position[row] = seed % 2**64, position

    def move(self, source: int, target: int) -> None:
        """Copy the state of stream ``source`` to stream ``target``."""
        kernels.move(source, target, self.sizes, self.weights, self.buffers)


class Sampler:
    """A model's decoder, packed for the compiled loop: an ``Engine``.

    precision: "float32" equals the network within 1e-4. "bfloat16" rounds as training did and is faster, above all on
        processors with AMX. "auto" is the precision of training if the processor has bfloat16 products, else float32.
    threads: how many cores to use; all when None.
    unit: the processor's unit for matrix products, see ``units.choose``; by default that of the environment variable
        VQVC_UNIT, or the fastest for the precision.

    Raises UsageError for a precision or unit that the processor lacks.
    """

    def __init__(
        self, model: VQVAE, precision: str = "auto", threads: int | None = None, unit: str | None = None
    ) -> None:
        self.unit = units.choose(precision, unit, model.config.precision)
        self.precision = units.PRECISIONS[self.unit]
        self.threads = threads or cores()
        self.streams = LANES * self.threads  # that ``run`` keeps busy
        self.mixture = model.mixture
        self.order = model.config.decoder.lpc_order if model.mixture else 1
        self.hop = model.config.decoder.conditioning_hop
        self.receptive_field = model.wavenet.stack.receptive_field
        self.sizes, self.weights = _packed(model, self.unit)

    def start(self, streams: int, seeds: Sequence[int], positions: Sequence[int] | None = None) -> State:
        """See ``Engine.start``."""
        buffers = _buffers(self.sizes, self.weights, streams, self.order, self.unit)
        for stream in range(streams):
            buffers.seed[stream] = seeds[stream] % 2**64
            buffers.position[stream] = positions[stream] if positions is not None else 0
        return State(buffers, self.sizes, self.weights, streams)

    def feed(
        self,
        state: State,
        conditioning: Conditioning,
        temperature: float = 1.0,
        forced: np.ndarray | None = None,
        observe: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """See ``Engine.feed``: classes (streams, F * hop) uint8, with ``observe`` also the raw outputs."""
        arrays = [conditioning.frames, conditioning.predictor, conditioning.log_gain.exp() if self.mixture else None]
        arrays = [None if tensor is None else tensor.detach().float().numpy() for tensor in arrays]
        return self._advance(state, *arrays, temperature, forced, observe)

    def _advance(self, state, frames, predictor, gain, temperature, forced=None, observe=False):
        streams, count, _ = frames.shape
        check_temperature(temperature)
        if predictor is None:
            predictor, gain = np.zeros((streams, 0, 1), np.float32), np.ones((streams, 0), np.float32)
        samples = count * self.hop
        classes = np.zeros((streams, samples), np.uint8)
        forced_classes = np.zeros((streams, 0), np.int64) if forced is None else np.array(forced, np.int64)
        shape = (streams, samples, self.sizes.outputs) if observe else (0, 0, 0)
        observed = np.zeros(shape, np.float32)
        frames, predictor, gain = (np.array(values, np.float32, order="C") for values in (frames, predictor, gain))
        with _announced_if_slow():
            kernels.advance(
                streams,
                self.sizes,
                self.weights,
                state.buffers,
                frames,
                predictor,
                gain,
                np.float32(temperature),
                forced_classes,
                classes,
                observed,
            )
        return (classes, observed) if observe else classes

    def run(
        self,
        jobs: Sequence[Job],
        temperature: float = 1.0,
        lanes: int | None = None,
        progress: Callable[[int], None] = lambda samples: None,
    ) -> list[np.ndarray]:
        """See ``Engine.run``. lanes: jobs at a time per core, LANES when None. progress: called from worker threads."""
        workers = max(1, min(self.threads, len(jobs)))
        count = min(lanes or LANES, -(-len(jobs) // workers))
        return scheduler.run(
            jobs, self.hop, lambda: self.start(count, [0] * count), self._advance, temperature, workers, progress
        )


_announced = threading.Lock()  # acquired by the first thread that logs the message; several may compile at a time


def _announce(message: str) -> None:
    if _announced.acquire(blocking=False):
        logger.info(message)


@contextmanager
def _announced_if_slow(after_s: float = 1.0):
    """Log a message if the call takes longer than ``after_s``, because it has to compile the loop."""
    if kernels.advance.overloads:  # compiled already
        yield
        return
    path = kernels.advance.stats.cache_path
    when = "once" if path else "in every run, until NUMBA_CACHE_DIR names a folder to keep it in,"
    message = f"compiling the sampling loop for this processor; this happens {when} and takes up to half a minute"
    timer = threading.Timer(after_s, _announce, (message,))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _packed(model: VQVAE, unit: str) -> tuple[kernels.Sizes, kernels.Weights]:
    """The decoder's weights in the layout of the compiled loop, with all widths padded with zeros."""
    net = Decoder.of(model.wavenet)
    layers, kernel, residual, gate = net.tap.shape
    half, skip, conditioning, outputs = gate // 2, net.skip.shape[2], net.frame.shape[1], net.out.shape[1]
    r, h, s, c = (padded(width) for width in (residual, half, skip, conditioning))
    g = padded(2 * h, COLUMNS)

    def halves(array: np.ndarray) -> np.ndarray:
        """Pad both halves of gates (..., 2 * half) to (..., g): the tanh half begins at 0, the sigmoid half at h."""
        result = np.zeros((*array.shape[:-1], g), np.float32)
        result[..., :half], result[..., h : h + half] = array[..., :half], array[..., half:]
        return result

    def widened(array: np.ndarray, width: int) -> np.ndarray:
        return _own(np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, width - array.shape[-1])]))

    tap, frame = halves(net.tap), halves(net.frame)
    out, bias_sums = net.out, np.cumsum(net.residual_bias, axis=0)
    rounded = (to_bfloat16(out).astype(np.uint32) << 16).view(np.float32)
    sizes = kernels.Sizes(
        kernel=kernel,
        residual=r,
        half=h,
        skip=s,
        conditioning=c,
        outputs=outputs,
        mixtures=model.config.decoder.mixtures if model.mixture else 0,
        hop=model.config.decoder.conditioning_hop,
    )
    weights = kernels.Weights(
        tap=aligned(np.concatenate([pack(tap[layer], r, unit) for layer in range(layers)])),
        residual=aligned(np.concatenate([pack(net.residual[layer : layer + 1], h, unit) for layer in range(layers)])),
        bias=widened(np.pad(bias_sums[:-1], [(1, 0), (0, 0)]), r),
        skip=pack(net.skip, h, unit),
        skip_bias=widened(net.skip_bias, padded(skip, COLUMNS)),
        frame=aligned(np.concatenate([pack([frame[layer]], c, unit) for layer in range(layers)])),
        frame_bias=_own(halves(net.gate_bias).reshape(-1)),
        embed=widened(net.embed, r),
        lpc_input=widened(net.lpc_input, r) if net.lpc_input is not None else np.zeros((LPC_INPUTS, r), np.float32),
        mix=pack([net.mix], s, unit),
        mix_bias=widened(net.mix_bias, padded(skip, COLUMNS)),
        out=pack([out] if unit == "floats" else [rounded, rounded, out - rounded], s, unit),
        out_bias=widened(net.out_bias, padded(outputs, COLUMNS)),
        amplitudes=_own(mulaw.decode(np.arange(mulaw.CLASSES))),
        dilations=np.array(net.dilations, np.int64),
    )
    return sizes, weights


def _buffers(size: kernels.Sizes, weights: kernels.Weights, streams: int, order: int, unit: str) -> kernels.Buffers:
    narrow = np.float32 if unit == "floats" else np.uint16
    rows = streams if streams <= SIDE else padded(streams, SIDE)  # whole tiles, if there is more than one
    layers, gate, skip = len(weights.dilations), padded(2 * size.half, COLUMNS), len(weights.skip_bias)
    lengths = ((size.kernel - 1) * weights.dilations + 1) * rows * size.residual
    starts = np.concatenate([[0], np.cumsum(lengths)])

    def zeros(*shape: int, dtype: type = np.float32) -> np.ndarray:
        flat = empty(math.prod(shape), dtype)
        flat[:] = 0
        return flat.reshape(shape)

    return kernels.Buffers(
        ring=zeros(int(starts[-1]), dtype=narrow),
        ring_at=starts[:-1].astype(np.int64),
        slot=np.zeros(layers, np.int64),
        previous=np.full(streams, mulaw.SILENCE, np.int64),
        past=zeros(streams, order),
        lpc_residual=np.zeros(streams, np.float32),
        seed=np.zeros(streams, np.uint64),
        position=np.zeros(streams, np.int64),
        terms=zeros(layers, rows, gate),
        gate=zeros(rows, gate),
        gated=zeros(layers, rows, size.half, dtype=narrow),
        gated_at=np.arange(layers) * rows * size.half,
        taps_at=np.zeros(size.kernel, np.int64),
        x=zeros(rows, padded(size.residual, COLUMNS)),
        skip=zeros(rows, skip),
        head=zeros(rows, size.skip, dtype=narrow),
        hidden=zeros(rows, skip),
        hidden_in=zeros(1 if unit == "floats" else 2, rows, size.skip, dtype=narrow),
        hidden_at=np.array([0] if unit == "floats" else [0, rows * size.skip, 0]),
        raw=zeros(rows, len(weights.out_bias)),
        frame_in=zeros(rows, size.conditioning, dtype=narrow),
        palette=tile_palette(),
    )


def _own(values: np.ndarray) -> np.ndarray:
    """A contiguous float32 copy."""
    return np.array(values, np.float32, order="C")
