"""Unconditional sampling: codes drawn one after the other from the prior (ancestral sampling)."""

from collections.abc import Callable

import numpy as np

from vqvc.codec.integer_prior import LOGIT_BITS, IntegerPrior
from vqvc.errors import UsageError


def draw(
    prior: IntegerPrior,
    count: int,
    *,
    speaker: int = 0,
    opening: np.ndarray | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    rng: np.random.Generator,
    progress: Callable[[int], None] = lambda codes: None,
) -> np.ndarray:
    """``count`` codes (count,) int64 that follow ``opening`` (T,), which is not returned.

    speaker: the prior's index, 0 for no speaker in particular. temperature: 1 draws as the prior learned, below 1 keeps
    to the likely. top_p: only the likeliest codes are drawn that together hold this share. Same rng, same codes, on
    every machine that rounds exp and cumulative sums alike.
    """
    if not 0 < temperature <= 4:
        raise UsageError(f"temperature {temperature}: must be above 0 and at most 4")
    if not 0 < top_p <= 1:
        raise UsageError(f"top-p {top_p}: must be above 0 and at most 1")
    stepper, drawn = prior.stepper(speaker), np.zeros(count, np.int64)
    for code in opening if opening is not None else ():
        stepper.take(code)
    for t in range(count):
        share = probabilities(stepper.logits, temperature, top_p)
        drawn[t] = min(np.searchsorted(np.cumsum(share), rng.random() * share.sum(), side="right"), len(share) - 1)
        if t + 1 < count:
            stepper.take(drawn[t])
        progress(1)
    return drawn


def draw_several(
    prior: IntegerPrior,
    count: int,
    codes: int,
    *,
    seed: int,
    opening: np.ndarray,
    speaker: int = 0,
    temperature: float = 1.0,
    top_p: float = 1.0,
    progress: Callable[[int], None] = lambda codes: None,
) -> list[np.ndarray]:
    """``count`` times the ``opening`` (T,) followed by ``codes`` codes; each with its own random numbers. See ``draw``."""
    return [
        np.concatenate([opening, draw(
            prior, codes, speaker=speaker, opening=opening, temperature=temperature, top_p=top_p,
            rng=np.random.default_rng([seed, n]), progress=progress,
        )])
        for n in range(count)
    ]  # fmt: skip


def probabilities(logits: np.ndarray, temperature: float = 1.0, top_p: float = 1.0) -> np.ndarray:
    """What ``draw`` draws from: (K,) float64 of integer logits (K,), those outside the nucleus 0 (Holtzman et al. 2020)."""
    share = np.exp((logits - logits.max()) / (1 << LOGIT_BITS) / temperature)
    share /= share.sum()
    if top_p < 1:
        order = np.argsort(-share, kind="stable")
        before = np.cumsum(share[order]) - share[order]
        share[order[before >= top_p]] = 0
        share /= share.sum()
    return share
