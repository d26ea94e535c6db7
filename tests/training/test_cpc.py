"""Contrastive predictive coding: its negatives, its distances and its directions in time."""

import math

import pytest
import torch

from vqvc.training.cpc import ContrastivePrediction


def _cpc(rate_hz=25.0, dim=6) -> ContrastivePrediction:
    torch.manual_seed(0)
    return ContrastivePrediction(dim, rate_hz, width=16)


def _vectors(batch=2, dim=6, time=30, seed=1) -> torch.Tensor:
    return torch.randn(batch, dim, time, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("rate_hz", "distances"), [(25.0, (2, 3, 4)), (50.0, (4, 6, 8)), (250.0, (21, 31, 41))])
def test_distances_are_the_same_in_seconds_at_every_rate(rate_hz, distances):
    assert _cpc(rate_hz).distances == distances


def test_equal_vectors_are_as_likely_as_each_other():
    constant = torch.ones(2, 6, 30)
    with torch.no_grad():
        assert float(_cpc()(constant)) == pytest.approx(math.log(30), abs=1e-5)


def test_other_crops_are_no_wrong_answers():
    """Negatives come from the same crop, so that distinguishing speakers gains nothing."""
    cpc, z = _cpc(), _vectors(2)
    with torch.no_grad():
        alone = [float(cpc(z[i : i + 1])) for i in range(2)]
        assert float(cpc(z)) == pytest.approx(sum(alone) / 2, abs=1e-5)


@pytest.mark.parametrize("way", [0, 1])
def test_a_guess_rests_on_its_own_side_of_time_only(way):
    cpc, time, t = _cpc(), 30, 12
    z_e = _vectors(1).transpose(1, 2).requires_grad_()
    guesses = []
    cpc.guess[way].register_forward_hook(lambda module, inputs, output: guesses.append(output))
    cpc._one_way(z_e, _vectors(1, seed=2).transpose(1, 2), way)
    guesses[0][0, t].sum().backward()
    touched = z_e.grad[0].abs().sum(1).nonzero()[:, 0]
    assert int(touched.max()) == t and int(touched.min()) == max(0, t - 14)
    assert len(guesses[0][0]) == time


def test_what_can_be_predicted_is_learned():
    """A sequence whose next vectors follow from the last ones, against one of independent vectors."""
    steps = torch.arange(40) % 10
    turning = torch.stack([torch.cos(0.2 * math.pi * steps), torch.sin(0.2 * math.pi * steps)])
    predictable = torch.cat([turning, torch.zeros(4, 40)])[None].repeat(2, 1, 1) + 0.3 * _vectors(2, 6, 40)
    found = []
    for z in (predictable, _vectors(2, 6, 40, seed=3)):
        cpc = _cpc()
        optimizer = torch.optim.Adam(cpc.parameters(), 1e-2)
        for _ in range(40):
            draw = z if z is predictable else torch.randn_like(z)
            optimizer.zero_grad()
            loss = cpc(draw)
            loss.backward()
            optimizer.step()
        found.append(float(loss.detach()))
    assert found[0] < found[1] - 0.5


def test_a_crop_shorter_than_every_distance_costs_nothing():
    assert float(_cpc()(_vectors(time=2))) == 0.0
