"""The codebook: nearest codes, the gradients of equation 3, appendix A.1 by hand, and how it stays alive."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.nn.quantizer import AT_A_TIME, Quantizer, kmeans, kmeans_plus_plus, nearest, perplexity


def _quantizer(size=6, dim=3, seed=0, **settings) -> Quantizer:
    torch.manual_seed(seed)
    return Quantizer(size, dim, **settings)


def _vectors(*shape, seed=1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _state(module) -> dict:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 17), st.integers(1, 8), st.integers(0, 999))
def test_codes_match_brute_force_neighbours(batch, steps, size, dim, seed):
    quantizer, z_e = _quantizer(size, dim, seed), _vectors(batch, dim, steps, seed=seed + 1)
    codes, codebook = quantizer.encode(z_e).numpy(), quantizer.codebook.double().numpy()
    z = z_e.double().numpy()
    for b in range(batch):
        for t in range(steps):
            distances = ((codebook - z[b, :, t]) ** 2).sum(1)
            assert distances[codes[b, t]] <= distances.min() + 1e-5
    assert np.array_equal(
        quantizer.lookup(torch.from_numpy(codes)).numpy()[0, :, 0], quantizer.codebook.numpy()[codes[0, 0]]
    )


def test_no_vectors_have_no_codes():
    assert nearest(torch.zeros(0, 3), torch.zeros(4, 3)).shape == (0,)
    assert _quantizer().eval()(torch.zeros(2, 3, 0)).codes.shape == (2, 0)


def test_distances_are_float32_under_bfloat16():
    """Two codes that are equal in bfloat16 stay two."""
    quantizer = _quantizer(2, 1)
    quantizer.codebook.copy_(torch.tensor([[1.0], [1.002]]))
    with torch.autocast("cpu", torch.bfloat16):
        assert quantizer.encode(torch.tensor([[[1.0004, 1.0016]]])).tolist() == [[0, 1]]


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_forward_returns_the_codes_of_encode(update):
    quantizer, z_e = _quantizer(update=update), _vectors(2, 3, 5)
    expected = quantizer.encode(z_e)
    vectors = quantizer.lookup(expected)
    out = quantizer(z_e)
    assert torch.equal(out.codes, expected) and torch.allclose(out.z_q, vectors, atol=1e-6)


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_gradient_goes_straight_through(update):
    quantizer, z_e = _quantizer(update=update), _vectors(2, 3, 5).requires_grad_()
    weight = _vectors(2, 3, 5, seed=2)
    (quantizer(z_e).z_q * weight).sum().backward()
    assert torch.equal(z_e.grad, weight)
    if update == "gradient":
        assert quantizer.codebook.grad is None or not quantizer.codebook.grad.any()


def test_commitment_moves_the_encoder_and_not_the_codes():
    """beta * ||z_e - sg[e]||^2 alone, when the codebook learns by moving averages."""
    quantizer, z_e = _quantizer(commitment_cost=0.7).eval(), _vectors(2, 3, 5).requires_grad_()
    out = quantizer(z_e)
    out.loss.backward()
    e = quantizer.lookup(out.codes)
    assert torch.allclose(z_e.grad, 0.7 * 2 * (z_e - e).detach() / z_e.numel(), atol=1e-7)
    assert torch.allclose(out.loss, 0.7 * (z_e - e).square().mean())


def test_equation_3_has_its_stops_on_the_right_sides():
    quantizer, z_e = _quantizer(update="gradient", commitment_cost=0.25), _vectors(2, 3, 5).requires_grad_()
    out = quantizer(z_e)
    out.loss.backward()
    e = quantizer.lookup(out.codes).detach()
    toward_codes = 2 * (z_e.detach() - e) / z_e.numel()
    assert torch.allclose(z_e.grad, 0.25 * toward_codes, atol=1e-7)  # only the commitment term reaches the encoder
    pulled = torch.zeros(6, 3).index_add_(0, out.codes.flatten(), -toward_codes.transpose(1, 2).reshape(-1, 3))
    assert torch.allclose(quantizer.codebook.grad, pulled, atol=1e-7)  # only the codebook term, without beta


def test_moving_averages_are_those_of_appendix_a1():
    size, dim, decay = 5, 2, 0.9
    quantizer = _quantizer(size, dim, ema_decay=decay, restart_below=0.0).train()
    counts, sums = np.ones(size), quantizer.codebook.double().numpy().copy()
    codebook = sums.copy()
    for step in range(8):
        z_e = _vectors(3, dim, 7, seed=step)
        z = z_e.double().numpy().transpose(0, 2, 1).reshape(-1, dim)
        chosen = ((z[:, None] - codebook[None]) ** 2).sum(2).argmin(1)
        for k in range(size):  # equations 6 to 8
            counts[k] = decay * counts[k] + (1 - decay) * (chosen == k).sum()
            sums[k] = decay * sums[k] + (1 - decay) * z[chosen == k].sum(0)
        total = counts.sum()
        codebook = sums / ((counts + 1e-5) / (total + size * 1e-5) * total)[:, None]
        assert np.array_equal(quantizer(z_e).codes.numpy().ravel(), chosen)
    assert np.allclose(quantizer.counts.numpy(), counts, rtol=1e-5)  # smoothing is not in what is kept
    assert np.allclose(quantizer.sums.numpy(), sums, atol=1e-5)
    assert np.allclose(quantizer.codebook.numpy(), codebook, atol=1e-5)


def test_row_43_a_dead_code_gets_a_new_vector_a_new_sum_and_a_new_count():
    quantizer = _quantizer(4, 2, ema_decay=0.5, restart_below=0.1).train()
    quantizer.codebook.copy_(torch.tensor([[0.0, 0], [1, 1], [2, 2], [1000, 1000]]))
    quantizer.sums.copy_(quantizer.codebook)
    quantizer.counts[3] = 1e-3  # chosen by nobody for long
    z_e = _vectors(2, 2, 30) + 1
    quantizer(z_e, torch.Generator().manual_seed(0))
    new = quantizer.codebook[3]
    drawn = z_e.transpose(1, 2).reshape(-1, 2)
    assert (drawn - new).square().sum(1).min() < 1e-6  # a vector of this batch
    assert torch.allclose(quantizer.sums[3], new * quantizer.counts[3], rtol=1e-3)
    others = quantizer.counts[:3]
    assert others.min() < quantizer.counts[3] < others.max() and quantizer.counts[3] > 1


def test_a_living_code_is_left_alone():
    quantizer = _quantizer(2, 1, ema_decay=0.9, restart_below=0.05).train()
    quantizer.codebook.copy_(torch.tensor([[-1.0], [1.0]]))
    quantizer.sums.copy_(quantizer.codebook)
    quantizer(torch.tensor([[[-1.0, -1.0, -1.0, 1.0]]]))
    assert torch.allclose(quantizer.codebook, torch.tensor([[-1.0], [1.0]]), atol=1e-4)


def test_starting_from_data_keeps_codes_alive_where_a_random_start_collapses():
    def used_after(steps, start) -> int:
        quantizer = _quantizer(64, 16, restart_below=0.0, ema_decay=0.99).train()
        start(quantizer)
        for step in range(steps):
            out = quantizer(_speechlike_vectors(step))
        return len(out.codes.unique())

    def random_with_counts_0(quantizer):
        quantizer.counts.zero_()
        quantizer.sums.zero_()

    def from_data(quantizer):
        quantizer.initialise(_flat(_speechlike_vectors(100)), torch.Generator().manual_seed(0))
        assert (quantizer.counts == 1).all() and torch.equal(quantizer.sums, quantizer.codebook)

    assert used_after(10, random_with_counts_0) < 8
    assert used_after(10, from_data) > 48


def _speechlike_vectors(seed) -> torch.Tensor:
    """Clusters of uneven size away from the origin."""
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(40, 16, generator=torch.Generator().manual_seed(99)) * 0.5 + 1.5
    z = centres[torch.randint(40, (8, 64), generator=g)] + 0.2 * torch.randn(8, 64, 16, generator=g)
    return z.transpose(1, 2)


def _flat(z_e) -> torch.Tensor:
    return z_e.transpose(1, 2).reshape(-1, z_e.shape[1])


def test_seeds_spread_over_all_clusters():
    centres = 100 * torch.eye(8)
    z = (centres[:, None] + _vectors(8, 50, 8)).reshape(-1, 8)
    chosen = kmeans_plus_plus(z, 8, torch.Generator().manual_seed(3))
    assert len(nearest(chosen, centres).unique()) == 8


@pytest.mark.parametrize("start_from", [None, 100])
def test_centres_are_the_means_of_their_vectors(start_from):
    """More vectors than are looked at together, whose clusters are known."""
    truth = 100 * torch.eye(8)
    labels = torch.arange(AT_A_TIME + 500) % 8
    z = truth[labels] + _vectors(len(labels), 8)
    centres = kmeans(z, 8, torch.Generator().manual_seed(3), start_from=start_from)
    means = torch.stack([z[labels == label].mean(0) for label in range(8)])
    torch.testing.assert_close(centres[nearest(truth, centres)], means, atol=1e-3, rtol=0)


def test_starting_from_fewer_vectors_than_codes_is_no_error():
    quantizer = _quantizer(6, 3)
    quantizer.initialise(_vectors(4, 3))
    assert torch.isfinite(quantizer.codebook).all()


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_evaluation_moves_nothing(update):
    quantizer = _quantizer(update=update).eval()
    before = _state(quantizer)
    quantizer(_vectors(2, 3, 5))
    quantizer.encode(_vectors(2, 3, 5))
    quantizer.train().encode(_vectors(2, 3, 5))
    assert all(torch.equal(tensor, before[name]) for name, tensor in quantizer.state_dict().items())


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_row_42_a_latent_that_is_not_a_number_moves_nothing_and_shows_in_the_loss(bad):
    quantizer, z_e = _quantizer().train(), _vectors(2, 3, 5)
    z_e[1, 2, 3] = bad
    before = _state(quantizer)
    assert not torch.isfinite(quantizer(z_e).loss)
    assert all(torch.equal(tensor, before[name]) for name, tensor in quantizer.state_dict().items())


def test_perplexity_counts_evenly_used_codes():
    assert perplexity(torch.tensor([5, 5, 0, 5, 5])) == pytest.approx(4)
    assert perplexity(torch.tensor([7.0, 0.0])) == pytest.approx(1)
    assert perplexity(torch.zeros(4)) == 1
