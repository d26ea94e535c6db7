"""The WaveNet (van den Oord et al. 2016): gated dilated causal convolutions with conditioning frames.

Sequences are time-major, (T, B, C): a shift in time is then a contiguous slice, every layer is a few matrix products
without copies, and the products of many small convolutions become few large ones. The gradient is written by hand
for the same reason; ``tests/nn`` holds it to autograd's gradient of the textbook form.
"""

import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import torch
from torch import Tensor, nn

from vqvc.nn.gate import gate, gate_gradient

CACHED_ROWS = 10240  # sequences times samples that one pass over the layers handles on a CPU
TILES = 256  # of 128 by 128 sums over rows that a GPU works on at once: one small product alone would keep few multiprocessors busy


class ResidualStack(nn.Module):
    """All gated layers: x (T, B, R), frames (F, B, C) with T = F * hop -> sum of the skip outputs (T, B, S).

    Layer l with dilation d, taps k = 0 .. K-1 (tap K-1 is the present):
        a = sum_k x[t - (K-1-k) d] W_tap[l, k] + frame[t // hop] W_frame[l] + b[l]
        z = tanh(first half of a) * sigmoid(second half of a)
        x = x + z W_residual[l] + b_residual[l];   skip = skip + z W_skip[l]
    """

    def __init__(
        self,
        layers: int,
        dilation_cycle: int,
        kernel: int,
        residual_channels: int,
        gate_channels: int,
        skip_channels: int,
        conditioning_channels: int,
    ):
        super().__init__()
        self.kernel = kernel
        self.dilations = tuple(2 ** (i % dilation_cycle) for i in range(layers))
        half = gate_channels // 2

        def weight(*shape: int, fan_in: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(shape) / math.sqrt(fan_in))

        self.tap = weight(layers, kernel, residual_channels, gate_channels, fan_in=kernel * residual_channels)
        self.frame = weight(conditioning_channels, layers * gate_channels, fan_in=conditioning_channels)
        self.frame_bias = nn.Parameter(torch.zeros(layers * gate_channels))
        self.residual = weight(layers, half, residual_channels, fan_in=half * layers)
        self.residual_bias = nn.Parameter(torch.zeros(layers, residual_channels))
        self.skip = weight(layers, half, skip_channels, fan_in=half * layers)
        self.skip_bias = nn.Parameter(torch.zeros(skip_channels))

    @property
    def receptive_field(self) -> int:
        """Input samples that one output sees."""
        return 1 + (self.kernel - 1) * sum(self.dilations)

    def matrices(self) -> list[nn.Parameter]:
        """The weights whose last two dimensions are a matrix that a layer multiplies by."""
        return [self.tap, self.frame, self.residual, self.skip]

    def frame_terms(self, frames: Tensor) -> Tensor:
        """Contribution of the frames (F, B, C) to every layer's gate: (L, F, B, G)."""
        # flat: PyTorch would copy weights that do not learn for each frame, and make a product for each
        rows = frames.flatten(0, 1)
        terms = rows @ self.frame.to(frames.dtype) + self.frame_bias.to(frames.dtype)
        return terms.view(*frames.shape[:2], len(self.dilations), -1).permute(2, 0, 1, 3).contiguous()

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        if len(x) % len(frames):
            raise ValueError(f"{len(frames)} frames do not divide {len(x)} samples")
        terms = self.frame_terms(frames)
        skip = _Stack.apply(x, terms, self.tap, self.residual, self.residual_bias, self.skip, self.dilations)
        return skip + self.skip_bias.to(x.dtype)


class _Stack(torch.autograd.Function):
    """The layers of ResidualStack and their gradient, in the dtype of x, with few passes over memory.

    On a CPU a few sequences at a time, so that a layer's tensors stay in the cache, and as many such groups side by side
    as PyTorch has threads: a thread that works alone never waits for others after every product.
    """

    @staticmethod
    def forward(ctx, x, frame_terms, tap, residual, residual_bias, skip, dilations):
        weights = tuple(w.to(x.dtype) for w in (tap, residual, residual_bias, skip))
        group = x.shape[1] if x.is_cuda else max(1, CACHED_ROWS // x.shape[0])
        parts = zip(x.split(group, dim=1), frame_terms.to(x.dtype).split(group, dim=2))
        keep = any(ctx.needs_input_grad)
        skips, ctx.groups = zip(
            *_side_by_side(lambda part: _forward(*part, *weights, dilations, keep), parts, x.is_cuda)
        )
        ctx.weights, ctx.dilations, ctx.group = weights, dilations, group
        return torch.cat(skips, dim=1)

    @staticmethod
    def backward(ctx, grad_out):
        parts, learn = zip(grad_out.split(ctx.group, dim=1), ctx.groups), any(ctx.needs_input_grad[2:6])
        work = partial(_backward, weights=ctx.weights, dilations=ctx.dilations, learn=learn)
        found = _side_by_side(lambda part: work(*part), parts, grad_out.is_cuda)
        g_x, g_terms, g_weights = zip(*found)
        sums = [sum(parts) for parts in zip(*g_weights)] if learn else [None] * 4
        return torch.cat(g_x, dim=1), torch.cat(g_terms, dim=2), *sums, None


def _forward(x, terms, tap, residual, residual_bias, skip, dilations, keep):
    """Sum of the skips (T, B, S) of one group of sequences, and what the gradient needs of it."""
    time, batch, width = x.shape
    layers, kernel, _, gates = tap.shape
    half, rows = gates // 2, time * batch
    terms = terms.contiguous()
    h, xs, gated = x.reshape(rows, width), [], []
    z = x.new_empty(rows, layers * half)  # every layer's output side by side: one product makes the skips
    for layer, dilation in enumerate(dilations):
        a = h @ tap[layer, -1]
        for k in range(kernel - 1):
            shift = (kernel - 1 - k) * dilation * batch
            if shift < rows:
                a[shift:].addmm_(h[: rows - shift], tap[layer, k])
        zl = z[:, layer * half : (layer + 1) * half]
        gate(a, terms[layer], zl)
        if keep:
            xs.append(h)
            gated.append(a)
        if layer + 1 < layers:
            h = torch.addmm(h, zl, residual[layer]).add_(residual_bias[layer])
    return (z @ skip.reshape(layers * half, -1)).view(time, batch, -1), (z, xs, gated, terms.shape[1])


def _backward(grad_out, kept, weights, dilations, learn):
    """Gradients of one group's x and terms, and, where weights ``learn``, its share of those of tap, residual, its bias, and skip."""
    (z, xs, gated, frames), (tap, residual, _, skip) = kept, weights
    time, batch, _ = grad_out.shape
    layers, kernel, width, gates = tap.shape
    half, rows = gates // 2, time * batch
    g_skip_out = grad_out.reshape(rows, -1).to(z.dtype)
    g_tap, g_residual = (torch.zeros(w.shape, dtype=torch.float32, device=z.device) for w in (tap, residual))
    g_bias = torch.zeros(layers, width, dtype=torch.float32, device=z.device)
    g_terms = z.new_empty(layers, frames, batch, gates)
    g_skip = _over_rows(z, g_skip_out).view(skip.shape) if learn else None
    g_x = None  # gradient of the layer's output x; the last layer has none
    ga, gz, ones = z.new_empty(rows, gates), z.new_empty(rows, half), z.new_ones(1, rows)
    for layer in reversed(range(layers)):
        h, zl = xs[layer], z[:, layer * half : (layer + 1) * half]
        torch.mm(g_skip_out, skip[layer].T, out=gz)
        if g_x is not None:
            gz.addmm_(g_x, residual[layer].T)
            if learn:
                g_residual[layer] = _over_rows(zl, g_x)
                g_bias[layer] = (
                    g_x.sum(0, dtype=torch.float32) if g_x.is_cuda else (ones @ g_x)[0]
                )  # the faster on each
        gate_gradient(gz, gated[layer], ga, g_terms[layer])
        g_x = ga @ tap[layer, -1].T if g_x is None else g_x.addmm_(ga, tap[layer, -1].T)
        if learn:
            g_tap[layer, -1] = _over_rows(h, ga)
        for k in range(kernel - 1):
            shift = (kernel - 1 - k) * dilations[layer] * batch
            if shift < rows:
                g_x[: rows - shift].addmm_(ga[shift:], tap[layer, k].T)
                if learn:
                    g_tap[layer, k] = _over_rows(h[: rows - shift], ga[shift:])
    return g_x.view(time, batch, width), g_terms, (g_tap, g_residual, g_bias, g_skip)


def _over_rows(a: Tensor, b: Tensor) -> Tensor:
    """a.T @ b of (rows, A) and (rows, B), in float32; on a GPU in pieces, which are added up."""
    pieces = TILES // -(-a.shape[1] * b.shape[1] // 128**2) if a.is_cuda else 1
    if not 1 < pieces <= len(a):
        return (a.T @ b).float()
    whole = len(a) // pieces * pieces
    sums = torch.bmm(a[:whole].unflatten(0, (pieces, -1)).mT, b[:whole].unflatten(0, (pieces, -1)))
    return sums.sum(0, dtype=torch.float32).add_(a[whole:].T @ b[whole:])


def _side_by_side(work: Callable, parts: Iterable, alone: bool) -> list:
    """``work`` of every part, in order; on a CPU by a thread for each of PyTorch's."""
    parts, threads = list(parts), torch.get_num_threads()
    if alone or threads == 1 or len(parts) == 1:
        return [work(part) for part in parts]
    return list(_workers(threads).map(work, parts))


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """Threads in which PyTorch uses one thread each and records no gradient; the caller's settings stay as they are."""
    together = threading.Barrier(threads + 1)  # all begin, so that none sets its number later

    def begin() -> None:
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        together.wait()

    pool = ThreadPoolExecutor(threads, initializer=begin)
    for _ in range(threads):
        pool.submit(int)
    together.wait()
    torch.set_num_threads(threads)
    return pool


class WaveNet(nn.Module):
    """The autoregressive decoder.

    previous: (B, T) int64, the class of the sample before each one (the one-sample shift is the caller's, once);
    lpc_inputs: (B, T, H) float, what else is known before the sample is (linear prediction), H may be 0;
    frames: (B, F, C) conditioning, T = F * hop. Returns raw outputs (T, B, out_channels) for ``likelihood``.
    """

    def __init__(self, stack: ResidualStack, classes: int, lpc_inputs: int, out_channels: int):
        super().__init__()
        self.stack = stack
        residual_channels, skip_channels = stack.tap.shape[2], stack.skip.shape[2]
        self.embed = nn.Embedding(classes, residual_channels)
        nn.init.normal_(self.embed.weight, std=0.3)
        self.lpc_input = nn.Linear(lpc_inputs, residual_channels, bias=False) if lpc_inputs else None
        self.mix = nn.Linear(skip_channels, skip_channels)
        self.out = nn.Linear(skip_channels, out_channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, previous: Tensor, lpc_inputs: Tensor | None, frames: Tensor, dtype: torch.dtype) -> Tensor:
        x = self.embed(previous.T)
        if self.lpc_input is not None:
            x = x + self.lpc_input(lpc_inputs.transpose(0, 1))
        skip = self.stack(x.to(dtype), frames.transpose(0, 1).to(dtype))
        return self.head(skip)

    def head(self, skip: Tensor) -> Tensor:
        """Raw outputs (..., out_channels) of the summed skips (..., S)."""
        hidden = nn.functional.linear(torch.relu(skip), self.mix.weight.to(skip.dtype), self.mix.bias.to(skip.dtype))
        return nn.functional.linear(torch.relu(hidden).float(), self.out.weight, self.out.bias)
