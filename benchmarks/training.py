#!/usr/bin/env python3
"""Waveform samples per second in training (forward and backward): ours against a plain WaveNet, in one run.

    python benchmarks/training.py [--seconds 20] [--json FILE]

The plain one is written here in the usual public form: float32, batch-major, one small convolution after another,
conditioning repeated to sample rate. Both have the same sizes, the same 256-class output and the same input; rounds
alternate, and the best round of each counts, so that other work on the machine troubles both alike.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from vqvc._util.memory import keep_freed_memory
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
        self.told = nn.ModuleList(nn.Conv1d(CONDITIONING, gate, 1, bias=False) for _ in self.dilations)
        self.residual = nn.ModuleList(nn.Conv1d(gate // 2, residual, 1) for _ in self.dilations)
        self.skip = nn.ModuleList(nn.Conv1d(gate // 2, skip, 1) for _ in self.dilations)
        self.mix, self.out = nn.Conv1d(skip, skip, 1), nn.Conv1d(skip, CLASSES, 1)

    def forward(self, previous: Tensor, frames: Tensor) -> Tensor:
        x = self.embed(previous).transpose(1, 2)
        told = frames.repeat_interleave(HOP, dim=2)
        skips = 0
        for layer, dilation in enumerate(self.dilations):
            a = self.conv[layer](nn.functional.pad(x, (dilation, 0))) + self.told[layer](told)
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
    raw = model(previous, None, frames.transpose(1, 2), working_dtype("bfloat16", "cpu")).transpose(0, 1)
    categorical_nll(raw, classes).mean().backward()
    model.zero_grad(set_to_none=True)


def rate(step, model, classes: Tensor, frames: Tensor, seconds: float) -> float:
    """Samples per second over about ``seconds``."""
    step(model, classes, frames)
    begin, count = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        step(model, classes, frames)
        count += 1
    return count * classes.numel() / (time.perf_counter() - begin)


def main() -> None:
    """Measure and print; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="per size and side, over three rounds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    keep_freed_memory()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, ours in {working_dtype('bfloat16', 'cpu')}")
    figures = {}
    for name, (layers, cycle, residual, gate, skip) in SIZES.items():
        batch, time_samples = (8, 8192) if residual < 128 else (1, 8192)
        torch.manual_seed(0)
        classes = torch.randint(0, CLASSES, (batch, time_samples))
        frames = torch.randn(batch, CONDITIONING, time_samples // HOP)
        plain = PlainWaveNet(layers, cycle, residual, gate, skip)
        ours = WaveNet(ResidualStack(layers, cycle, 2, residual, gate, skip, CONDITIONING), CLASSES, 0, CLASSES)
        rounds = [
            (rate(plain_step, plain, classes, frames, args.seconds / 3), rate(our_step, ours, classes, frames, args.seconds / 3))
            for _ in range(3)
        ]
        reference, mine = (max(column) for column in zip(*rounds))
        figures[name] = {"reference": round(reference), "ours": round(mine)}
        print(f"{name}: reference {reference:,.0f}, ours {mine:,.0f} samples/s, ratio {mine / reference:.2f}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
