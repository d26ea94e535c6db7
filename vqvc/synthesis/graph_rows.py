"""What the streams of ``graph`` remember, and the frame of samples that its CUDA graph holds.

A recording has fixed addresses and fixed sizes; hence

- what layers look back at is shifted to the front after every frame, instead of a ring whose slots would move;
- a tap that looks back ``d`` samples is one product for the next ``d`` samples, as its inputs are known by then.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vqvc.nn.features import CLASSES, SILENCE, mulaw_decode, mulaw_edges
from vqvc.nn.likelihood import MIN_LOG_SCALE
from vqvc.nn.vqvae import HINT_GAIN, SURPRISE_LIMIT
from vqvc.nn.wavenet import WaveNet


class Rows:
    """What ``count`` streams remember and are told, at fixed addresses, and the frame that is recorded."""

    @torch.inference_mode()
    def __init__(self, net: WaveNet, count: int, hop: int, order: int, device: torch.device):
        stack = net.stack
        self.net, self.count, self.hop, self.order = net, count, hop, order
        layers, self.kernel, residual, gate = stack.tap.shape
        self.spans = [(self.kernel - 1) * d for d in stack.dilations]  # samples that a layer looks back
        ends = np.cumsum([span + hop for span in self.spans])
        self.now = [int(end) - hop for end in ends]  # where a layer's frame begins in history, its span before it
        kept = np.concatenate([np.arange(now - span, now) for now, span in zip(self.now, self.spans)])

        def zeros(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return torch.zeros(shape, dtype=dtype, device=device)

        self.history = zeros(int(ends[-1]), count, residual, dtype=stack.tap.dtype)  # the inputs of all layers
        self.kept = torch.as_tensor(kept, dtype=torch.int64, device=device)
        self.gated = zeros(count, layers, gate // 2, dtype=stack.tap.dtype)
        self.signal = zeros(order + hop, count)  # amplitudes, the last ``order`` of the frame before first
        self.previous, self.surprise = zeros(count, dtype=torch.int64), zeros(count)
        self.seed, self.position = zeros(count, dtype=torch.int64), zeros(count, dtype=torch.int64)
        # told before a frame
        self.frame = zeros(count, stack.frame.shape[0])
        self.predictor, self.gain = zeros(order, count), zeros(count) + 1
        self.forced = zeros(hop, count, dtype=torch.int64)
        self.temperature = zeros(dtype=torch.float64) + 1
        # found after it
        self.classes, self.raw = zeros(hop, count, dtype=torch.int64), []
        self.amplitudes = mulaw_decode(torch.arange(CLASSES)).to(device)
        self.edges = mulaw_edges()[1:-1].double().to(device)
        self.graph = self._record() if device.type == "cuda" else None

    def _record(self) -> torch.cuda.CUDAGraph:
        """The frame as a graph; run once before, as libraries set themselves up on their first call."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self._frame()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._frame()
        return graph

    @torch.inference_mode()
    def begin(self, rows: Sequence[int], seeds: Sequence[int], positions: Sequence[int]) -> None:
        """Let some rows start anew: zeros in every layer, silence before them."""
        if not len(rows):
            return
        at = torch.as_tensor(list(rows), device=self.history.device)
        self.history[:, at], self.signal[:, at], self.surprise[at], self.previous[at] = 0, 0, 0, SILENCE
        self.seed[at] = torch.as_tensor(_signed(seeds), device=at.device)
        self.position[at] = torch.as_tensor(np.array(positions, np.int64), device=at.device)

    def advance(self) -> None:
        """Say a frame of what was told."""
        if self.graph is None:
            self._frame()
        else:
            self.graph.replay()

    def _frame(self) -> None:
        net, order = self.net, self.order
        terms = net.stack.frame_terms(self.frame.to(self.history.dtype)[None])
        gates = terms.repeat(1, self.hop, 1, 1)  # (L, hop, count, G), to which the layers add
        u, v = uniforms(self.seed, self.position, self.hop)
        noise, log_gain = self.temperature * (v.log() - (-v).log1p()), self.gain.log()
        given, previous, surprise, prediction = self.forced >= 0, self.previous, self.surprise, None
        said, self.raw = [], []
        for t in range(self.hop):
            x = net.embed(previous)
            if order:
                prediction = (self.signal[t : t + order] * self.predictor).sum(0)
                x = x + net.hint(torch.stack([prediction * HINT_GAIN, surprise], dim=-1))
            self.history[self.now[0] + t].copy_(x)
            raw = net.head(self._layers(gates, t))
            drawn = self._draw(raw, u[t], noise[t], prediction, log_gain)
            previous = torch.where(given[t], self.forced[t], drawn)
            if order:
                amplitude = torch.index_select(self.amplitudes, 0, previous, out=self.signal[order + t])
                surprise = ((amplitude - prediction) / self.gain).clamp(-SURPRISE_LIMIT, SURPRISE_LIMIT)
            said.append(previous)
            self.raw.append(raw)
        torch.stack(said, out=self.classes)
        self.previous.copy_(previous)
        self.surprise.copy_(surprise)
        self.position += self.hop
        self.signal[:order] = self.signal[self.hop :].clone()
        self.history.index_copy_(0, self.kept, self.history.index_select(0, self.kept + self.hop))

    def _layers(self, gates: Tensor, t: int) -> Tensor:
        """Sum of the skips (count, S) of sample ``t`` of the frame, whose input is in history."""
        stack, last, half = self.net.stack, len(self.now) - 1, self.gated.shape[2]
        for layer, (dilation, now) in enumerate(zip(stack.dilations, self.now)):
            if t % dilation == 0:  # what is known by now of the next ``ahead`` samples
                ahead = min(dilation, self.hop - t)
                for k in range(self.kernel - 1):
                    back = now + t - (self.kernel - 1 - k) * dilation
                    inputs = self.history[back : back + ahead].flatten(0, 1)
                    gates[layer, t : t + ahead].flatten(0, 1).addmm_(inputs, stack.tap[layer, k])
            x, gate, z = self.history[now + t], gates[layer, t], self.gated[:, layer]
            gate.addmm_(x, stack.tap[layer, -1])
            gate[:, :half].tanh_()
            torch.ops.aten.glu.out(gate, 1, out=z)  # first half times sigmoid of the second
            if layer < last:
                step = torch.addmm(stack.residual_bias[layer], z, stack.residual[layer])
                torch.add(x, step, out=self.history[self.now[layer + 1] + t])
        return torch.addmm(stack.skip_bias, self.gated.flatten(1), stack.skip.flatten(0, 1))

    def _draw(self, raw: Tensor, u: Tensor, noise: Tensor, prediction: Tensor | None, log_gain: Tensor) -> Tensor:
        """Classes (count,) from raw outputs, as ``kernels`` draws them."""
        if prediction is None:
            return self._index(raw, u)[:, 0]
        logit, offset, log_scale = raw.chunk(3, dim=-1)
        chosen = self._index(logit, u)
        mean = prediction + self.gain * offset.gather(1, chosen)[:, 0]
        scale = (log_gain + log_scale.gather(1, chosen)[:, 0]).clamp(min=MIN_LOG_SCALE).exp()
        return torch.bucketize(mean + noise * scale, self.edges, right=True)

    def _index(self, weights: Tensor, u: Tensor) -> Tensor:
        """Indices (count, 1) drawn from softmax(weights / temperature) by its cumulative sum."""
        sums = torch.softmax((weights / self.temperature).double(), dim=-1).cumsum(-1)
        return torch.searchsorted(sums, u[:, None], right=True).clamp(max=weights.shape[1] - 1)


def uniforms(seed: Tensor, position: Tensor, samples: int) -> Tensor:
    """(2, samples, streams) float64 in (0, 1), of each seed at ``position`` and after: SplitMix64 as in ``kernels``.

    Products wrap around in int64 as they do in uint64; shifts are made logical by a mask.
    """
    which = torch.arange(2, device=seed.device)[:, None, None]
    place = position + torch.arange(samples, device=seed.device)[:, None]
    z = seed + (2 * place + which + 1) * _signed([0x9E3779B97F4A7C15]).item()
    z = (z ^ _right(z, 30)) * _signed([0xBF58476D1CE4E5B9]).item()
    z = (z ^ _right(z, 27)) * _signed([0x94D049BB133111EB]).item()
    z = z ^ _right(z, 31)
    return (_right(z, 11).double() + 0.5) / 2**53


def _right(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & (2 ** (64 - bits) - 1)


def _signed(values: Sequence[int]) -> np.ndarray:
    """Whole numbers modulo 2**64 as int64."""
    return np.array([value % 2**64 for value in values], np.uint64).view(np.int64)
