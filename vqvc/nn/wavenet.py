"""The WaveNet (van den Oord et al. 2016): gated dilated causal convolutions with conditioning frames.

Sequences are time-major, (T, B, C). A shift in time is then a contiguous slice, and every layer is a few large matrix
products without copies. The gradient is written by hand for the same reason; ``tests/nn`` compares it with autograd's
gradient of the textbook form.
"""

import math
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import torch
from torch import Tensor, nn

from vqvc.nn.gate import gate, gate_gradient

CACHED_ROWS = 10240  # rows (sequences times samples) of a group that passes through the layers together on a CPU
TILES = 256  # tiles of 128 by 128 that a GPU should work on at once in ``_over_rows``; fewer leave multiprocessors idle


class ResidualStack(nn.Module):
    """All gated layers: x (T, B, R), frames (F, B, C) with T = F * hop -> sum of the skip outputs (T, B, S).

    Layer l with dilation d and taps k = 0 .. K-1, of which tap K-1 is the present, computes the gated activation of
    equation 2 with local conditioning (section 2.5), then the residual and the skip output (figure 4):

        a = sum_k x[t - (K-1-k) d] W_tap[l, k] + frame[t // hop] W_frame[l] + b[l]
        z = tanh(first half of a) * sigmoid(second half of a)
        x = x + z W_residual[l] + b_residual[l];   skip = skip + z W_skip[l]

    Raises ValueError if the frames do not divide the samples.
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
        """How many input samples one output depends on."""
        return 1 + (self.kernel - 1) * sum(self.dilations)

    def matrices(self) -> list[nn.Parameter]:
        """The weights whose last two dimensions are the matrix of a product, for ``training.muon``."""
        return [self.tap, self.frame, self.residual, self.skip]

    def frame_terms(self, frames: Tensor) -> Tensor:
        """Contribution of the frames (F, B, C) to every layer's gate, (L, F, B, G)."""
        # flat: for weights without a gradient PyTorch would copy them for each frame, and make one product per frame
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

    A CPU works on groups of a few sequences, so that the tensors of a layer stay in the cache. One thread per group, as
    many as PyTorch has threads, avoids waiting for all threads after every product. A GPU works on the whole batch.
    """

    @staticmethod
    def forward(ctx, x, frame_terms, tap, residual, residual_bias, skip, dilations):
        weights = tuple(w.to(x.dtype) for w in (tap, residual, residual_bias, skip))
        group = x.shape[1] if x.is_cuda else max(1, CACHED_ROWS // x.shape[0])
        groups = zip(x.split(group, dim=1), frame_terms.to(x.dtype).split(group, dim=2))
        keep = any(ctx.needs_input_grad)
        outputs = _side_by_side(lambda tensors: _forward(*tensors, *weights, dilations, keep), groups, x.is_cuda)
        skips, ctx.saved = zip(*outputs)
        ctx.weights, ctx.dilations, ctx.group = weights, dilations, group
        return torch.cat(skips, dim=1)

    @staticmethod
    def backward(ctx, grad_out):
        learn = any(ctx.needs_input_grad[2:6])
        groups = zip(grad_out.split(ctx.group, dim=1), ctx.saved)
        group_gradient = partial(_backward, weights=ctx.weights, dilations=ctx.dilations, learn=learn)
        gradients = _side_by_side(lambda tensors: group_gradient(*tensors), groups, grad_out.is_cuda)
        g_x, g_terms, g_weights = zip(*gradients)
        weight_sums = [sum(shares) for shares in zip(*g_weights)] if learn else [None] * 4
        return torch.cat(g_x, dim=1), torch.cat(g_terms, dim=2), *weight_sums, None


def _forward(x, terms, tap, residual, residual_bias, skip, dilations, keep):
    """Sum of the skips (T, B, S) of one group of sequences, and the tensors that ``_backward`` needs.

    keep: whether a gradient will be needed; the inputs and gates of the layers are then saved.
    """
    time, batch, width = x.shape
    layers, kernel, _, gates = tap.shape
    half, rows = gates // 2, time * batch
    terms = terms.contiguous()
    h, xs, gated = x.reshape(rows, width), [], []
    z = x.new_empty(rows, layers * half)  # the outputs of all layers side by side: one product computes the skips
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


def _backward(grad_out, saved, weights, dilations, learn):
    """Gradients of one group: of x, of the terms, and of (tap, residual, residual_bias, skip).

    The last are the group's contribution to the sum over groups; they are zeros and None unless ``learn``.
    """
    z, xs, gated, frames = saved
    tap, residual, _, skip = weights
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
                # the faster of the two on each device
                g_bias[layer] = g_x.sum(0, dtype=torch.float32) if g_x.is_cuda else (ones @ g_x)[0]
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
    """a.T @ b in float32 for a (rows, A) and b (rows, B); a GPU adds up the products of pieces of the rows."""
    pieces = TILES // -(-a.shape[1] * b.shape[1] // 128**2) if a.is_cuda else 1
    if not 1 < pieces <= len(a):
        return (a.T @ b).float()
    whole = len(a) // pieces * pieces
    sums = torch.bmm(a[:whole].unflatten(0, (pieces, -1)).mT, b[:whole].unflatten(0, (pieces, -1)))
    return sums.sum(0, dtype=torch.float32).add_(a[whole:].T @ b[whole:])


def _side_by_side(work: Callable, groups: Iterable, alone: bool) -> list:
    """``[work(group) for group in groups]``, in as many threads as PyTorch uses; in this thread if ``alone``."""
    groups, threads = list(groups), torch.get_num_threads()
    if alone or threads == 1 or len(groups) == 1:
        return [work(group) for group in groups]
    return list(_workers(threads).map(work, groups))


@cache
def _workers(threads: int) -> ThreadPoolExecutor:
    """A pool of threads in each of which PyTorch uses one thread and records no gradient.

    ``torch.set_num_threads`` also changes the number of the calling thread. All workers therefore call it before this
    function sets the caller's number again.
    """
    all_started = threading.Barrier(threads + 1)

    def initialise() -> None:
        torch.set_num_threads(1)
        torch.set_grad_enabled(False)
        all_started.wait()

    pool = ThreadPoolExecutor(threads, initializer=initialise)
    for _ in range(threads):
        pool.submit(int)  # a pool starts a thread only for a task
    all_started.wait()
    torch.set_num_threads(threads)
    return pool


class WaveNet(nn.Module):
    """The autoregressive decoder: embedding, ``ResidualStack``, and two layers over the summed skips.

    classes: size of the embedding. lpc_inputs: further inputs per sample, see ``linear_prediction``; 0 for none.

    ``forward`` takes
        previous: (B, T) int64, the class before each sample; the caller shifts the sequence;
        lpc_inputs: (B, T, lpc_inputs) float, or None if there are none;
        frames: (B, F, C), conditioning with T = F * hop;
        dtype: of the stack and the first layer after it; the last layer is float32.
    It returns raw outputs (T, B, out_channels), which ``likelihood`` interprets.
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
        """Raw outputs (..., out_channels) float32 for the summed skips (..., S)."""
        hidden = nn.functional.linear(torch.relu(skip), self.mix.weight.to(skip.dtype), self.mix.bias.to(skip.dtype))
        return nn.functional.linear(torch.relu(hidden).float(), self.out.weight, self.out.bias)
