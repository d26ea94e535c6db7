"""The codebook: nearest code, straight-through gradient, and the two ways in which codes learn.

Equation numbers are those of van den Oord et al. 2017. Everything here is float32, whatever surrounds it.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Generator, Tensor, nn

from vqvc.nn import draws

AT_A_TIME = 4096  # vectors whose distances to all centres are held at once: they stay in the cache


@dataclass(frozen=True)
class Quantized:
    """What the quantizer returns.

    z_q: (B, D, T) float32, the codes' vectors; its gradient goes straight through to z_e (equation 3's sg).
    codes: (B, T) int64.
    loss: scalar, beta * ||z_e - sg[e]||^2, plus ||sg[z_e] - e||^2 when the codebook learns by gradient;
        means over all elements.
    """

    z_q: Tensor
    codes: Tensor
    loss: Tensor


def nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest codebook row, (N,) int64, for z (N, D) and codebook (K, D) (equation 1)."""
    with torch.autocast(z.device.type, enabled=False):
        z, codebook = z.float(), codebook.float()
        squares = codebook.square().sum(1)
        return torch.cat([torch.addmm(squares, part, codebook.T, alpha=-2).argmin(1) for part in z.split(AT_A_TIME)])


def kmeans_plus_plus(z: Tensor, count: int, generator: Generator | None = None) -> Tensor:
    """``count`` rows of z (N, D), each drawn with probability proportional to its distance from those before it."""
    chosen = [int(torch.randint(len(z), (), generator=generator))]
    distance = (z - z[chosen[0]]).square().sum(1)
    for _ in range(count - 1):
        weights = distance.cpu().double() + 1e-12
        chosen.append(int(torch.multinomial(weights, 1, generator=generator)))
        distance = torch.minimum(distance, (z - z[chosen[-1]]).square().sum(1))
    return z[chosen].clone()


def kmeans(
    z: Tensor, size: int, generator: Generator | None = None, iterations: int = 10, start_from: int | None = None
) -> Tensor:
    """Centres (size, D) of z (N, D), float32, by rounds of k-means from a k-means++ start.

    start_from: rows of z, drawn at random, from which the start is chosen; all when None.
    """
    z = z.float()
    some = z if start_from is None else z[torch.randperm(len(z), generator=generator)[:start_from].to(z.device)]
    centres = kmeans_plus_plus(some, size, generator)
    for _ in range(iterations):
        numbers = nearest(z, centres)
        counts = count(numbers, size)
        sums = torch.zeros_like(centres).index_add_(0, numbers, z)
        centres = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), centres)
    return centres


class Quantizer(nn.Module):
    """Nearest of ``codebook_size`` codes of ``codebook_dim`` numbers.

    update: "ema" moves each code to the running mean of the vectors that chose it (appendix A.1), "gradient" adds
    the codebook term of equation 3 to the loss. With "ema", a code whose averaged count falls under
    ``restart_below`` of an even share starts again from a vector of the batch.
    """

    def __init__(
        self,
        codebook_size: int,
        codebook_dim: int,
        update: str = "ema",
        ema_decay: float = 0.99,
        commitment_cost: float = 0.25,
        restart_below: float = 0.05,
    ):
        super().__init__()
        self.update, self.ema_decay = update, ema_decay
        self.commitment_cost, self.restart_below = commitment_cost, restart_below
        codebook = torch.randn(codebook_size, codebook_dim)
        if update == "gradient":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
            self.register_buffer("counts", torch.ones(codebook_size))
            self.register_buffer("sums", codebook.clone())

    @torch.no_grad()
    def initialise(self, z: Tensor, generator: Generator | None = None, iterations: int = 10) -> None:
        """Start the codebook from data: k-means++ and a few rounds of k-means on z (N, D); counts 1, sums the codes."""
        self.start_at(kmeans(z, len(self.codebook), generator, iterations))

    @torch.no_grad()
    def start_at(self, codebook: Tensor) -> None:
        """Take ``codebook`` (K, D) as the codes; counts 1, sums the codes."""
        self.codebook.copy_(codebook)
        if self.update == "ema":
            self.counts.fill_(1.0)
            self.sums.copy_(codebook)

    def encode(self, z_e: Tensor) -> Tensor:
        """Codes (B, T) int64 of z_e (B, D, T); moves nothing."""
        batch, dim, steps = z_e.shape
        return nearest(z_e.detach().transpose(1, 2).reshape(-1, dim), self.codebook).view(batch, steps)

    def lookup(self, codes: Tensor) -> Tensor:
        """Vectors (B, D, T) float32 of codes (B, T)."""
        return nn.functional.embedding(codes, self.codebook).transpose(1, 2)

    def forward(self, z_e: Tensor, generator: draws.AnyGenerator = None, counted: Tensor | None = None) -> Quantized:
        """counted: (B, T) bool, the vectors of z_e that codes move to; None counts all of them."""
        z_e = z_e.float()
        codes = self.encode(z_e)
        e = self.lookup(codes)
        loss = self.commitment_cost * (z_e - e.detach()).square().mean()
        if self.update == "gradient":
            loss = loss + (z_e.detach() - e).square().mean()
        elif self.training:
            self._move(z_e.detach(), codes, generator, counted)
        return Quantized(z_q=z_e + (e - z_e).detach(), codes=codes, loss=loss)

    @torch.no_grad()
    def _move(self, z_e: Tensor, codes: Tensor, generator: draws.AnyGenerator, counted: Tensor | None = None) -> None:
        z = z_e.transpose(1, 2)
        size = len(self.codebook)
        shares = torch.ones_like(z[..., 0]) if counted is None else counted.to(z)
        counts = torch.zeros(size, device=z.device).index_add_(0, codes.flatten(), shares.flatten())
        weighted = z if counted is None else z * shares[..., None]
        sums = torch.zeros_like(self.sums).index_add_(0, codes.flatten(), weighted.reshape(-1, z.shape[2]))
        fresh = draws.vectors(z, size, generator)
        if dist.is_initialized():  # every worker sees the same statistics
            dist.all_reduce(counts)
            dist.all_reduce(sums)
        sound = torch.isfinite(sums).all()  # if not, nothing moves, on any worker; the loss is then not finite either
        counts, sums = torch.where(sound, counts, self.counts), torch.where(sound, sums, self.sums)
        self.counts.lerp_(counts, 1 - self.ema_decay)
        self.sums.lerp_(sums, 1 - self.ema_decay)
        dead = sound & (self.counts < self.restart_below * self.counts.sum() / size)
        even = self.counts.mean()
        self.sums.copy_(torch.where(dead[:, None], fresh * even, self.sums))
        self.counts.copy_(torch.where(dead, even, self.counts))
        total = self.counts.sum()
        smoothed = (self.counts + 1e-5) / (total + size * 1e-5) * total  # Laplace smoothing, never written back
        self.codebook.copy_(self.sums / smoothed[:, None])


def count(codes: Tensor, size: int) -> Tensor:
    """How often each of ``size`` codes occurs: (size,) float32. Unlike ``torch.bincount`` it does not wait for a GPU."""
    codes = codes.flatten()
    return torch.zeros(size, device=codes.device).index_add_(0, codes, torch.ones(len(codes), device=codes.device))


def perplexity(counts: Tensor) -> float:
    """exp(entropy in nats) of code counts (K,): how many codes are in use, were they used evenly. 1 for no counts."""
    p = counts.double() / counts.sum().clamp(min=1)
    return float(torch.exp(-(p * p.clamp(min=1e-300).log()).sum()))
