"""The whole model: causal, exact about its own likelihood, one code for every hop."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from network import log_probabilities, raw_outputs
from tiny_training import tiny_config

from vqvc.nn.builder import build_model
from vqvc.nn.features import mulaw_encode
from vqvc.nn.vqvae import VQVAE

HOP = 16
FEATURES = {"channels": [8], "strides": [2], "feature_hop": 8, "n_mels": 13, "context_layers": 0}


def _model(output="mixture", seed=0, **sections) -> VQVAE:
    torch.manual_seed(seed)
    sections["decoder"] = {"output": output} | sections.get("decoder", {})
    model = build_model(tiny_config(**sections).model, speakers=3).eval()
    torch.nn.init.normal_(model.wavenet.out.weight, std=0.3)  # it starts at 0: nothing would depend on anything
    return model


def _wave(batch=2, samples=20 * HOP, seed=1) -> torch.Tensor:
    return (0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(seed))).clamp(-1, 1)


def _conditioning(model, wave):
    return model.condition(model.quantizer.lookup(model.encode(wave)), torch.arange(len(wave)) % 3)


@pytest.mark.parametrize("output", ["mixture", "categorical"])
def test_changing_a_sample_leaves_log_probabilities_up_to_it_bit_equal(output):
    model, wave, t = _model(output), _wave(), 100
    conditioning, classes = _conditioning(model, wave), mulaw_encode(wave)
    other = classes.clone()
    other[:, t] = 255 - other[:, t]
    with torch.no_grad():
        plain, changed = (
            log_probabilities(model, raw_outputs(model, each, conditioning), each, conditioning)
            for each in (classes, other)
        )
    assert torch.equal(plain[:, : t + 1], changed[:, : t + 1])
    assert ((plain[:, t + 1] - changed[:, t + 1]).abs().amax(-1) > 0).all()  # shifted once, not twice


@pytest.mark.parametrize("output", ["mixture", "categorical"])
def test_log_probabilities_are_a_distribution_and_the_loss_is_read_from_it(output):
    model, wave = _model(output), _wave()
    conditioning, classes = _conditioning(model, wave), mulaw_encode(wave)
    with torch.no_grad():
        table = log_probabilities(model, raw_outputs(model, classes, conditioning), classes, conditioning)
        nll = model.negative_log_likelihood(classes, conditioning)
    assert torch.allclose(table.exp().sum(-1), torch.ones(2, 20 * HOP), atol=1e-3)
    assert torch.allclose(-table.gather(2, classes[..., None])[..., 0], nll, atol=1e-4)


@pytest.mark.parametrize("output", ["mixture", "categorical"])
def test_a_crop_with_history_is_part_of_the_whole(output):
    """At once for the linear prediction; for the WaveNet after its receptive field, hence ``context_samples``."""
    model, wave, start = _model(output), _wave(), 8 * HOP
    conditioning, classes = _conditioning(model, wave), mulaw_encode(wave)
    part = conditioning[:, start // 8 :]
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
    conditioning, classes = _conditioning(model, wave), mulaw_encode(wave)
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


def test_speaker_and_codes_condition_the_decoder():
    model, wave = _model(), _wave()
    z_q, classes = model.quantizer.lookup(model.encode(wave)), mulaw_encode(wave)
    with torch.no_grad():
        own = model.negative_log_likelihood(classes, model.condition(z_q, torch.tensor([0, 1])))
        other_speaker = model.negative_log_likelihood(classes, model.condition(z_q, torch.tensor([0, 2])))
        other_codes = model.negative_log_likelihood(classes, model.condition(z_q.flip(0), torch.tensor([0, 1])))
    assert (
        torch.equal(own[0], other_speaker[0])
        and not torch.equal(own[1], other_speaker[1])
        and not torch.equal(own, other_codes)
    )
