#!/usr/bin/env python3
"""Samples of speech per second: the compiled loop against an eager PyTorch loop with cached convolutions, in one run.

    python benchmarks/synthesis.py [--sizes 20-64-128-128] [--seconds 5] [--eager-seconds 0.05] [--rounds 2] [--clock cpu] [--json FILE]

eager     the usual public WaveNet loop, written here: float32, one stream, one core (its layers are too
          small to share out); its sums are ours, which is checked before anything is timed. It takes as long for every sample, so that a fraction of a second is enough.
plain     ours, one stream on one core
folded    ours, one utterance of ``--seconds`` cut into streams on all cores, from codes to samples
batched   ours, every lane of every core busy
gpu 1, ... ours on a GPU, where there is one (with --clock wall): so many streams at once, compilation not counted

Rounds alternate and the best of each counts, so that other work on the machine troubles all alike. GFLOP/s are those
that the decoder needs (a stream's warm-up counts for nothing) beside the best matrix product of the machine's own library. On a busy
machine run it on one core (taskset -c 1) with ``--clock cpu``, which counts the seconds of this process alone.
"""

import argparse
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import linear

from vqvc._util import platform
from vqvc._util.atomic import write_json
from vqvc.config import from_dict
from vqvc.conversion import pipeline
from vqvc.engine.cpu import units
from vqvc.engine.cpu.sampler import LANES, Job, Sampler
from vqvc.engine.gpu.sampler import GpuSampler
from vqvc.nn.builder import build_model
from vqvc.nn.vqvae import VQVAE, Conditioning
from vqvc.nn.wavenet import WaveNet

SIZES = {  # layers, dilation cycle, residual, gate, skip
    "20-64-128-128": (20, 10, 64, 128, 128),
    "30-128-256-256": (30, 10, 128, 256, 256),
    "30-256-512-256": (30, 10, 256, 512, 256),
}
RATE, HOP = 16000, 64
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
BATCHED_FRAMES = 8  # of each lane
GPU_STREAMS = (1, 64, 256, 1024)
GPU_FRAMES = 32  # of each stream


class EagerLoop:
    """The reference: one stream, one sample at a time, each layer remembering its inputs in a queue."""

    def __init__(self, net: WaveNet):
        self.net, stack = net, net.stack
        self.layers = [
            (tap[0].T.contiguous(), tap[1].T.contiguous(), residual.T.contiguous(), bias, skip.T.contiguous())
            for tap, residual, bias, skip in zip(stack.tap, stack.residual, stack.residual_bias, stack.skip)
        ]
        width = stack.tap.shape[2]
        self.queues = [deque([torch.zeros(1, width)] * dilation) for dilation in stack.dilations]

    def step(self, previous: torch.Tensor, terms: torch.Tensor) -> torch.Tensor:
        """Logits (1, 256) after the class ``previous`` (1,), conditioning terms (L, 1, G)."""
        x, skips = self.net.embed(previous), self.net.stack.skip_bias
        for (past, present, residual, bias, skip), queue, term in zip(self.layers, self.queues, terms):
            queue.append(x)
            t, s = (linear(queue.popleft(), past) + linear(x, present) + term).chunk(2, dim=1)
            z = torch.tanh(t) * torch.sigmoid(s)
            skips = skips + linear(z, skip)
            x = x + linear(z, residual, bias)
        return self.net.head(skips)

    @torch.inference_mode()
    def synthesize(self, frames: torch.Tensor, samples: int, forced: np.ndarray | None = None) -> torch.Tensor:
        """Logits (samples, 256) of a stream conditioned on frames (F, C)."""
        terms = self.net.stack.frame_terms(frames[:, None])
        previous, found = torch.tensor([128]), []
        for t in range(samples):
            found.append(self.step(previous, terms[:, t // HOP]))
            drawn = torch.multinomial(found[-1].softmax(1), 1)[0]
            previous = drawn if forced is None else torch.tensor([int(forced[t])])
        return torch.cat(found)


def make_model(size: str) -> VQVAE:
    """An untrained model of a size, categorical; speed does not depend on the weights."""
    layers, cycle, residual, gate, skip = SIZES[size]
    decoder = {
        "layers": layers, "dilation_cycle": cycle, "residual_channels": residual, "gate_channels": gate,
        "skip_channels": skip, "output": "categorical", "conditioning_hop": HOP,
    }  # fmt: skip
    torch.manual_seed(0)
    model = (
        build_model(from_dict({"decoder": decoder, "training": {"mel_weight": 0.0}}).model, 1)
        .eval()
        .requires_grad_(False)
    )
    model.wavenet.out.weight.normal_(std=0.02)
    return model


def check_same(model: VQVAE, frames: torch.Tensor) -> None:
    """The reference and ours give the same logits."""
    samples, forced = HOP, np.random.default_rng(0).integers(0, 256, HOP)
    expected = EagerLoop(model.wavenet).synthesize(frames[:1], samples, forced).numpy()
    sampler = Sampler(model, "float32", threads=1)
    conditioning = Conditioning(frames[None, :1], None, None)
    found = sampler.feed(sampler.start(1, [0]), conditioning, forced=forced[None], observe=True)[1][0]
    difference = float(np.abs(found - expected).max())
    if difference > 1e-4:
        raise SystemExit(f"the two loops differ by {difference:.1e}: there is nothing to compare")


def timed(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """Seconds of one call."""
    begin = clock()
    work()
    return clock() - begin


def ceiling(dtype: torch.dtype, clock: Callable[[], float]) -> float:
    """GFLOP/s of the best matrix product of this machine's own library, all cores."""
    best = 0.0
    for rows, size in ((64, 256), (256, 512), (1024, 1024), (2048, 512)):
        a, b = torch.randn(rows, size).to(dtype), torch.randn(size, size).to(dtype)
        count = max(3, int(1e9 / (2 * rows * size * size)))

        def multiply(a=a, b=b, count=count):
            for _ in range(count):
                a @ b

        multiply()
        took = min(timed(multiply, clock) for _ in range(4))
        best = max(best, 2e-9 * rows * size * size * count / took)
    return best


def flops(size: str) -> float:
    """Floating-point operations of the decoder for one sample."""
    layers, _, residual, gate, skip = SIZES[size]
    return 2.0 * (layers * (2 * residual * gate + gate // 2 * (residual + skip)) + skip * skip + skip * 256)


def measure(size: str, args: argparse.Namespace) -> dict[str, float]:
    """Samples per second of every way."""
    model = make_model(size)
    codes = np.random.default_rng(0).integers(0, 512, round(args.seconds * RATE / model.hop_length))
    with torch.no_grad():
        conditioning = model.condition(model.quantizer.lookup(torch.from_numpy(codes)[None]), torch.tensor([0]))
    frames = conditioning.frames[0]
    check_same(model, frames)
    one, all_cores = Sampler(model, args.precision, threads=1), Sampler(model, args.precision)
    part = frames.numpy()[:BATCHED_FRAMES]
    lanes = [Job(part, None, None, seed) for seed in range(LANES * all_cores.threads)]
    plain = Conditioning(frames[None, : RATE // 4 // HOP], None, None)
    request = pipeline.Request(codes, 0, loudness=np.abs(np.sin(np.arange(len(codes)) / 40)))
    eager_samples = round(args.eager_seconds * RATE)
    ways = {
        "eager": (eager_samples, lambda: EagerLoop(model.wavenet).synthesize(frames, eager_samples)),
        "plain": (plain.frames.shape[1] * HOP, lambda: one.feed(one.start(1, [0]), plain)),
        "folded": (len(codes) * model.hop_length, lambda: pipeline.synthesize(model, all_cores, [request])),
        "batched": (len(lanes) * len(part) * HOP, lambda: all_cores.run(lanes)),
    }
    one.feed(one.start(1, [0]), Conditioning(frames[None, :1], None, None))  # compiles, or reads the cache
    all_cores.run(lanes[:1])
    best = dict.fromkeys(ways, 0.0)
    for _ in range(args.rounds):
        for name, (samples, work) in ways.items():
            best[name] = max(best[name], samples / timed(work, CLOCKS[args.clock]))
    return best


def measure_gpu(size: str, args: argparse.Namespace) -> dict[str, float]:
    """Samples per second of all streams together, for each number of streams."""
    model, best = make_model(size), {}
    frames = np.random.default_rng(0).normal(size=(GPU_FRAMES, model.config.decoder.conditioning_channels))
    engine = GpuSampler(model, args.precision)
    for streams in GPU_STREAMS:
        jobs = [Job(frames.astype(np.float32), None, None, seed) for seed in range(streams)]
        engine.run(jobs, lanes=streams)  # compiles

        def work(jobs=jobs):
            engine.run(jobs, lanes=len(jobs))

        took = min(timed(work, time.perf_counter) for _ in range(args.rounds))
        best[f"gpu {streams}"] = streams * GPU_FRAMES * HOP / took
    return best


def main() -> None:
    """Print the table, one block per size."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="decoders to measure")
    p.add_argument("--seconds", type=float, default=5.0, help="length of the folded utterance")
    p.add_argument("--eager-seconds", type=float, default=0.05, help="speech that the eager loop makes")
    p.add_argument("--rounds", type=int, default=2, help="of which the best counts")
    p.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto", help="of ours")
    p.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: for one core of a busy machine")
    p.add_argument("--json", type=Path, help="write samples per second there")
    args = p.parse_args()
    cores = platform.cores()
    if args.clock == "cpu" and cores > 1:
        p.error("--clock cpu adds up what cores do side by side; use it on one core, with taskset -c 1")
    precision = units.PRECISIONS[units.choose(args.precision, trained="bfloat16")]
    limits = {name: ceiling(getattr(torch, name), CLOCKS[args.clock]) for name in dict.fromkeys(("float32", precision))}
    print(f"{cores} cores, {args.clock} clock, torch {torch.__version__}; ours in {precision}, eager in float32")
    torch.set_num_threads(1)
    print("matrix ceiling, all cores: " + ", ".join(f"{name} {limit:.0f} GFLOP/s" for name, limit in limits.items()))
    print(f"eager: {args.eager_seconds:g} s of speech, scaled; folded: one utterance of {args.seconds:g} s")
    results = {}
    for size in args.sizes:
        results[size] = measure(size, args)
        if torch.cuda.is_available() and args.clock == "wall":
            results[size] |= measure_gpu(size, args)
        print(f"\n{size}: {flops(size) / 1e6:.2f} MFLOP a sample")
        print(f"  {'':8}{'samples/s':>12}{'RTF':>9}{'x eager':>9}{'GFLOP/s':>9}{'of ceiling':>12}")
        for way, rate in results[size].items():
            limit = limits["float32"] if way == "eager" else limits[precision]
            done = 1e-9 * rate * flops(size)
            share = "" if way.startswith("gpu") else f"{100 * done / limit:10.1f} %"
            ratio = rate / results[size]["eager"]
            print(
                f"  {way:8}{rate:12,.0f}{RATE / rate:9.3f}{ratio:9.1f}{done:9.1f}{share}",
                flush=True,
            )
    if args.json:
        write_json(
            args.json, {size: {way: round(rate, 1) for way, rate in found.items()} for size, found in results.items()}
        )


if __name__ == "__main__":
    main()
