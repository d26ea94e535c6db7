"""The prior: causal, conditioned on the speaker, and a distribution at every step."""

import math

import torch
from tiny_prior import SIZE, random_prior


def _codes(length: int = 40, batch: int = 2) -> torch.Tensor:
    return torch.randint(0, SIZE, (batch, length), generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def test_a_code_changes_only_what_comes_after_it():
    model, codes, speaker = random_prior(), _codes(), torch.tensor([0, 1])
    before = model(codes, speaker)
    for t in (0, 7, 38):
        changed = codes.clone()
        changed[:, t] = (changed[:, t] + 1) % SIZE
        after = model(changed, speaker)
        assert torch.equal(after[:, : t + 1], before[:, : t + 1])
        assert not torch.equal(after[:, t + 1], before[:, t + 1])


@torch.inference_mode()
def test_the_receptive_field_is_as_stated():
    model, codes, speaker = random_prior(), _codes(), torch.tensor([0, 1])
    field = model.receptive_field
    changed = codes.clone()
    changed[:, 3] = (changed[:, 3] + 1) % SIZE
    moved = (model(changed, speaker) != model(codes, speaker)).any(2).any(0).nonzero().flatten()
    assert int(moved.min()) == 4 and int(moved.max()) == 3 + field


@torch.inference_mode()
def test_bits_are_the_sum_of_log_probabilities():
    from vqvc.training.prior_task import bits_of

    model, codes = random_prior(), _codes(batch=1)
    log_p = model(codes, torch.tensor([1])).double().log_softmax(-1)
    assert torch.allclose(log_p.exp().sum(-1), torch.ones(1, 40, dtype=torch.float64))
    by_hand = -sum(float(log_p[0, t, codes[0, t]]) for t in range(40)) / math.log(2)
    assert math.isclose(bits_of(model, codes[0].numpy(), 1), by_hand, rel_tol=1e-5)
    assert bits_of(model, codes[0, :0].numpy()) == 0.0


@torch.inference_mode()
def test_probabilities_of_all_sequences_sum_to_one():
    model = random_prior(size=3)
    every = torch.cartesian_prod(*[torch.arange(3)] * 5)
    total = torch.exp(-model.nll(every, torch.zeros(len(every), dtype=torch.long)).double().sum(1)).sum()
    assert math.isclose(float(total), 1.0, rel_tol=1e-4)


@torch.inference_mode()
def test_the_speaker_changes_the_probabilities():
    model, codes = random_prior(), _codes()
    assert not torch.equal(model(codes, torch.tensor([0, 0])), model(codes, torch.tensor([1, 2])))
