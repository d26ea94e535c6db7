"""Linear prediction: stable for all reflections, Levinson's own answer, and a plain loop over samples."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import solve_toeplitz

from vqvc.nn.linear_prediction import predict, predictor


def _levinson(r: np.ndarray, order: int) -> np.ndarray:
    """Reflection coefficients of autocorrelations r[0 .. order], each from the normal equations of its own order."""
    return np.array([solve_toeplitz(r[:p], r[1 : p + 1])[-1] for p in range(1, order + 1)])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-0.99, 0.99), min_size=1, max_size=16))
def test_a_predictor_of_reflections_below_one_is_stable(reflection):
    a = predictor(torch.tensor(reflection, dtype=torch.float64)).numpy()
    roots = np.roots(np.concatenate([[1.0], -a]))  # of the synthesis filter 1 / A(z)
    assert (np.abs(roots) < 1).all()


@pytest.mark.parametrize("order", [1, 2, 5, 16])
def test_step_up_recursion_solves_the_normal_equations(order):
    rng = np.random.default_rng(order)
    x = np.convolve(rng.standard_normal(4000), [1, 0.9, 0.5, -0.3, 0.2])
    r = np.array([x[: len(x) - lag] @ x[lag:] for lag in range(order + 1)])
    a = predictor(torch.from_numpy(_levinson(r, order))).numpy()
    assert np.allclose(a, solve_toeplitz(r[:order], r[1:]), atol=1e-10)


def test_prediction_is_a_plain_loop_over_the_past():
    rng = np.random.default_rng(0)
    batch, frames, hop, order = 2, 3, 4, 5
    x = rng.standard_normal((batch, order + frames * hop))
    a = rng.standard_normal((batch, frames, order))
    found = predict(torch.from_numpy(x), torch.from_numpy(a), hop).numpy()
    for b in range(batch):
        for t in range(frames * hop):
            expected = sum(a[b, t // hop, k] * x[b, order + t - 1 - k] for k in range(order))
            assert found[b, t] == pytest.approx(expected)


def test_a_pure_resonance_is_predicted_exactly():
    """x[t] = 2 r cos(w) x[t-1] - r^2 x[t-2]."""
    r, w, steps = 0.99, 0.3, 64
    x = r ** np.arange(steps + 2) * np.sin(w * np.arange(steps + 2))
    a = torch.tensor([[[2 * r * np.cos(w), -(r**2)]]]).expand(1, 4, 2)
    assert np.allclose(predict(torch.from_numpy(x)[None], a, 16)[0].numpy(), x[2:], atol=1e-12)
