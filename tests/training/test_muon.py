import pytest
import torch
from tiny_training import tiny_config, trainer

from vqvc.training.muon import SIZE, Muon, orthogonal


@pytest.mark.parametrize("shape", [(8, 8), (6, 32), (32, 6)])
def test_an_orthogonal_matrix_keeps_its_singular_vectors_and_loses_its_singular_values(shape):
    u, s, vt = torch.linalg.svd(torch.randn(shape, generator=torch.Generator().manual_seed(0)), full_matrices=False)
    kept = u.T @ orthogonal(u * s @ vt) @ vt.T
    assert kept.diagonal().min() > 0.6 and kept.diagonal().max() < 1.25
    assert (kept - torch.diag(kept.diagonal())).abs().max() < 1e-4


def test_matrices_side_by_side_are_made_orthogonal_one_by_one():
    many = torch.randn(3, 2, 4, 10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(orthogonal(many)[2, 1], orthogonal(many[2, 1]))


def test_no_gradient_is_no_division_by_nothing():
    assert torch.equal(orthogonal(torch.zeros(3, 5)), torch.zeros(3, 5))


@pytest.mark.parametrize("size", [1e-6, 1e3])
def test_a_step_is_as_large_as_the_learning_rate_whatever_the_gradient(size):
    weight = torch.nn.Parameter(torch.zeros(5, 16, 48))
    optimizer = Muon([weight], lr=0.01)
    weight.grad = size * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    optimizer.step()
    assert weight.detach().square().mean().sqrt() == pytest.approx(0.01 * SIZE, rel=0.2)
    assert (weight * weight.grad).sum() < 0  # downhill


def test_small_directions_are_learned_as_fast_as_large_ones():
    """Its singular values are 2.1 and 0.1; the first step of Adam would be of rank one."""
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    weight.grad = torch.tensor([[1.0, 1.0], [1.0, 1.2]])
    Muon([weight], lr=1.0).step()
    assert torch.linalg.svdvals(weight.detach()).min() > 0.3 * torch.linalg.svdvals(weight.detach()).max()


def test_a_parameter_without_a_gradient_rests():
    weight = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = Muon([weight], lr=1.0)
    optimizer.step()
    assert torch.equal(weight.detach(), torch.ones(2, 2)) and not optimizer.state


@pytest.mark.parametrize("which", ["muon", "muon_all"])
def test_layers_learn_by_muon_and_the_rest_by_adam(which, store, tmp_path):
    running = trainer(tiny_config(training={"optimizer": which}), store, tmp_path)
    adam, muon = running.task.step.optimizers
    names = {running.names[id(p)] for group in muon.param_groups for p in group["params"]}
    stack = {f"wavenet.stack.{name}" for name in ("tap", "frame", "residual", "skip")}
    around = {
        name
        for name in running.names.values()
        if name.endswith("weight") and name.startswith(("encoder.", "conditioning."))
    }
    around -= {
        "conditioning.speaker.weight",
        "encoder.norm.weight",
        "encoder.norm_out.weight",
    }  # a table, and no matrices
    assert {"encoder.strided.0.weight", "conditioning.enter.weight"} < around
    assert names == (stack if which == "muon" else stack | around | {"wavenet.mix.weight"})
    assert [group["size"] for group in muon.param_groups] == [2.5, 1.0][: 1 if which == "muon" else 2]
    assert sum(len(g["params"]) for o in (adam, muon) for g in o.param_groups) == len(running.names)
    before = {name: p.detach().clone() for name, p in running.task.model.named_parameters()}
    running.run()
    still = {name for name, p in running.task.model.named_parameters() if torch.equal(p, before[name])}
    assert not still & names and len(trainer(tiny_config(), store, tmp_path / "adam").task.optimizers) == 1


def test_weights_stop_growing():
    """Many steps of one size, all the same way: without decay the weights would be as large as the steps are many."""
    weight = torch.nn.Parameter(torch.zeros(8, 8))
    optimizer = Muon([weight], lr=0.05)
    weight.grad = torch.eye(8)
    for _ in range(200):
        optimizer.step()
    before = weight.detach().clone()
    for _ in range(200):
        optimizer.step()
    assert weight.norm() < 1.01 * before.norm()
