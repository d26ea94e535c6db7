"""The losses of a step: equation 3, its auxiliary terms and its phases; nothing is moved or drawn in evaluation mode."""

import pytest
import torch
from tiny_training import tiny_config

from vqvc.nn import likelihood
from vqvc.nn.builder import build_model
from vqvc.nn.features import mulaw_encode
from vqvc.nn.vqvae import VQVAE
from vqvc.training.adversary import SpeakerAdversary
from vqvc.training.objective import TERMS, Objective, Phase, add_input_noise

HOP = 16
SPEAKERS = torch.tensor([0, 1])


def _built(output="mixture", seed=0, **sections) -> tuple[VQVAE, Objective]:
    """A model in evaluation mode whose every weight matters, and its objective."""
    torch.manual_seed(seed)
    sections["decoder"] = {"output": output} | sections.get("decoder", {})
    config = tiny_config(**sections)
    model, objective = build_model(config.model, speakers=3), Objective(config.training)
    objective.prepare(model)
    torch.nn.init.normal_(model.wavenet.out.weight, std=0.3)  # it starts at 0: nothing would depend on anything
    return model.eval(), objective


def _wave(batch=2, samples=20 * HOP, seed=1) -> torch.Tensor:
    return (0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))).clamp(-1, 1)


@pytest.mark.parametrize("output", ["mixture", "categorical"])
@pytest.mark.parametrize("skip_decoder", [False, True])
def test_the_loss_of_a_step_is_the_likelihood_of_its_codes(output, skip_decoder):
    (model, objective), wave = _built(output), _wave()
    with torch.no_grad():
        losses = objective(model, wave, SPEAKERS, phase=Phase(skip_decoder=skip_decoder))
        conditioning = model.condition(model.quantizer.lookup(model.encode(wave)), SPEAKERS)
        nll = model.negative_log_likelihood(mulaw_encode(wave), conditioning, skip_decoder=skip_decoder)
    assert torch.equal(losses.codes, model.encode(wave))
    assert torch.allclose(losses.nll, nll, atol=1e-4)  # z_e + (e - z_e) is e up to rounding


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_evaluation_moves_nothing_and_has_no_jitter(update):
    (model, objective), wave = _built(quantizer={"update": update}, training={"jitter": 0.9}), _wave()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        first = objective(model, wave, SPEAKERS)
        assert torch.equal(first.nll, objective(model, wave, SPEAKERS).nll)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_bypassed_quantizer_does_not_move_and_the_encoder_learns():
    (model, objective), wave = _built(training={"jitter": 0.0}), _wave()
    before = model.quantizer.codebook.clone()
    losses = objective(model.train(), wave, SPEAKERS, phase=Phase(bypass_quantizer=True))
    assert losses.terms["quantizer"] == 0 and torch.equal(model.quantizer.codebook, before)
    losses.nll.mean().backward()
    assert model.encoder.project.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("output", ["mixture", "categorical"])
def test_every_part_learns_from_one_step(output):
    model, objective = _built(
        output,
        training={"cpc_weight": 1.0, "adversary_weight": 1.0, "consistency_weight": 1.0, "perturbed_fraction": 1.0},
    )
    wave = _wave(samples=160 * HOP)  # longer than the distances of contrastive prediction
    losses = objective(model.train(), wave, SPEAKERS, source=0.5 * wave, generator=torch.Generator().manual_seed(0))
    objective.total(losses.nll.mean(), losses.terms).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert not without, without


def test_a_weighted_term_counts_as_often_as_its_weight():
    weights = {"mel": 3.0, "cpc": 5.0, "units": 0.0, "consistency": 7.0, "adversary": 9.0}
    _, objective = _built(
        training={"decoder_weight": 2.0, "perturbed_fraction": 1.0}
        | {f"{name}_weight": weight for name, weight in weights.items()}
    )
    terms = {name: torch.tensor(10.0**power) for power, name in enumerate(TERMS, 1)}
    expected = 2 * (1 + 3 * 1e1) + 5 * 1e2 + 7 * 1e4 + 9 * 1e5 + 1e6
    assert objective.total(torch.tensor(1.0), terms) == expected


def test_consistency_commits_the_original_to_the_codes_of_its_copy():
    (model, objective), wave = _built(training={"consistency_weight": 1.0, "perturbed_fraction": 1.0}), _wave()
    cost = model.config.quantizer.commitment_cost
    same = objective(model.train(), wave, SPEAKERS, source=wave).terms
    assert torch.isclose(cost * same["consistency"], same["quantizer"], rtol=1e-3)  # its own codes: the commitment loss
    other = objective(model, wave, SPEAKERS, source=wave.flip(1)).terms
    assert cost * other["consistency"] > 1.5 * other["quantizer"]
    other["consistency"].backward()
    assert model.encoder.project.weight.grad.abs().sum() > 0 and model.conditioning.enter.weight.grad is None
    assert objective(model.eval(), wave, SPEAKERS, source=wave).terms["consistency"] == 0


def test_the_adversary_learns_what_the_encoder_hides():
    """The classifier's own gradient falls along its loss; what reaches the encoder has the opposite sign."""
    adversary = SpeakerAdversary(4, 2)
    z_q, speaker = torch.randn(2, 4, 30, requires_grad=True), torch.tensor([0, 1])
    loss = adversary(z_q, speaker)
    loss.backward()
    with torch.no_grad():
        assert adversary(z_q + 0.1 * z_q.grad, speaker) < loss < adversary(z_q - 0.1 * z_q.grad, speaker)
        for parameter in adversary.parameters():
            parameter -= 0.01 * parameter.grad
        assert adversary(z_q, speaker) < loss


def test_a_crop_of_one_code_has_a_finite_adversary():
    adversary, z_q = SpeakerAdversary(4, 2), torch.randn(2, 4, 1, requires_grad=True)
    loss = adversary(z_q, torch.tensor([0, 1]))
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(z_q.grad).all()


def test_a_decoder_crop_is_scored_as_in_the_whole():
    """Where no conditioning frame looks at its neighbours the crop loses nothing, its history included."""
    plain, still = {"conditioning_layers": 0}, {"jitter": 0.0}
    model, whole = _built(decoder=plain, training=still)
    _, part = _built(decoder=plain, training=still | {"decoder_crop_samples": 6 * HOP})
    wave, starts, phase = _wave(), set(), Phase(skip_decoder=True, bypass_quantizer=True)
    model.train()
    for seed in range(12):
        with torch.no_grad():
            losses = part(model, wave, SPEAKERS, generator=torch.Generator().manual_seed(seed), phase=phase)
            nll = whole(model, wave, SPEAKERS, phase=phase).nll
        assert losses.nll.shape == (2, 6 * HOP) and losses.codes.shape == (2, 20) and losses.decoded.start % HOP == 0
        assert torch.allclose(losses.nll, nll[:, losses.decoded], atol=1e-4)
        starts.add(losses.decoded.start)
    assert len(starts) > 3 and part(model.eval(), wave, SPEAKERS).nll.shape == wave.shape


def test_decoder_warmup_leaves_the_wavenet_out():
    (model, objective), wave = _built(), _wave()
    losses = objective(model.train(), wave, SPEAKERS, phase=Phase(skip_decoder=True))
    losses.nll.mean().backward()
    assert model.wavenet.embed.weight.grad is None and model.prediction.weight.grad.abs().sum() > 0


def test_bfloat16_is_close_to_float32():
    (model, objective), wave = _built(), _wave()
    with torch.no_grad():
        exact, rough = (objective(model, wave, SPEAKERS, dtype=d) for d in (torch.float32, torch.bfloat16))
    assert abs(float(exact.nll.mean() - rough.nll.mean())) < 0.1 and rough.nll.dtype == torch.float32


def test_input_noise_changes_the_past_and_never_the_target(monkeypatch):
    (model, objective), wave = _built(training={"input_noise": 2.0}), _wave()
    scored, plain = [], likelihood.mixture_nll
    monkeypatch.setattr(
        likelihood, "mixture_nll", lambda parameters, classes: scored.append(classes) or plain(parameters, classes)
    )
    clean = objective(model, wave, SPEAKERS).nll
    noisy = objective(model.train(), wave, SPEAKERS, generator=torch.Generator().manual_seed(1)).nll
    assert torch.equal(scored[0], mulaw_encode(wave)) and torch.equal(scored[1], scored[0])
    assert (noisy - clean).abs().max() > 0.01


def test_input_noise_is_as_large_as_asked():
    classes = torch.full((4000, 50), 128)
    moved = (add_input_noise(classes, 3.0, torch.Generator().manual_seed(0)) - classes).float()
    per_sequence = moved.std(1)
    assert 2.4 < per_sequence.max() < 4.5 and per_sequence.min() < 0.3
    assert moved.square().mean() == pytest.approx(3.0 + 1 / 12, rel=0.05)  # 3^2 / 3, and rounding
    ends = add_input_noise(torch.tensor([[0, 255]] * 50), 5.0)
    assert ends.min() >= 0 and ends.max() <= 255
