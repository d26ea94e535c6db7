"""The state of the GPU engine's streams, and how a frame of samples is generated, in plain PyTorch.

This is what ``kernel`` computes, for any device: slow on a GPU, as it launches a hundred small kernels a sample. A
tap that looks back ``d`` samples is one product for the next ``d`` samples, as its inputs are known by then.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vqvc.engine.spec import GOLDEN, MIX_1, MIX_2, WORD
from vqvc.nn.features import CLASSES, SILENCE, mulaw_decode, mulaw_edges
from vqvc.nn.likelihood import MIN_LOG_SCALE
from vqvc.nn.linear_prediction import LPC_INPUT_GAIN, LPC_RESIDUAL_LIMIT
from vqvc.nn.wavenet import WaveNet


@dataclass(frozen=True)
class Inputs:
    """What some streams are advanced by: F conditioning frames and what is drawn with them, all on the streams' device.

    frames: (count, F, C); predictor: (count, F, P) and gain: (count, F), None for the categorical output. forced:
    (count, F * hop) int64, negative where a class is to be drawn.
    """

    frames: Tensor
    predictor: Tensor | None
    gain: Tensor | None
    forced: Tensor
    temperature: float

    def cut(self, span: int, hop: int) -> Iterator["Inputs"]:
        """The same in parts of up to ``span`` frames of ``hop`` samples."""
        for begin in range(0, self.frames.shape[1], span):
            frames, samples = slice(begin, begin + span), slice(begin * hop, (begin + span) * hop)
            lpc = (None if each is None else each[:, frames] for each in (self.predictor, self.gain))
            yield Inputs(self.frames[:, frames], *lpc, self.forced[:, samples], self.temperature)


class Streams:
    """State of ``count`` streams but for the layers' inputs; subclasses hold these and implement ``synthesize``."""

    move = None  # an idle stream costs nothing: all of them are rows of the same products

    def __init__(self, count: int, hop: int, device: torch.device):
        self.count, self.hop, self.device = count, hop, device
        self.previous = torch.zeros(count, dtype=torch.int64, device=device)
        self.lpc_residual = torch.zeros(count, device=device)
        self.seed, self.position = (torch.zeros(count, dtype=torch.int64, device=device) for _ in range(2))

    @torch.inference_mode()
    def begin(self, rows: Sequence[int], seeds: Sequence[int], positions: Sequence[int]) -> None:
        """Start some rows again: zeros in every layer, silence before them."""
        if not len(rows):
            return
        at = torch.as_tensor(list(rows), device=self.device)
        self._forget(at)
        self.lpc_residual[at], self.previous[at] = 0, SILENCE
        self.seed[at] = torch.as_tensor(_signed(seeds), device=self.device)
        self.position[at] = torch.as_tensor(np.array(positions, np.int64), device=self.device)

    def synthesize(self, inputs: Inputs, observe: bool) -> tuple[Tensor, Tensor | None]:
        """Classes (count, F * hop) for F conditioning frames, and with ``observe`` the raw outputs (count, F * hop, O)."""
        raise NotImplementedError

    def _forget(self, at: Tensor) -> None:
        raise NotImplementedError


class Rows(Streams):
    """The streams in plain PyTorch."""

    @torch.inference_mode()
    def __init__(self, net: WaveNet, count: int, hop: int, order: int, device: torch.device):
        super().__init__(count, hop, device)
        self.net, stack, self.order = net, net.stack, order
        layers, self.kernel, residual, gate = stack.tap.shape
        spans = [(self.kernel - 1) * d for d in stack.dilations]  # samples that a layer looks back
        ends = np.cumsum([span + hop for span in spans])
        self.now = [int(end) - hop for end in ends]  # where a layer's frame begins in history, its span before it
        kept = np.concatenate([np.arange(now - span, now) for now, span in zip(self.now, spans)])
        kind = {"dtype": stack.tap.dtype, "device": device}
        self.kept = torch.as_tensor(kept, dtype=torch.int64, device=device)
        self.history = torch.zeros(int(ends[-1]), count, residual, **kind)  # the inputs of all layers
        self.gated = torch.zeros(count, layers, gate // 2, **kind)
        self.signal = torch.zeros(order + hop, count, device=device)  # amplitudes, the last ``order`` before the frame
        self.amplitudes = mulaw_decode(torch.arange(CLASSES)).to(device)
        self.edges = mulaw_edges()[1:-1].double().to(device)

    def _forget(self, at: Tensor) -> None:
        self.history[:, at], self.signal[:, at] = 0, 0

    def synthesize(self, inputs: Inputs, observe: bool) -> tuple[Tensor, Tensor | None]:
        """See ``Streams.synthesize``."""
        classes, raw = [inputs.forced[:, :0]], []
        for part in inputs.cut(1, self.hop):
            lpc_inputs = (part.predictor[:, 0].flip(1).T, part.gain[:, 0]) if self.order else (None, None)
            drawn, outputs = self._frame(part.frames[:, 0], *lpc_inputs, part.forced.T, part.temperature)
            classes.append(torch.stack(drawn, 1))
            raw += outputs if observe else []
        return torch.cat(classes, 1), torch.stack(raw, 1) if raw else None

    def _frame(self, frame, predictor, gain, forced, temperature) -> tuple[list[Tensor], list[Tensor]]:
        """Classes (count,) and raw outputs (count, O) of every sample; predictor is (P, count), forced (hop, count)."""
        net, order = self.net, self.order
        terms = net.stack.frame_terms(frame.to(self.history.dtype)[None])
        gates = terms.repeat(1, self.hop, 1, 1)  # (L, hop, count, G), to which the layers add
        u, v = uniforms(self.seed, self.position, self.hop)
        noise = logistic(v, temperature)
        given, prediction, classes, raw = forced >= 0, None, [], []
        for t in range(self.hop):
            x = net.embed(self.previous)
            if order:
                prediction = (self.signal[t : t + order] * predictor).sum(0)
                x = x + net.lpc_input(torch.stack([prediction * LPC_INPUT_GAIN, self.lpc_residual], dim=-1))
            self.history[self.now[0] + t].copy_(x)
            raw.append(net.head(self._layers(gates, t)))
            drawn = self._draw(raw[-1], u[t], noise[t], prediction, gain, temperature)
            self.previous = torch.where(given[t], forced[t], drawn)
            if order:
                amplitude = torch.index_select(self.amplitudes, 0, self.previous, out=self.signal[order + t])
                self.lpc_residual = ((amplitude - prediction) / gain).clamp(-LPC_RESIDUAL_LIMIT, LPC_RESIDUAL_LIMIT)
            classes.append(self.previous)
        self.position += self.hop
        self.signal[:order] = self.signal[self.hop :].clone()
        self.history.index_copy_(0, self.kept, self.history.index_select(0, self.kept + self.hop))
        return classes, raw

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

    def _draw(self, raw, u, noise, prediction, gain, temperature) -> Tensor:
        """Classes (count,) from raw outputs, as ``kernels`` draws them."""
        if prediction is None:
            return _index(raw, u, temperature)[:, 0]
        logit, offset, log_scale = raw.chunk(3, dim=-1)
        chosen = _index(logit, u, temperature)
        mean = prediction + gain * offset.gather(1, chosen)[:, 0]
        scale = (gain.log() + log_scale.gather(1, chosen)[:, 0]).clamp(min=MIN_LOG_SCALE).exp()
        return torch.bucketize(mean + noise * scale, self.edges, right=True)


def _index(weights: Tensor, u: Tensor, temperature: float) -> Tensor:
    """Indices (count, 1) drawn from softmax(weights / temperature) by its cumulative sum."""
    sums = torch.softmax((weights / temperature).double(), dim=-1).cumsum(-1)
    return torch.searchsorted(sums, u[:, None], right=True).clamp(max=weights.shape[1] - 1)


def logistic(v: Tensor, temperature: float) -> Tensor:
    """Draws from a logistic distribution, wider by ``temperature``, for uniform ones."""
    return temperature * (v.log() - (-v).log1p())


def uniforms(seed: Tensor, position: Tensor, samples: int) -> Tensor:
    """(2, samples, streams) float64 in (0, 1), of each seed at ``position`` and after: SplitMix64 as in ``kernels``.

    Products wrap around in int64 as they do in uint64; shifts are made logical by a mask.
    """
    which = torch.arange(2, device=seed.device)[:, None, None]
    place = position + torch.arange(samples, device=seed.device)[:, None]
    z = seed + (2 * place + which + 1) * _signed([GOLDEN]).item()
    z = (z ^ _right(z, 30)) * _signed([MIX_1]).item()
    z = (z ^ _right(z, 27)) * _signed([MIX_2]).item()
    z = z ^ _right(z, 31)
    return (_right(z, 11).double() + 0.5) / 2**53


def _right(z: Tensor, bits: int) -> Tensor:
    return (z >> bits) & (2 ** (64 - bits) - 1)


def _signed(values: Sequence[int]) -> np.ndarray:
    """Whole numbers modulo 2**64 as int64."""
    return np.array([value % WORD for value in values], np.uint64).view(np.int64)
