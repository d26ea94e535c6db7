"""Figures of the JSON files (value, unit, definition, interval, sample size), and bootstrap over utterances."""

from collections.abc import Iterator

import numpy as np

RESAMPLES = 1000  # of the bootstrap
LEVEL = 0.95  # of intervals


def figure(value: float | None, unit: str, definition: str, **more: object) -> dict:
    """A figure of the JSON files. more: further fields, such as interval_95, frames and utterances.

    Numbers are rounded to six significant digits. Values that are not finite become None, since JSON has no NaN.
    """
    return {
        "value": tidy(value),
        "unit": unit,
        **{key: tidy(item) for key, item in more.items()},
        "definition": definition,
    }


def tidy(value: object) -> object:
    """Convert NumPy values to Python's, round floats to six significant digits, and replace non-finite ones by None."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [tidy(item) for item in value]
    if isinstance(value, dict):
        return {str(key): tidy(item) for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    return value


def resamples(count: int, seed: int, times: int = RESAMPLES) -> Iterator[np.ndarray]:
    """Yield ``times`` index arrays (count,), drawn with replacement. The same seed gives the same draws."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        yield rng.integers(count, size=count)


def ratio_interval(numerators: np.ndarray, denominators: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of sum(numerators) / sum(denominators) over utterances.

    numerators, denominators: (U,), one entry per utterance. Returns (nan, nan) for fewer than two utterances.
    """
    if len(numerators) < 2:
        return (float("nan"), float("nan"))
    ratios = [
        numerators[index].sum() / max(denominators[index].sum(), 1e-12) for index in resamples(len(numerators), seed)
    ]
    return _middle(ratios)


def mean_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of ``values`` (U,); NaN entries are left out."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    return ratio_interval(values, np.ones_like(values), seed)


def difference_interval(ours: np.ndarray, theirs: np.ndarray, totals: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % paired bootstrap interval of (sum(ours) - sum(theirs)) / sum(totals) over utterances; all (U,)."""
    return ratio_interval(np.asarray(ours, np.float64) - theirs, totals, seed)


def _middle(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
