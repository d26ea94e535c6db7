"""The encoder: strided convolutions map sound to one vector per code (van den Oord et al. 2017, section 4.3)."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from vqvc.nn.convolution import Convolution


class ContextBlock(nn.Module):
    """x (B, T, C) -> x + convolutions(x) at the rate of codes; widens the receptive field of the strided layers."""

    def __init__(self, channels: int, kernel: int, dilation: int):
        super().__init__()
        self.dilated = Convolution(channels, channels, taps=kernel, dilation=dilation)
        self.mix = Convolution(channels, channels)
        with torch.no_grad():
            self.mix.weight.mul_(0.3)  # the block starts near the identity

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(torch.relu(self.dilated(torch.relu(x))))


class Normalise(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) without learned scale and offset, synchronised over workers.

    z: (B, D, T) float32 -> the same shape, with zero mean and unit variance over B and T. In evaluation mode the
    running averages are used and not updated.
    """

    MOMENTUM = 0.02  # weight of the newest batch in the running averages

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.ones(dim))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, z: Tensor) -> Tensor:
        if not self.training:
            return (z - self.mean[:, None]) * torch.rsqrt(self.variance[:, None] + 1e-5)
        moments = torch.stack([z.mean((0, 2)), z.square().mean((0, 2))])
        if dist.is_initialized():
            # a weighted mean: workers may hold unequal shares of a batch
            size = z.new_full((1, z.shape[1]), z.shape[0] * z.shape[2])
            sums = all_reduce(torch.cat([moments * size, size]))
            moments = sums[:2] / sums[2]
        mean, variance = moments[0], (moments[1] - moments[0].square()).clamp(min=0)
        with torch.no_grad():
            self.batches += 1
            weight = (1 / self.batches).clamp(min=self.MOMENTUM)  # a plain average over the first batches
            self.mean.lerp_(mean, weight)
            self.variance.lerp_(variance, weight)
        return (z - mean[:, None]) * torch.rsqrt(variance[:, None] + 1e-5)


def sliding_normalise(x: Tensor, reach: int) -> Tensor:
    """Normalise x (B, T, C) by mean and variance over a window of ``reach`` frames on either side of each frame.

    Windows are cut off at the ends of the sequence. This is instance normalisation (Chou et al. 2019) over a window
    instead of the utterance. It removes what changes slowly, such as the room and much of the speaker, and gives the
    same result in the middle of a training crop as in a long recording.
    """
    time = x.shape[1]
    low = (torch.arange(time, device=x.device) - reach).clamp(min=0)
    high = (torch.arange(time, device=x.device) + reach + 1).clamp(max=time)
    with torch.autocast(x.device.type, enabled=False):
        # float64: differences of running sums lose too many digits in float32
        sums = nn.functional.pad(torch.cat([x, x.float().square()], dim=2).double().cumsum(1), (0, 0, 1, 0))
        moments = ((sums[:, high] - sums[:, low]) / (high - low)[:, None]).float()
        mean, square = moments.chunk(2, dim=2)
        return (x - mean) * torch.rsqrt((square - mean.square()).clamp(min=0) + 1e-4)


class Encoder(nn.Module):
    """Features (B, C_in, T) -> z_e (B, codebook_dim, T / product of strides), each dimension of about unit variance.

    channels, strides: of the strided convolutions, in order. context_*: of the ``ContextBlock`` layers that follow.
    input_gain: factor on the features. norm_reach: ``reach`` of ``sliding_normalise`` in codes; 0 leaves it out.

    Layer normalisation follows the strided and the context layers. Without it the vectors of loud frames are so long
    that k-means spends the codebook on them, and most speech shares a few codes. Batch normalisation of the output
    gives the codebook vectors of a known scale from the first step on.
    """

    def __init__(
        self,
        in_channels: int,
        channels: tuple[int, ...],
        strides: tuple[int, ...],
        context_layers: int,
        context_kernel: int,
        context_dilations: tuple[int, ...],
        codebook_dim: int,
        input_gain: float = 1.0,
        norm_reach: int = 0,
    ):
        super().__init__()
        self.input_gain, self.norm_reach = input_gain, norm_reach
        widths = (in_channels, *channels)
        self.strided = nn.ModuleList(
            Convolution(width_in, width_out, stride=stride)
            for width_in, width_out, stride in zip(widths[:-1], widths[1:], strides)
        )
        self.norm = nn.LayerNorm(widths[-1], eps=1e-3)
        self.context = nn.ModuleList(
            ContextBlock(widths[-1], context_kernel, context_dilations[i % len(context_dilations)])
            for i in range(context_layers)
        )
        self.norm_out = nn.LayerNorm(widths[-1], eps=1e-3)
        self.project = Convolution(widths[-1], codebook_dim)
        self.normalise = Normalise(codebook_dim)

    def forward(self, x: Tensor, hidden: Tensor | None = None) -> Tensor:
        """hidden: (B, T / product of strides) bool, codes whose own frames the context does not see; None hides nothing."""
        x = self._strided(x)
        if hidden is not None:
            x = x.masked_fill(hidden[..., None], 0.0)
        for block in self.context:
            x = block(x)
        return self.output(x)

    def layer(self, x: Tensor, count: int) -> Tensor:
        """The output (B, T / product of strides, C) of the first ``count`` context layers."""
        x = self._strided(x)
        for block in self.context[:count]:
            x = block(x)
        return x

    def _strided(self, x: Tensor) -> Tensor:
        """What the context layers begin with, (B, T / product of strides, C), of features (B, C_in, T)."""
        x = x.transpose(1, 2) * self.input_gain
        for layer in self.strided:
            x = torch.relu(layer(x))
        if self.norm_reach:
            x = sliding_normalise(x, self.norm_reach)
        return self.norm(x)

    def output(self, x: Tensor) -> Tensor:
        """z_e (B, codebook_dim, T) of what the context layers make, (B, T, C); each step on its own in evaluation."""
        z = self.project(torch.relu(self.norm_out(x)))
        with torch.autocast(z.device.type, enabled=False):  # from here to the codes everything is float32
            return self.normalise(z.float().transpose(1, 2))

    @property
    def context_codes(self) -> int:
        """How many codes on either side influence a code through the context layers."""
        return sum(block.dilated.reach for block in self.context)
