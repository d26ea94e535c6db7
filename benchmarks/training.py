#!/usr/bin/env python3
"""Waveform samples per second in training (forward and backward): ours against a plain WaveNet, in one run.

    python benchmarks/training.py [--seconds 20] [--device auto|cpu|cuda] [--json FILE]

The plain one is written here in the usual public form: float32, batch-major, one small convolution after another,
conditioning repeated to sample rate. Both have the same sizes, the same 256-class output and the same input; rounds
alternate, and the best round of each counts, so that other work on the machine troubles both alike. On a GPU there are more
sequences in a batch; the share is of the TFLOP/s of the device's best matrix product in ours' number format.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from vqvc._util.platform import keep_freed_memory
from vqvc.nn.likelihood import categorical_nll
from vqvc.nn.precision import working_dtype
from vqvc.nn.wavenet import ResidualStack, WaveNet

SIZES = {"20-64-128-128": (20, 10, 64, 128, 128), "30-256-512-256": (30, 10, 256, 512, 256)}
HOP, CONDITIONING, CLASSES = 64, 128, 256


class PlainWaveNet(nn.Module):
    """The reference: (B, T) classes and (B, C, F) frames -> logits (B, 256, T)."""

    def __init__(self, layers: int, cycle: int, residual: int, gate: int, skip: int):
        super().__init__()
        self.embed = nn.Embedding(CLASSES, residual)
        self.dilations = [2 ** (i % cycle) for i in range(layers)]
        self.conv = nn.ModuleList(nn.Conv1d(residual, gate, 2, dilation=d) for d in self.dilations)
        self.conditioning = nn.ModuleList(nn.Conv1d(CONDITIONING, gate, 1, bias=False) for _ in self.dilations)
        self.residual = nn.ModuleList(nn.Conv1d(gate // 2, residual, 1) for _ in self.dilations)
        self.skip = nn.ModuleList(nn.Conv1d(gate // 2, skip, 1) for _ in self.dilations)
        self.mix, self.out = nn.Conv1d(skip, skip, 1), nn.Conv1d(skip, CLASSES, 1)

    def forward(self, previous: Tensor, frames: Tensor) -> Tensor:
        x = self.embed(previous).transpose(1, 2)
        conditioning = frames.repeat_interleave(HOP, dim=2)
        skips = 0
        for layer, dilation in enumerate(self.dilations):
            a = self.conv[layer](nn.functional.pad(x, (dilation, 0))) + self.conditioning[layer](conditioning)
            t, s = a.chunk(2, dim=1)
            z = torch.tanh(t) * torch.sigmoid(s)
            skips = skips + self.skip[layer](z)
            x = x + self.residual[layer](z)
        return self.out(torch.relu(self.mix(torch.relu(skips))))


def plain_step(model: PlainWaveNet, classes: Tensor, frames: Tensor) -> None:
    """Forward and backward of the reference."""
    previous = nn.functional.pad(classes[:, :-1], (1, 0), value=128)
    nn.functional.cross_entropy(model(previous, frames), classes).backward()
    model.zero_grad(set_to_none=True)


def our_step(model: WaveNet, classes: Tensor, frames: Tensor) -> None:
    """Forward and backward of ours, as the trainer calls it."""
    previous = nn.functional.pad(classes[:, :-1], (1, 0), value=128)
    raw = model(previous, None, frames.transpose(1, 2), working_dtype("bfloat16", classes.device)).transpose(0, 1)
    categorical_nll(raw, classes).mean().backward()
    model.zero_grad(set_to_none=True)


def timed(work, seconds: float, device: torch.device) -> float:
    """Calls of ``work`` per second, over about ``seconds``."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    work()
    together = 5 if device.type == "cuda" else 1  # a GPU is given the next while it works
    begin, count = now(), 0
    while (end := now()) - begin < seconds:
        for _ in range(together):
            work()
        count += together
    return count / (end - begin)


def ceiling(dtype: torch.dtype, device: torch.device) -> float:
    """TFLOP/s of a large matrix product."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2e-12 * size**3 * max(timed(lambda: a @ b, 0.5, device) for _ in range(3))


def flops(layers: int, cycle: int, residual: int, gate: int, skip: int) -> int:
    """Floating-point operations for one sample, forward and backward."""
    return 6 * (layers * (2 * residual * gate + gate // 2 * (residual + skip)) + skip * skip + skip * CLASSES)


def measure(size: tuple[int, ...], seconds: float, device: torch.device) -> tuple[float, float]:
    """Samples per second of the reference and of ours."""
    batch = (8 if device.type == "cpu" else 64) // (1 if size[2] < 128 else 8)
    torch.manual_seed(0)
    classes = torch.randint(0, CLASSES, (batch, 8192), device=device)
    frames = torch.randn(batch, CONDITIONING, classes.shape[1] // HOP, device=device)
    layers, cycle, *widths = size
    plain = PlainWaveNet(*size).to(device)
    ours = WaveNet(ResidualStack(layers, cycle, 2, *widths, CONDITIONING), CLASSES, 0, CLASSES).to(device)
    ways = (lambda: plain_step(plain, classes, frames)), (lambda: our_step(ours, classes, frames))
    rounds = [[classes.numel() * timed(way, seconds / 3, device) for way in ways] for _ in range(3)]
    reference, mine = (max(column) for column in zip(*rounds))
    return reference, mine


def main() -> None:
    """Measure and print; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="per size and side, over three rounds")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: the GPU where there is one"
    )
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    gpu = args.device == "cuda" or (args.device == "auto" and torch.cuda.is_available())
    device = torch.device("cuda" if gpu else "cpu")
    keep_freed_memory()
    dtype = working_dtype("bfloat16", device)
    limit = ceiling(dtype, device)
    where = torch.cuda.get_device_name() if gpu else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {where}, ours in {dtype}, best matrix product {limit:.3g} TFLOP/s")
    figures = {}
    for name, size in SIZES.items():
        reference, mine = measure(size, args.seconds, device)
        figures[name] = {"reference": round(reference), "ours": round(mine)}
        done = 1e-12 * mine * flops(*size)
        print(f"{name}: reference {reference:,.0f}, ours {mine:,.0f} samples/s, ratio {mine / reference:.2f}; "
              f"{done:.3g} TFLOP/s, {100 * done / limit:.0f} % of the best product")  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
