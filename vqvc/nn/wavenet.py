"""The WaveNet (van den Oord et al. 2016): gated dilated causal convolutions, told by conditioning frames.

Sequences are time-major, (T, B, C): a shift in time is then a contiguous slice, every layer is a few matrix products
without copies, and the products of many small convolutions become few large ones. The gradient is written by hand
for the same reason; ``tests/nn`` holds it to autograd's gradient of the textbook form.
"""

import math

import torch
from torch import Tensor, nn

CACHED_ROWS = 10240  # sequences times samples that one pass over the layers handles on a CPU


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

    def frame_terms(self, frames: Tensor) -> Tensor:
        """What the frames (F, B, C) add to every layer's gate: (L, F, B, G)."""
        terms = frames @ self.frame.to(frames.dtype) + self.frame_bias.to(frames.dtype)
        return terms.view(*frames.shape[:2], len(self.dilations), -1).permute(2, 0, 1, 3).contiguous()

    def forward(self, x: Tensor, frames: Tensor) -> Tensor:
        terms = self.frame_terms(frames)
        # on a CPU a few sequences at a time, so that a layer's tensors stay in the cache
        group = x.shape[1] if x.is_cuda else max(1, CACHED_ROWS // x.shape[0])
        skips = [
            _Stack.apply(
                x_part.contiguous(), terms_part, self.tap, self.residual, self.residual_bias, self.skip, self.dilations
            )
            for x_part, terms_part in zip(x.split(group, dim=1), terms.split(group, dim=2))
        ]
        return torch.cat(skips, dim=1) + self.skip_bias.to(x.dtype)


class _Stack(torch.autograd.Function):
    """The layers of ResidualStack and their gradient, in the dtype of x, with few passes over memory."""

    @staticmethod
    def forward(ctx, x, frame_terms, tap, residual, residual_bias, skip, dilations):
        time, batch, width = x.shape
        dtype, (layers, kernel, _, gate) = x.dtype, tap.shape
        half, frames, rows = gate // 2, frame_terms.shape[1], time * batch
        tap, residual, residual_bias, skip = (w.to(dtype) for w in (tap, residual, residual_bias, skip))
        terms = frame_terms.to(dtype)
        keep = any(ctx.needs_input_grad)
        h, xs, gates = x.reshape(rows, width), [], []
        z = x.new_empty(rows, layers * half)  # every layer's output side by side: one product makes the skips
        for layer, dilation in enumerate(dilations):
            # a copy always, for it is written to: a reshape is a view when there is one frame or one sample to a frame
            a = terms[layer].repeat_interleave(time // frames, dim=0).view(rows, gate)
            for k in range(kernel):
                shift = (kernel - 1 - k) * dilation * batch
                if shift < rows:
                    a[shift:].addmm_(h[: rows - shift], tap[layer, k])
            a[:, :half].tanh_()
            a[:, half:].sigmoid_()
            zl = torch.mul(a[:, :half], a[:, half:], out=z[:, layer * half : (layer + 1) * half])
            if keep:
                xs.append(h)
                gates.append(a)
            if layer + 1 < layers:
                h = torch.addmm(h, zl, residual[layer]).add_(residual_bias[layer])
        out = z @ skip.reshape(layers * half, -1)
        if keep:
            ctx.save_for_backward(z, tap, residual, skip, *xs, *gates)
            ctx.dilations, ctx.shape, ctx.frames = dilations, x.shape, frames
        return out.view(time, batch, -1)

    @staticmethod
    def backward(ctx, grad_out):
        z, tap, residual, skip, *saved = ctx.saved_tensors
        dilations, (time, batch, width), frames = ctx.dilations, ctx.shape, ctx.frames
        layers, kernel, _, gate = tap.shape
        half, rows = gate // 2, time * batch
        xs, gates = saved[:layers], saved[layers:]
        g_skip_out = grad_out.reshape(rows, -1).to(z.dtype)
        g_tap = torch.zeros(tap.shape, dtype=torch.float32, device=z.device)
        g_residual = torch.zeros(residual.shape, dtype=torch.float32, device=z.device)
        g_bias = torch.zeros(layers, width, dtype=torch.float32, device=z.device)
        g_terms = z.new_empty(layers, frames, batch, gate)
        g_skip = (z.T @ g_skip_out).float().view(skip.shape)
        g_x = None  # gradient of the layer's output x; the last layer has none
        ga, gz, u = (z.new_empty(rows, n) for n in (gate, half, half))
        for layer in reversed(range(layers)):
            h, t, s = xs[layer], gates[layer][:, :half], gates[layer][:, half:]
            zl = z[:, layer * half : (layer + 1) * half]
            torch.mm(g_skip_out, skip[layer].T, out=gz)
            if g_x is not None:
                gz.addmm_(g_x, residual[layer].T)
                g_residual[layer] = zl.T @ g_x
                g_bias[layer] = g_x.sum(0, dtype=torch.float32)
            torch.ops.aten.tanh_backward.grad_input(torch.mul(gz, s, out=u), t, grad_input=ga[:, :half])
            torch.ops.aten.sigmoid_backward.grad_input(torch.mul(gz, t, out=u), s, grad_input=ga[:, half:])
            torch.sum(ga.view(frames, time // frames, batch, gate), dim=1, out=g_terms[layer])
            g_x = torch.zeros_like(h) if g_x is None else g_x
            for k in range(kernel):
                shift = (kernel - 1 - k) * dilations[layer] * batch
                if shift < rows:
                    g_x[: rows - shift].addmm_(ga[shift:], tap[layer, k].T)
                    g_tap[layer, k] = h[: rows - shift].T @ ga[shift:]
        return g_x.view(time, batch, width), g_terms, g_tap, g_residual, g_bias, g_skip, None


class WaveNet(nn.Module):
    """The autoregressive decoder.

    previous: (B, T) int64, the class of the sample before each one (the one-sample shift is the caller's, once);
    hints: (B, T, H) float, what else is known before the sample is (linear prediction), H may be 0;
    frames: (B, F, C) conditioning, T = F * hop. Returns raw outputs (T, B, out_channels) for ``likelihood``.
    """

    def __init__(self, stack: ResidualStack, classes: int, hints: int, out_channels: int):
        super().__init__()
        self.stack = stack
        residual_channels, skip_channels = stack.tap.shape[2], stack.skip.shape[2]
        self.embed = nn.Embedding(classes, residual_channels)
        nn.init.normal_(self.embed.weight, std=0.3)
        self.hint = nn.Linear(hints, residual_channels, bias=False) if hints else None
        self.mix = nn.Linear(skip_channels, skip_channels)
        self.out = nn.Linear(skip_channels, out_channels)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, previous: Tensor, hints: Tensor | None, frames: Tensor, dtype: torch.dtype) -> Tensor:
        x = self.embed(previous.T)
        if self.hint is not None:
            x = x + self.hint(hints.transpose(0, 1))
        skip = self.stack(x.to(dtype), frames.transpose(0, 1).to(dtype))
        return self.head(skip)

    def head(self, skip: Tensor) -> Tensor:
        """Raw outputs (..., out_channels) of the summed skips (..., S)."""
        hidden = nn.functional.linear(torch.relu(skip), self.mix.weight.to(skip.dtype), self.mix.bias.to(skip.dtype))
        return nn.functional.linear(torch.relu(hidden).float(), self.out.weight, self.out.bias)
