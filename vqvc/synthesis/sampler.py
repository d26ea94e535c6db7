"""The cached loop: a WaveNet that says samples one after the other, for one stream or many.

    sampler = Sampler(model)
    state = sampler.start(streams=2, seeds=[1, 2])
    classes = sampler.feed(state, told)      # as often as there is something to tell; the state carries on

``run`` takes a list of jobs of any length instead and keeps all lanes of all cores busy with them. Either way a
stream's samples depend on its seed, its position and what it is told, not on its neighbours.
"""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from vqvc.errors import UsageError
from vqvc.nn.features import CLASSES, mulaw_decode
from vqvc.nn.vqvae import HINTS, VQVAE, Told
from vqvc.synthesis import kernels
from vqvc.synthesis.blocks import HAS_BFLOAT16, PANEL, aligned, empty, pack, padded

logger = logging.getLogger("vqvc.synthesis")

PRECISIONS = ("auto", "float32", "bfloat16")
LANES = 16  # streams that one core works on at a time
SPAN = 8  # frames that lanes advance between two looks at the list of jobs


@dataclass
class State:
    """Where some streams are; made by ``Sampler.start``. ``active`` counts the rows in use."""

    buffers: kernels.Buffers
    active: int


@dataclass(frozen=True)
class Job:
    """One stretch of speech to be said from a cold start.

    frames: (F, C); predictor: (F, P) and gain: (F,) or None for the categorical output; float32.
    seed: of its draws; position: of its first sample in the recording, so that draws belong to places.
    """

    frames: np.ndarray
    predictor: np.ndarray | None
    gain: np.ndarray | None
    seed: int
    position: int = 0


@dataclass
class _Lane:
    index: int
    job: Job
    classes: np.ndarray
    done: int = 0  # frames
    last: int = field(init=False)

    def __post_init__(self) -> None:
        self.last = len(self.job.frames)


class Sampler:
    """A model's decoder, packed for the compiled loop.

    precision: "float32" equals the network within 1e-4; "bfloat16" rounds as training did and is about twice as
    fast; "auto" is the precision of training where the processor has bfloat16 products, float32 elsewhere.
    threads: cores to use, all that there are when None.
    """

    def __init__(self, model: VQVAE, precision: str = "auto", threads: int | None = None):
        if precision not in PRECISIONS:
            raise UsageError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
        if precision == "bfloat16" and not HAS_BFLOAT16:
            raise UsageError("this processor has no bfloat16 products; use precision float32")
        if precision == "auto":
            precision = "bfloat16" if HAS_BFLOAT16 and model.config.training.precision == "bfloat16" else "float32"
        self.precision = precision
        self.threads = threads or len(os.sched_getaffinity(0))
        self.streams = LANES * self.threads  # that ``run`` keeps busy
        self.mixture = model.mixture
        self.order = model.config.decoder.lpc_order if model.mixture else 1
        self.hop = model.config.decoder.conditioning_hop
        self.receptive_field = model.wavenet.stack.receptive_field
        self.sizes, self.weights = _packed(model, precision == "bfloat16")

    def start(self, streams: int, seeds: Sequence[int], positions: Sequence[int] | None = None) -> State:
        """State of ``streams`` streams that have said nothing yet."""
        buffers = _buffers(self.sizes, self.weights, streams, self.order, self.precision == "bfloat16")
        for stream in range(streams):
            buffers.seed[stream] = seeds[stream] % 2**64
            buffers.position[stream] = positions[stream] if positions is not None else 0
        return State(buffers, streams)

    def feed(
        self,
        state: State,
        told: Told,
        temperature: float = 1.0,
        forced: np.ndarray | None = None,
        observe: bool = False,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Classes (streams, F * hop) uint8 for what F more frames tell.

        forced: (streams, up to F * hop) classes to take instead of drawing. With ``observe`` also the raw outputs
        (streams, F * hop, outputs) float32 that the draws were made from.
        """
        arrays = [told.frames, told.predictor, told.log_gain.exp() if self.mixture else None]
        arrays = [None if tensor is None else tensor.detach().float().numpy() for tensor in arrays]
        return self._advance(state, *arrays, temperature, forced, observe)

    def _advance(self, state, frames, predictor, gain, temperature, forced=None, observe=False):
        streams, count, _ = frames.shape
        if not temperature > 0:
            raise UsageError(f"temperature {temperature}: must be above 0 (1 speaks as the model learned)")
        if predictor is None:
            predictor, gain = np.zeros((streams, 0, 1), np.float32), np.ones((streams, 0), np.float32)
        samples = count * self.hop
        classes = np.zeros((streams, samples), np.uint8)
        given = np.zeros((streams, 0), np.int64) if forced is None else np.array(forced, np.int64)
        shape = (streams, samples, self.sizes.outputs) if observe else (0, 0, 0)
        observed = np.zeros(shape, np.float32)
        frames, predictor, gain = (np.array(part, np.float32, order="C") for part in (frames, predictor, gain))
        with _told_if_slow():
            kernels.advance(
                streams, self.sizes, self.weights, state.buffers, frames, predictor, gain, np.float32(temperature),
                given, classes, observed,
            )  # fmt: skip
        return (classes, observed) if observe else classes

    def run(
        self,
        jobs: Sequence[Job],
        temperature: float = 1.0,
        lanes: int = LANES,
        progress: Callable[[int], None] = lambda samples: None,
    ) -> list[np.ndarray]:
        """Classes (F * hop,) uint8 of every job, with up to ``lanes`` of them at a time on each core.

        progress: called from the workers with the number of samples that were just made.
        """
        order = iter(sorted(range(len(jobs)), key=lambda i: -len(jobs[i].frames)))
        results: list[np.ndarray] = [np.zeros(len(job.frames) * self.hop, np.uint8) for job in jobs]
        lock = threading.Lock()

        def next_lane() -> _Lane | None:
            with lock:
                index = next(order, None)
            return None if index is None else _Lane(index, jobs[index], results[index])

        workers = max(1, min(self.threads, len(jobs)))
        lanes = min(lanes, -(-len(jobs) // workers))
        if workers == 1:
            self._work(next_lane, lanes, temperature, progress)
            return results
        with ThreadPoolExecutor(workers) as pool:
            for done in [pool.submit(self._work, next_lane, lanes, temperature, progress) for _ in range(workers)]:
                done.result()
        return results

    def _work(self, next_lane, count: int, temperature: float, progress) -> None:
        """One core's share: lanes that take the next job when they have finished one, until there are no more."""
        state = self.start(count, [0] * count)
        lanes: list[_Lane] = []
        while True:
            while len(lanes) < count and (lane := next_lane()) is not None:
                self._begin(state, len(lanes), lane.job)
                lanes.append(lane)
            if not lanes:
                return
            span = min(SPAN, min(lane.last - lane.done for lane in lanes))
            parts = [(lane.job, slice(lane.done, lane.done + span)) for lane in lanes]
            frames = np.stack([job.frames[part] for job, part in parts])
            predictor = np.stack([job.predictor[part] for job, part in parts]) if self.mixture else None
            gain = np.stack([job.gain[part] for job, part in parts]) if self.mixture else None
            classes = self._advance(state, frames, predictor, gain, temperature)
            for row, lane in enumerate(lanes):
                lane.classes[lane.done * self.hop : (lane.done + span) * self.hop] = classes[row]
                lane.done += span
            progress(classes.size)
            for row in reversed([row for row, lane in enumerate(lanes) if lane.done == lane.last]):
                last = lanes.pop()
                if row < len(lanes):
                    lanes[row] = last
                    kernels.move(len(lanes), row, self.sizes, self.weights, state.buffers)

    def _begin(self, state: State, row: int, job: Job) -> None:
        kernels.clear(row, self.sizes, self.weights, state.buffers)
        state.buffers.seed[row] = job.seed % 2**64
        state.buffers.position[row] = job.position


@contextmanager
def _told_if_slow(after_s: float = 1.0):
    """Say what is going on when the first call has to compile the loop."""
    if kernels.advance.signatures:
        yield
        return
    say = "compiling the sampling loop for this processor; this happens once and takes up to half a minute"
    timer = threading.Timer(after_s, logger.info, (say,))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _packed(model: VQVAE, bfloat16: bool) -> tuple[kernels.Sizes, kernels.Weights]:
    """The decoder's weights in the order of the compiled loop; every width padded with zeros."""
    net, stack = model.wavenet, model.wavenet.stack
    layers, kernel, residual, gate = stack.tap.shape
    half, skip, conditioning = gate // 2, stack.skip.shape[2], stack.frame.shape[0]
    outputs = net.out.weight.shape[0]
    r, h, s, c = (padded(width) for width in (residual, half, skip, conditioning))
    g, x_width = padded(2 * h, PANEL), padded(r + s, PANEL)

    def halves(weight: Tensor) -> np.ndarray:
        """(..., 2 * half) to (..., g): tanh's half from 0, sigmoid's from h."""
        array = _array(weight)
        result = np.zeros((*array.shape[:-1], g), np.float32)
        result[..., :half], result[..., h : h + half] = array[..., :half], array[..., half:]
        return result

    def widened(weight: Tensor, width: int) -> np.ndarray:
        array = _array(weight)
        return _own(np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, width - array.shape[-1])]))

    tap = halves(stack.tap)
    mixed = np.concatenate([widened(stack.residual, r), widened(stack.skip, x_width - r)], axis=2)
    frame = halves(stack.frame.view(conditioning, layers, gate)).reshape(conditioning, layers * g)
    sizes = kernels.Sizes(
        kernel, r, h, s, c, outputs, model.config.decoder.mixtures if model.mixture else 0,
        model.config.decoder.conditioning_hop,
    )  # fmt: skip
    weights = kernels.Weights(
        tap=aligned(np.concatenate([pack(tap[layer, k], r, bfloat16) for layer in range(layers) for k in range(kernel)])),
        mixed=aligned(np.concatenate([pack(mixed[layer], h, bfloat16) for layer in range(layers)])),
        residual_bias=widened(stack.residual_bias, r),
        skip_bias=widened(stack.skip_bias, s),
        frame=pack(frame, c, bfloat16),
        frame_bias=_own(halves(stack.frame_bias.view(layers, gate)).reshape(-1)),
        embed=widened(net.embed.weight, r),
        hint=widened(net.hint.weight.T, r) if net.hint is not None else np.zeros((HINTS, r), np.float32),
        mix=pack(_array(net.mix.weight.T), s, bfloat16),
        mix_bias=widened(net.mix.bias, padded(skip, PANEL)),
        out=pack(_array(net.out.weight.T), s, False),
        out_bias=widened(net.out.bias, padded(outputs, PANEL)),
        amplitudes=_own(mulaw_decode(torch.arange(CLASSES)).numpy()),
        dilations=np.array(stack.dilations, np.int64),
    )
    return sizes, weights


def _buffers(size: kernels.Sizes, weights: kernels.Weights, streams: int, order: int, bfloat16: bool) -> kernels.Buffers:
    narrow = np.uint16 if bfloat16 else np.float32
    lengths = ((size.kernel - 1) * weights.dilations + 1) * streams * size.residual
    starts = np.concatenate([[0], np.cumsum(lengths)])

    def zeros(width: int, dtype: type = np.float32) -> np.ndarray:
        flat = empty(streams * width, dtype)
        flat[:] = 0
        return flat.reshape(streams, width)

    ring = empty(int(starts[-1]), narrow)
    ring[:] = 0
    return kernels.Buffers(
        ring=ring,
        ring_at=starts[:-1].astype(np.int64),
        slot=np.zeros(len(weights.dilations), np.int64),
        previous=np.full(streams, kernels.SILENCE, np.int64),
        past=zeros(order),
        surprise=np.zeros(streams, np.float32),
        seed=np.zeros(streams, np.uint64),
        position=np.zeros(streams, np.int64),
        terms=zeros(len(weights.frame_bias)),
        gate=zeros(padded(2 * size.half, PANEL)),
        gated=zeros(size.half, narrow),
        x=zeros(padded(size.residual + size.skip, PANEL)),
        head=zeros(size.skip, narrow),
        hidden=zeros(len(weights.mix_bias)),
        hidden_in=zeros(size.skip),
        raw=zeros(len(weights.out_bias)),
        told=zeros(size.conditioning, narrow),
    )


def _array(weight: Tensor) -> np.ndarray:
    return weight.detach().float().cpu().numpy()


def _own(values: np.ndarray) -> np.ndarray:
    return np.array(values, np.float32, order="C")
