"""Time jitter: only neighbours, drawn for each sequence, not detached, silent at probability 0."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.training.objective import jitter


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _steps(batch, steps, dim=2) -> torch.Tensor:
    """(B, D, T) that holds its own position in every number."""
    return torch.arange(steps, dtype=torch.float32).expand(batch, dim, steps)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 4), st.integers(1, 30), st.floats(0, 1), st.integers(0, 9999))
def test_every_step_is_itself_or_a_neighbour_of_its_own_sequence(batch, steps, probability, seed):
    z = _steps(batch, steps) + 1000 * torch.arange(batch)[:, None, None]
    taken = jitter(z, probability, _generator(seed))
    assert ((taken - z).abs() <= 1).all()
    assert torch.equal(taken[:, 0], taken[:, 1])  # a vector moves as one


def test_left_and_right_are_equally_likely_and_together_as_often_as_asked():
    moved = jitter(_steps(40, 2000), 0.3, _generator())[:, 0] - _steps(40, 2000)[:, 0]
    assert float((moved == 1).float().mean()) == pytest.approx(0.15, abs=0.01)
    assert float((moved == -1).float().mean()) == pytest.approx(0.15, abs=0.01)


def test_sequences_are_jittered_each_in_its_own_way():
    moved = jitter(_steps(2, 200), 0.5, _generator())
    assert not torch.equal(moved[0], moved[1])


def test_probability_0_changes_nothing_and_a_seed_decides():
    z = torch.randn(2, 3, 50, generator=_generator())
    assert torch.equal(jitter(z, 0.0), z)
    assert torch.equal(jitter(z, 0.5, _generator(7)), jitter(z, 0.5, _generator(7)))


def test_the_gradient_flows_to_the_vector_that_was_taken():
    z = _steps(3, 40).clone().requires_grad_()
    weight = torch.randn(3, 2, 40, generator=_generator(1))
    taken = jitter(z, 0.5, _generator())
    (taken * weight).sum().backward()
    expected = torch.zeros(3, 2, 40).scatter_add_(2, taken.detach().long(), weight)
    assert torch.allclose(z.grad, expected, atol=1e-6)
