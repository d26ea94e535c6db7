"""A figure is never a bare number: value, unit, definition, interval over utterances, and how much it was measured on."""

from collections.abc import Iterator

import numpy as np

RESAMPLES = 1000  # bootstrap resamples
LEVEL = 0.95


def figure(value: float | None, unit: str, definition: str, **more: object) -> dict:
    """A figure as it stands in the JSON files; ``more`` holds interval_95, frames, utterances and the like.

    Numbers are rounded to six significant digits; a value that is not finite becomes null (JSON has no NaN).
    """
    return {
        "value": tidy(value),
        "unit": unit,
        **{key: tidy(item) for key, item in more.items()},
        "definition": definition,
    }


def tidy(value: object) -> object:
    """``value`` with NumPy scalars made plain, floats rounded to six digits, and non-finite floats made None."""
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
    """``times`` index arrays (count,) drawn with replacement; the same seed gives the same draws (for paired figures)."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        yield rng.integers(count, size=count)


def ratio_interval(numerators: np.ndarray, denominators: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval over utterances of sum(numerators) / sum(denominators).

    numerators, denominators: (U,) one entry per utterance. (nan, nan) when there are fewer than two utterances.
    """
    if len(numerators) < 2:
        return (float("nan"), float("nan"))
    ratios = [
        numerators[index].sum() / max(denominators[index].sum(), 1e-12) for index in resamples(len(numerators), seed)
    ]
    return _middle(ratios)


def mean_interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean of ``values`` (U,), NaN entries left out."""
    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    return ratio_interval(values, np.ones_like(values), seed)


def difference_interval(ours: np.ndarray, theirs: np.ndarray, totals: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % paired bootstrap interval of (sum(ours) - sum(theirs)) / sum(totals), all (U,) over the same utterances."""
    return ratio_interval(np.asarray(ours, np.float64) - theirs, totals, seed)


def _middle(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
