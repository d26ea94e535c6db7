"""Held-out figures: what they are, and that taking them moves nothing."""

import math

import numpy as np
import pytest
import torch
from tiny_training import tiny_config

from vqvc.nn.builder import build_model
from vqvc.nn.features import mulaw_encode
from vqvc.training import validation
from vqvc.training.objective import Objective
from vqvc.training.validation import validate

SPEAKERS = ("p0", "p1", "p2")


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = build_model(tiny_config().model, len(SPEAKERS)).eval()
    torch.nn.init.normal_(model.wavenet.out.weight, std=0.1)
    return model


def _by_hand(model, store, utterances) -> float:
    nats = samples = 0
    for utterance in utterances:
        wave = store.waveform(utterance)
        wave = torch.from_numpy(np.pad(wave, (0, -len(wave) % model.hop_length)))[None]
        losses = Objective(tiny_config().training)(model, wave, torch.tensor([SPEAKERS.index(utterance.speaker)]))
        nats, samples = nats + float(losses.nll.sum()), samples + wave.shape[1]
    return nats / samples / math.log(2)


@pytest.mark.parametrize("window_frames", [160, 3])
def test_bits_are_those_of_whole_utterances(model, store, monkeypatch, window_frames):
    monkeypatch.setattr(validation, "WINDOW_FRAMES", window_frames)
    held_out = validate(model, store, "dev", SPEAKERS)
    with torch.no_grad():
        assert held_out.bits_per_sample == pytest.approx(_by_hand(model, store, store.subset("dev")), abs=1e-3)
    assert held_out.bits_shuffled_codes != held_out.bits_per_sample and held_out.bits_without_f0 is None
    assert held_out.samples == sum(-(-u.length_samples // 16) * 16 for u in store.subset("dev"))
    assert 1 <= held_out.codes_used <= held_out.codebook_size == 8 and held_out.perplexity <= held_out.codes_used + 1e-6


def test_windows_that_begin_within_the_prediction_order_have_their_history(store, monkeypatch):
    monkeypatch.setattr(validation, "WINDOW_FRAMES", 3)
    torch.manual_seed(0)
    model = build_model(tiny_config(decoder={"lpc_order": 16, "conditioning_hop": 4}).model, len(SPEAKERS)).eval()
    with torch.no_grad():
        expected = _by_hand(model, store, store.subset("dev"))
    assert validate(model, store, "dev", SPEAKERS).bits_per_sample == pytest.approx(expected, abs=1e-4)


def test_bits_without_f0_show_what_f0_is_worth(store):
    torch.manual_seed(0)
    model = build_model(tiny_config(decoder={"f0": True}).model, len(SPEAKERS)).eval()
    torch.nn.init.normal_(model.wavenet.out.weight, std=0.1)
    conditioning = validate(model, store, "dev", SPEAKERS)
    with torch.no_grad():
        assert conditioning.bits_per_sample == pytest.approx(_by_hand(model, store, store.subset("dev")), abs=1e-3)
    assert conditioning.bits_without_f0 != conditioning.bits_per_sample
    model.f0_contour = lambda waveform: torch.zeros(1, 3, waveform.shape[1] // model.hop_length)
    assert validate(model, store, "dev", SPEAKERS).bits_per_sample == pytest.approx(conditioning.bits_without_f0)


def test_speakers_that_the_model_lacks_are_left_out(model, store):
    with torch.no_grad():
        expected = _by_hand(model, store, [u for u in store.subset("dev") if u.speaker == "p1"])
    one = validate(model, store, "dev", ("nobody", "p1", "p9"))
    assert one.bits_per_sample == pytest.approx(expected, abs=1e-3)
    assert one.bits_shuffled_codes == pytest.approx(one.bits_per_sample)  # no other utterance to take codes from
    none = validate(model, store, "dev", ("nobody",))
    assert none.samples == 0 and math.isnan(none.bits_per_sample)


def test_some_seconds_are_evenly_picked(model, store):
    everything = validate(model, store, "train", SPEAKERS)
    some = validate(model, store, "train", SPEAKERS, seconds=everything.samples / 16000 / 2.9)
    assert some.samples < everything.samples / 2


def test_row_44_validation_moves_nothing(model, store):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    first = validate(model, store, "dev", SPEAKERS)
    assert first == validate(model, store, "dev", SPEAKERS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    wave = torch.from_numpy(store.waveform(store.subset("dev")[0]))[None, :1600]
    assert mulaw_encode(wave).shape == wave.shape  # and gradients are still to be had
    assert Objective(tiny_config().training)(model, wave, torch.tensor([0])).nll.requires_grad


def test_it_can_be_abandoned(model, store):
    asked = []
    assert validate(model, store, "dev", SPEAKERS, stop=lambda: asked.append(1) or len(asked) > 4) is None
