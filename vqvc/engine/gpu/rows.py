"""The state of the GPU engine's streams, and the generation of a frame in plain PyTorch.

This computes the same as ``kernel``, on any device. It is slow on a GPU, since it launches a hundred small kernels per
sample. The inputs of a tap that looks back ``d`` samples are known for the next ``d`` samples, which are therefore
computed with one product.
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
    """Conditioning of ``count`` streams for F frames, on the streams' device.

    frames: (count, F, C). predictor: (count, F, P) and gain: (count, F); None for the categorical output.
    forced: (count, F * hop) int64, classes to use; negative where a class is to be drawn.
    """

    frames: Tensor
    predictor: Tensor | None
    gain: Tensor | None
    forced: Tensor
    temperature: float

    def cut(self, span: int, hop: int) -> Iterator["Inputs"]:
        """Yield parts of up to ``span`` frames of ``hop`` samples."""
        for begin in range(0, self.frames.shape[1], span):
            frames, samples = slice(begin, begin + span), slice(begin * hop, (begin + span) * hop)
            predictor = None if self.predictor is None else self.predictor[:, frames]
            gain = None if self.gain is None else self.gain[:, frames]
            yield Inputs(self.frames[:, frames], predictor, gain, self.forced[:, samples], self.temperature)


class Streams:
    """State of ``count`` streams. Subclasses store the layers' inputs and implement ``synthesize``."""

    move = None  # idle streams cost nothing, since all streams are rows of the same products

    def __init__(self, count: int, hop: int, device: torch.device):
        self.count, self.hop, self.device = count, hop, device
        self.previous = torch.zeros(count, dtype=torch.int64, device=device)
        self.lpc_residual = torch.zeros(count, device=device)
        self.seed, self.position = (torch.zeros(count, dtype=torch.int64, device=device) for _ in range(2))

    @torch.inference_mode()
    def begin(self, rows: Sequence[int], seeds: Sequence[int], positions: Sequence[int]) -> None:
        """Reset streams ``rows``: zeros in every layer, silence before them. See ``scheduler.Streams``."""
        if not len(rows):
            return
        at = torch.as_tensor(list(rows), device=self.device)
        self._forget(at)
        self.lpc_residual[at], self.previous[at] = 0, SILENCE
        self.seed[at] = torch.as_tensor(_signed(seeds), device=self.device)
        self.position[at] = torch.as_tensor(np.array(positions, np.int64), device=self.device)

    def synthesize(self, inputs: Inputs, observe: bool) -> tuple[Tensor, Tensor | None]:
        """Generate F frames: classes (count, F * hop), and with ``observe`` the raw outputs (count, F * hop, O)."""
        raise NotImplementedError

    def _forget(self, at: Tensor) -> None:
        raise NotImplementedError


class Rows(Streams):
    """Streams whose samples are generated in plain PyTorch."""

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
        """Classes (count,) and raw outputs (count, O) of each sample of a frame.

        frame: (count, C). predictor: (P, count), the earliest sample's coefficient first. gain: (count,). forced: (hop,
            count).
        """
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
        """Sum of the skips (count, S) for sample ``t`` of the frame, whose first input is in ``history``."""
        stack, last, half = self.net.stack, len(self.now) - 1, self.gated.shape[2]
        for layer, (dilation, now) in enumerate(zip(stack.dilations, self.now)):
            if t % dilation == 0:  # the past taps of the next ``ahead`` samples
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
        """Draw classes (count,) from raw outputs (count, O), see ``spec.choose``."""
        if prediction is None:
            return _index(raw, u, temperature)[:, 0]
        logit, offset, log_scale = raw.chunk(3, dim=-1)
        chosen = _index(logit, u, temperature)
        mean = prediction + gain * offset.gather(1, chosen)[:, 0]
        scale = (gain.log() + log_scale.gather(1, chosen)[:, 0]).clamp(min=MIN_LOG_SCALE).exp()
        return torch.bucketize(mean + noise * scale, self.edges, right=True)


def _index(weights: Tensor, u: Tensor, temperature: float) -> Tensor:
    """Draw indices (count, 1) from softmax(weights / temperature), with uniform numbers u (count,)."""
    sums = torch.softmax((weights / temperature).double(), dim=-1).cumsum(-1)
    return torch.searchsorted(sums, u[:, None], right=True).clamp(max=weights.shape[1] - 1)


def logistic(v: Tensor, temperature: float) -> Tensor:
    """Draws from a logistic distribution of scale ``temperature``, for numbers v that are uniform in (0, 1)."""
    return temperature * (v.log() - (-v).log1p())


def uniforms(seed: Tensor, position: Tensor, samples: int) -> Tensor:
    """Uniform numbers (2, samples, streams) float64 in (0, 1) for ``position`` and the samples after it.

    See ``spec.uniforms``. Products in int64 wrap around as in uint64; a mask makes shifts logical.
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
    """Integers modulo 2**64, reinterpreted as int64."""
    return np.array([value % WORD for value in values], np.uint64).view(np.int64)
