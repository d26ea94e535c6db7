"""The whole model: causal, exact about its own likelihood, one code for every hop, nothing moved by evaluation."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_training import tiny_config

from vqvc.nn import likelihood
from vqvc.nn.features import mulaw_encode
from vqvc.nn.vqvae import VQVAE, add_input_noise

HOP = 16
FEATURES = {"channels": [8], "strides": [2], "feature_hop": 8, "n_mels": 13, "context_layers": 0}


def _model(output="mixture", seed=0, **sections) -> VQVAE:
    torch.manual_seed(seed)
    sections["decoder"] = {"output": output} | sections.get("decoder", {})
    model = VQVAE(tiny_config(**sections), speakers=3).eval()
    torch.nn.init.normal_(model.wavenet.out.weight, std=0.3)  # it starts at 0: nothing would depend on anything
    return model


def _wave(batch=2, samples=20 * HOP, seed=1) -> torch.Tensor:
    return (0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))).clamp(-1, 1)


def _told(model, wave):
    return model.condition(model.quantizer.lookup(model.encode(wave)), torch.arange(len(wave)) % 3)


def _slice(conditioning, start, end):
    part = lambda x: None if x is None else x[:, start:end]  # noqa: E731
    return type(conditioning)(part(conditioning.frames), part(conditioning.predictor), part(conditioning.log_gain))


@pytest.mark.parametrize("output", ["mixture", "categorical"])
def test_changing_a_sample_leaves_log_probabilities_up_to_it_bit_equal(output):
    model, wave, t = _model(output), _wave(), 100
    conditioning, classes = _told(model, wave), mulaw_encode(wave)
    other = classes.clone()
    other[:, t] = 255 - other[:, t]
    with torch.no_grad():
        plain, changed = model.log_probabilities(classes, conditioning), model.log_probabilities(other, conditioning)
    assert torch.equal(plain[:, : t + 1], changed[:, : t + 1])
    assert ((plain[:, t + 1] - changed[:, t + 1]).abs().amax(-1) > 0).all()  # shifted once, not twice


@pytest.mark.parametrize("output", ["mixture", "categorical"])
def test_log_probabilities_are_a_distribution_and_the_loss_is_read_from_it(output):
    model, wave = _model(output), _wave()
    conditioning, classes = _told(model, wave), mulaw_encode(wave)
    with torch.no_grad():
        table = model.log_probabilities(classes, conditioning)
        nll = model.negative_log_likelihood(classes, conditioning)
    assert torch.allclose(table.exp().sum(-1), torch.ones(2, 20 * HOP), atol=1e-3)
    assert torch.allclose(-table.gather(2, classes[..., None])[..., 0], nll, atol=1e-4)


@pytest.mark.parametrize("output", ["mixture", "categorical"])
@pytest.mark.parametrize("skip_decoder", [False, True])
def test_the_loss_of_a_step_is_the_likelihood_of_its_codes(output, skip_decoder):
    model, wave = _model(output), _wave()
    with torch.no_grad():
        losses = model(wave, torch.arange(2), skip_decoder=skip_decoder)
        nll = model.negative_log_likelihood(mulaw_encode(wave), _told(model, wave), skip_decoder=skip_decoder)
    assert torch.equal(losses.codes, model.encode(wave))
    assert torch.allclose(losses.nll, nll, atol=1e-4)  # z_e + (e - z_e) is e up to rounding


@pytest.mark.parametrize("output", ["mixture", "categorical"])
def test_a_crop_with_history_is_part_of_the_whole(output):
    """At once for the linear prediction; for the WaveNet after its receptive field, which is what the lead is for."""
    model, wave, start = _model(output), _wave(), 8 * HOP
    conditioning, classes = _told(model, wave), mulaw_encode(wave)
    part = _slice(conditioning, start // 8, None)
    history = classes[:, start - 64 : start]
    with torch.no_grad():
        if model.mixture:
            whole = model.negative_log_likelihood(classes, conditioning, skip_decoder=True)[:, start:]
            crop = model.negative_log_likelihood(classes[:, start:], part, history, skip_decoder=True)
            assert torch.allclose(crop, whole, atol=1e-5)
        whole = model.negative_log_likelihood(classes, conditioning)[:, start:]
        crop = model.negative_log_likelihood(classes[:, start:], part, history)
    field = model.wavenet.stack.receptive_field + 1
    assert torch.allclose(crop[:, field:], whole[:, field:], atol=1e-4)
    assert not torch.allclose(crop[:, :field], whole[:, :field], atol=1e-4)


def test_before_the_first_sample_there_was_silence():
    model, wave = _model(), _wave()
    conditioning, classes = _told(model, wave), mulaw_encode(wave)
    silence = torch.full((2, 64), 128)
    with torch.no_grad():
        plain = model.negative_log_likelihood(classes, conditioning)
        assert torch.equal(plain, model.negative_log_likelihood(classes, conditioning, silence))
        assert not torch.equal(plain, model.negative_log_likelihood(classes, conditioning, silence - 50))


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 30), st.sampled_from(["waveform", "log_mel", "mfcc"]))
def test_there_is_one_code_for_every_hop_whatever_the_input(codes, kind):
    model = _model(encoder={"input": kind} | (FEATURES if kind != "waveform" else {}))
    assert model.encode(_wave(2, codes * model.hop_length)).shape == (2, codes)


@pytest.mark.parametrize("kind", ["waveform", "log_mel"])
def test_a_sample_far_from_a_code_does_not_change_it(kind):
    model = _model(encoder={"input": kind} | (FEATURES | {"feature_hop": 128} if kind != "waveform" else {}))
    hop = model.hop_length
    wave = _wave(1, 40 * hop)
    other = wave.clone()
    other[:, 20 * hop + 3] = 0.9
    moved = ((model.latents(wave) - model.latents(other)).abs().amax(1)[0] > 1e-6).nonzero()[:, 0]
    reach = model.encoder.context_codes + 2 + (256 // hop if kind == "log_mel" else 0)
    assert 20 in moved.tolist() and moved.min() >= 20 - reach and moved.max() <= 20 + reach


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_evaluation_moves_nothing_and_has_no_jitter(update):
    model, wave = _model(quantizer={"update": update}, decoder={"jitter": 0.9}), _wave()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        first = model(wave, torch.arange(2))
        assert torch.equal(first.nll, model(wave, torch.arange(2)).nll)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_free_step_leaves_the_codebook_out_and_as_it_was():
    model, wave = _model(decoder={"jitter": 0.0}).train(), _wave()
    before = model.quantizer.codebook.clone()
    losses = model(wave, torch.arange(2), bypass_quantizer=True)
    assert losses.quantizer == 0 and torch.equal(model.quantizer.codebook, before)
    losses.nll.mean().backward()
    assert model.encoder.project.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("output", ["mixture", "categorical"])
def test_every_part_learns_from_one_step(output):
    model = _model(output, training={"cpc_weight": 1.0}).train()
    wave = _wave(samples=160 * HOP)  # longer than the distances of contrastive prediction
    losses = model(wave, torch.arange(2), generator=torch.Generator().manual_seed(0))
    (losses.nll.mean() + losses.mel + losses.cpc + losses.quantizer).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0}
    assert not without, without


def test_the_part_that_is_said_is_that_part_of_the_whole():
    """Where no conditioning frame looks at its neighbours the part loses nothing, its history included."""
    plain = {"jitter": 0.0, "conditioning_layers": 0}
    whole, part = (
        _model(decoder=plain).train(),
        _model(decoder=plain, training={"decoder_crop_samples": 6 * HOP}).train(),
    )
    part.load_state_dict(whole.state_dict())
    wave, starts = _wave(), set()
    for seed in range(12):
        with torch.no_grad():
            losses = part(
                wave,
                torch.arange(2),
                generator=torch.Generator().manual_seed(seed),
                skip_decoder=True,
                bypass_quantizer=True,
            )
            nll = whole(wave, torch.arange(2), skip_decoder=True, bypass_quantizer=True).nll
        assert losses.nll.shape == (2, 6 * HOP) and losses.codes.shape == (2, 20) and losses.said.start % HOP == 0
        assert torch.allclose(losses.nll, nll[:, losses.said], atol=1e-4)
        starts.add(losses.said.start)
    assert len(starts) > 3 and part.eval()(wave, torch.arange(2)).nll.shape == wave.shape


def test_the_resting_wavenet_is_left_out():
    model, wave = _model(), _wave()
    losses = model.train()(wave, torch.arange(2), skip_decoder=True)
    losses.nll.mean().backward()
    assert model.wavenet.embed.weight.grad is None and model.prediction.weight.grad.abs().sum() > 0


def test_the_voice_and_the_codes_are_heard():
    model, wave = _model(), _wave()
    z_q, classes = model.quantizer.lookup(model.encode(wave)), mulaw_encode(wave)
    with torch.no_grad():
        own = model.negative_log_likelihood(classes, model.condition(z_q, torch.tensor([0, 1])))
        voice = model.negative_log_likelihood(classes, model.condition(z_q, torch.tensor([0, 2])))
        codes = model.negative_log_likelihood(classes, model.condition(z_q.flip(0), torch.tensor([0, 1])))
    assert torch.equal(own[0], voice[0]) and not torch.equal(own[1], voice[1]) and not torch.equal(own, codes)


def test_bfloat16_is_close_to_float32():
    model, wave = _model(), _wave()
    with torch.no_grad():
        exact, rough = (model(wave, torch.arange(2), dtype=d) for d in (torch.float32, torch.bfloat16))
    assert abs(float(exact.nll.mean() - rough.nll.mean())) < 0.1 and rough.nll.dtype == torch.float32


def test_noise_is_heard_in_the_past_and_never_scored(monkeypatch):
    model, wave, speaker = _model(training={"input_noise": 2.0}), _wave(), torch.tensor([0, 1])
    scored, plain = [], likelihood.mixture_nll
    monkeypatch.setattr(
        likelihood, "mixture_nll", lambda parameters, classes: scored.append(classes) or plain(parameters, classes)
    )
    clean = model(wave, speaker).nll
    noisy = model.train()(wave, speaker, generator=torch.Generator().manual_seed(1)).nll
    assert torch.equal(scored[0], mulaw_encode(wave)) and torch.equal(scored[1], scored[0])
    assert (noisy - clean).abs().max() > 0.01


def test_the_noise_is_as_large_as_asked():
    classes = torch.full((4000, 50), 128)
    moved = (add_input_noise(classes, 3.0, torch.Generator().manual_seed(0)) - classes).float()
    per_sequence = moved.std(1)
    assert 2.4 < per_sequence.max() < 4.5 and per_sequence.min() < 0.3
    assert moved.square().mean() == pytest.approx(3.0 + 1 / 12, rel=0.05)  # 3^2 / 3, and rounding
    ends = add_input_noise(torch.tensor([[0, 255]] * 50), 5.0)
    assert ends.min() >= 0 and ends.max() <= 255
