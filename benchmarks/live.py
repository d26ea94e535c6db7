#!/usr/bin/env python3
"""How a stream keeps up: real-time factor, time of a block, latency and dropouts, on one core.

    python benchmarks/live.py [--model FILE] [--speaker p225] [--src a.wav] [--seconds 20] [--block-ms 20] [--rounds 3]
                              [--realtime] [--cushion-ms 40] [--clock cpu] [--json FILE]

RTF          seconds of work for a second of speech
median, 99 % time of a block of ``--block-ms`` of speech, which must stay below its length
latency      counted, in its parts; two blocks, a cushion and the devices come on top
decoder      RTF of the sampling loop alone
late         time from a block's arrival until its output was played, with ``--realtime``

Without ``--realtime`` blocks follow each other at once, rounds are repeated and the one with the least median counts, so that other work on
the machine troubles it less; ``--clock cpu`` counts the seconds of this process alone. With it, one round takes ``--seconds`` by the clock,
and dropouts are counted as ``vqvc-live`` counts them: blocks that were later than a block and the cushion.
VQVC_UNIT chooses the unit of the sampling loop; NUMBA_CPU_NAME=x86-64 with NUMBA_CPU_FEATURES=+avx2,+fma makes it for AVX2.
"""

import argparse
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from vqvc._util import atomic
from vqvc.cli._common import parser, run
from vqvc.cli._models import add_model

LATE = (0.5, 0.99, 0.999, 1.0)  # shares of the blocks
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    p = parser("Measure how a stream keeps up, on one core.")
    add_model(p)
    p.add_argument("--speaker", help="the target; the model's first")
    p.add_argument("--src", type=Path, help="a recording, repeated as often as needed; a hummed tone without")
    p.add_argument("--seconds", type=float, default=20.0, help="of speech in a round")
    p.add_argument("--block-ms", type=float, default=20.0)
    p.add_argument("--rate", type=int, help="Hz of the blocks; the model's, without resampling")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--realtime", action="store_true", help="by the clock, with dropouts; one round")
    p.add_argument("--cushion-ms", type=float, help="of converted speech that is kept ready; two blocks")
    p.add_argument("--no-postfilter", action="store_true")
    p.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    p.add_argument("--json", type=Path, help="write the figures there too")
    return p


def hum(seconds: float, rate: int) -> np.ndarray:
    """A buzz of moving pitch and loudness: (T,) float32."""
    time_s = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(140 + 30 * np.sin(2 * np.pi * 0.7 * time_s)) / rate
    buzz = sum(np.sin(k * phase) / k for k in range(1, 12))
    return (0.05 * buzz * (0.3 + 0.7 * np.sin(2 * np.pi * 2 * time_s) ** 2)).astype(np.float32)


def work(args: argparse.Namespace) -> None:
    """Measure and print."""
    import torch

    import vqvc
    from vqvc.audio import io
    from vqvc.conversion.live import Figures, Pace, Playout, blocks_of, converted, cushion_samples
    from vqvc.engine.cpu.sampler import Sampler

    torch.set_num_threads(1)
    converter = vqvc.load(args.model, "cpu")
    rate = args.rate or converter.sample_rate
    source = hum(args.seconds, rate) if args.src is None else io.read(args.src, rate).samples
    samples = np.resize(source, round(args.seconds * rate))
    speaker = args.speaker or converter.speakers[0]
    size = max(round(rate * args.block_ms / 1000), 1)

    def stream():
        return converter.stream(speaker, sample_rate=rate, postfilter=not args.no_postfilter)

    warm = stream()
    for block in blocks_of([samples[:rate]], size):
        warm.convert(block)
    clock, found = CLOCKS[args.clock], []
    cushion = cushion_samples(args.cushion_ms, size, rate)
    for _ in range(1 if args.realtime else args.rounds):
        one, figures = stream(), Figures(rate)
        playout = Playout(one.latency_samples + size + cushion)
        pace = Pace(rate, playout) if args.realtime else None
        blocks = blocks_of([samples], size)
        for made in converted(pace.blocks(blocks) if pace else blocks, one, figures, clock):
            if pace:
                pace.play(made)
        found.append((figures, playout, pace))
    figures, playout, pace = min(found, key=lambda round_: round_[0].percentile_ms(0.5))
    sampler = Sampler(converter.model, threads=1)
    result = {
        "model": converter.checksum[:12], "unit": sampler.unit, "rate": rate, "block_ms": args.block_ms, "seconds": args.seconds,
        "clock": args.clock, "rtf": figures.real_time_factor, "decoder_rtf": decoder_rtf(converter, sampler, clock, args.rounds),
        "median_ms": figures.percentile_ms(0.5), "p99_ms": figures.percentile_ms(0.99), "longest_ms": figures.percentile_ms(1.0),
        "latency_ms": 1000 * warm.latency_samples / rate,
        "latency_parts_ms": {name: 1000 * value / rate for name, value in asdict(warm.latency).items()},
        "dropouts": playout.dropouts if pace else None,
        "late_ms": {f"{100 * share:g} %": 1000 * float(np.quantile(pace.late_s, share)) for share in LATE} if pace else None,
    }  # fmt: skip
    parts = ", ".join(f"{name} {value:.1f}" for name, value in result["latency_parts_ms"].items() if value)
    print(
        f"{result['unit']}, {rate} Hz, blocks of {args.block_ms:g} ms, {args.seconds:g} s of speech, {args.clock} clock"
    )
    print(f"RTF {result['rtf']:.3f} (decoder {result['decoder_rtf']:.3f})")
    print(
        f"block: median {result['median_ms']:.1f} ms, 99 % {result['p99_ms']:.1f} ms, longest {result['longest_ms']:.1f} ms"
    )
    print(f"latency {result['latency_ms']:.1f} ms: {parts}")
    if args.realtime:
        late = ", ".join(f"{value:.1f} ms ({share})" for share, value in result["late_ms"].items())
        print(f"late {late}; {result['dropouts']} dropouts with a cushion of {1000 * cushion / rate:g} ms")
    if args.json:
        atomic.write_json(args.json, result)


def decoder_rtf(converter, sampler, clock, rounds: int) -> float:
    """Of the sampling loop alone for one stream, five frames at a time; the best round."""
    import torch

    model, rng = converter.model, torch.Generator().manual_seed(0)
    codes = torch.randint(len(model.quantizer.codebook), (1, 250), generator=rng)
    with torch.inference_mode():
        conditioning = model.condition(model.quantizer.lookup(codes), torch.tensor([0]))
    frames = conditioning.frames.shape[1]
    best = float("inf")
    for _ in range(rounds):
        state, begin = sampler.start(1, [0]), clock()
        for first in range(0, frames, 5):
            sampler.feed(state, conditioning[:, first : first + 5])
        best = min(best, (clock() - begin) / (frames * sampler.hop / converter.sample_rate))
    return best


if __name__ == "__main__":
    raise SystemExit(run(make_parser, work))
