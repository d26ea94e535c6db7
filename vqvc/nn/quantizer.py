"""The codebook: nearest code, straight-through gradient, and the two update rules of the codebook.

Equation numbers are those of van den Oord et al. 2017. All arithmetic is float32, also inside autocast.
"""

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Generator, Tensor, nn

from vqvc.nn import draws

AT_A_TIME = 4096  # vectors whose distances to all codes are held at once, so that they stay in the cache


@dataclass(frozen=True)
class Quantized:
    """The quantizer's output.

    z_q: (B, D, T) float32, the vectors of the codes (equation 2). Its gradient is passed to z_e unchanged, by the
        straight-through estimator (section 3.2; Bengio et al. 2013).
    codes: (B, T) int64.
    loss: scalar, the last two terms of equation 3 as means over all elements: beta * ||z_e - sg[e]||^2, plus
        ||sg[z_e] - e||^2 if the codebook learns by gradient. sg is the stop-gradient operator.
    """

    z_q: Tensor
    codes: Tensor
    loss: Tensor


def nearest(z: Tensor, codebook: Tensor) -> Tensor:
    """Index of the nearest row of the codebook (K, D), (N,) int64, for each row of z (N, D) (equation 1)."""
    with torch.autocast(z.device.type, enabled=False):
        z, codebook = z.float(), codebook.float()
        squares = codebook.square().sum(1)  # ||z - e||^2 = ||z||^2 + ||e||^2 - 2 z e, and ||z||^2 changes no argmin
        return torch.cat([torch.addmm(squares, part, codebook.T, alpha=-2).argmin(1) for part in z.split(AT_A_TIME)])


def kmeans_plus_plus(z: Tensor, count: int, generator: Generator | None = None) -> Tensor:
    """Draw ``count`` rows of z (N, D) as the first centres of k-means (Arthur & Vassilvitskii 2007).

    A row's probability is proportional to its squared distance from the nearest row that was drawn before.
    """
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
    """Centres (size, D) float32 of z (N, D), by ``iterations`` of k-means from a k-means++ start.

    start_from: how many rows of z, drawn at random, k-means++ chooses from; all rows when None.
    """
    z = z.float()
    candidates = z
    if start_from is not None:
        candidates = z[torch.randperm(len(z), generator=generator)[:start_from].to(z.device)]
    centres = kmeans_plus_plus(candidates, size, generator)
    for _ in range(iterations):
        clusters = nearest(z, centres)
        counts = count(clusters, size)
        sums = torch.zeros_like(centres).index_add_(0, clusters, z)
        centres = torch.where(counts[:, None] > 0, sums / counts[:, None].clamp(min=1), centres)
    return centres


class Quantizer(nn.Module):
    """Vector quantization with ``codebook_size`` codes of ``codebook_dim`` numbers.

    update: "ema" sets each code to an exponential moving average of the vectors that are nearest to it (appendix A.1);
        "gradient" adds the codebook term of equation 3 to the loss.
    ema_decay: gamma of appendix A.1. commitment_cost: beta of equation 3.
    restart_below: with "ema", a code whose averaged count falls below this share of the mean count restarts from a
        random vector of the batch (Dhariwal et al. 2020); 0 turns restarts off.
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
        """Set the codebook to the k-means centres of z (N, D), see ``kmeans``, and reset the averages."""
        self.start_at(kmeans(z, len(self.codebook), generator, iterations))

    @torch.no_grad()
    def start_at(self, codebook: Tensor) -> None:
        """Set the codebook to ``codebook`` (K, D), and reset the averages: every count is 1, every sum is the code."""
        self.codebook.copy_(codebook)
        if self.update == "ema":
            self.counts.fill_(1.0)
            self.sums.copy_(codebook)

    def encode(self, z_e: Tensor) -> Tensor:
        """Codes (B, T) int64 of z_e (B, D, T); updates nothing."""
        batch, dim, steps = z_e.shape
        return nearest(z_e.detach().transpose(1, 2).reshape(-1, dim), self.codebook).view(batch, steps)

    def lookup(self, codes: Tensor) -> Tensor:
        """Vectors (B, D, T) float32 of codes (B, T)."""
        return nn.functional.embedding(codes, self.codebook).transpose(1, 2)

    def forward(self, z_e: Tensor, generator: draws.AnyGenerator = None, counted: Tensor | None = None) -> Quantized:
        """Quantize z_e (B, D, T); in training mode with "ema" also update the codebook.

        generator: of the vectors that dead codes restart from.
        counted: (B, T) bool, the vectors of z_e that the update uses; all when None.
        """
        z_e = z_e.float()
        codes = self.encode(z_e)
        e = self.lookup(codes)
        loss = self.commitment_cost * (z_e - e.detach()).square().mean()
        if self.update == "gradient":
            loss = loss + (z_e.detach() - e).square().mean()
        elif self.training:
            self._update_averages(z_e.detach(), codes, generator, counted)
        return Quantized(z_q=z_e + (e - z_e).detach(), codes=codes, loss=loss)

    @torch.no_grad()
    def _update_averages(
        self, z_e: Tensor, codes: Tensor, generator: draws.AnyGenerator, counted: Tensor | None
    ) -> None:
        """One step of appendix A.1: N <- gamma N + (1 - gamma) n, m <- gamma m + (1 - gamma) sum z_e, e = m / N.

        ``counts`` holds N (K,), ``sums`` holds m (K, D). Dead codes restart before e is computed.
        """
        z = z_e.transpose(1, 2)
        size = len(self.codebook)
        weights = torch.ones_like(z[..., 0]) if counted is None else counted.to(z)
        counts = torch.zeros(size, device=z.device).index_add_(0, codes.flatten(), weights.flatten())
        weighted = z if counted is None else z * weights[..., None]
        sums = torch.zeros_like(self.sums).index_add_(0, codes.flatten(), weighted.reshape(-1, z.shape[2]))
        restarts = draws.vectors(z, size, generator)
        if dist.is_initialized():  # every worker updates with the statistics of the whole batch
            dist.all_reduce(counts)
            dist.all_reduce(sums)
        # if a sum is not finite, no worker updates anything; the loss is then not finite either
        finite = torch.isfinite(sums).all()
        counts, sums = torch.where(finite, counts, self.counts), torch.where(finite, sums, self.sums)
        self.counts.lerp_(counts, 1 - self.ema_decay)
        self.sums.lerp_(sums, 1 - self.ema_decay)
        mean_count = self.counts.mean()
        dead = finite & (self.counts < self.restart_below * self.counts.sum() / size)
        self.sums.copy_(torch.where(dead[:, None], restarts * mean_count, self.sums))
        self.counts.copy_(torch.where(dead, mean_count, self.counts))
        total = self.counts.sum()
        smoothed = (self.counts + 1e-5) / (total + size * 1e-5) * total  # Laplace smoothing; ``counts`` stays as it is
        self.codebook.copy_(self.sums / smoothed[:, None])


def count(codes: Tensor, size: int) -> Tensor:
    """How often each of ``size`` codes occurs, (size,) float32; does not wait for a GPU as ``torch.bincount`` does."""
    codes = codes.flatten()
    return torch.zeros(size, device=codes.device).index_add_(0, codes, torch.ones(len(codes), device=codes.device))


def perplexity(counts: Tensor) -> float:
    """exp(entropy in nats) of code counts (K,): how many equally frequent codes have that entropy. 1 if all are 0."""
    p = counts.double() / counts.sum().clamp(min=1)
    return float(torch.exp(-(p * p.clamp(min=1e-300).log()).sum()))
