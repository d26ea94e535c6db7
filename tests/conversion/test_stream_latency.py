"""The stated latency of a stream: no output depends on later input, and no output comes later."""

import numpy as np
import pytest
import torch
from streams import RATE, in_blocks, model_of, stream_of

from vqvc.config import load
from vqvc.conversion.stream import Latency
from vqvc.nn.builder import build_model


@pytest.mark.parametrize("kind", ["plain", "f0", "categorical", "deep", "mel"])
def test_output_does_not_depend_on_input_later_than_the_latency(kind, speechlike):
    """What a sample can change, the stated latency before it at the earliest; and some sample does change that much."""
    model, samples = model_of(kind), speechlike(0.5, silence_s=0.02)[:6400]
    options = {"statistics": None, "postfilter": True, "gate_db": -60.0}
    before = in_blocks(stream_of(model, **options), samples, [6400])
    latency = Latency.of(model).samples
    for at in (3000, 4160, 4223):
        changed = samples.copy()
        changed[at:] = 0.3 * np.random.default_rng(at).standard_normal(len(samples) - at)
        differ = np.flatnonzero(in_blocks(stream_of(model, **options), changed, [6400]) != before)
        assert len(differ) and differ[0] >= at - latency


def test_the_latency_is_no_longer_than_the_conditioning_needs(speechlike):
    """The first frame that the last sample of a window reaches is conditioned on it."""
    model = model_of("deep")
    latency, hop = Latency.of(model), model.hop_length
    waveform = torch.from_numpy(speechlike(0.5, silence_s=0.02)[:6400])
    waveform.requires_grad_(True)
    z_e = model.latents(waveform[None])
    z_q = torch.cat([z_e, torch.zeros(1, 3, z_e.shape[2])], dim=1)
    frame = model.conditioning(z_q, torch.tensor([1]))[0, 20]
    frame.square().sum().backward()
    last = int(waveform.grad.nonzero().max())
    assert latency.samples - latency.f0 - hop < last - 20 * hop <= latency.samples - latency.f0


@pytest.mark.parametrize("rate", [None, 8000, 44100, 48000])
def test_a_stream_gives_what_it_has_taken_but_for_its_latency(rate, speechlike):
    model = model_of("deep")
    stream = stream_of(model, sample_rate=rate, statistics=None)
    samples = speechlike(0.6, rate or RATE)
    taken = given_out = 0
    for begin in range(0, len(samples), 441):
        block = samples[begin : begin + 441]
        taken += len(block)
        given_out += len(stream.convert(block))
        assert taken >= given_out >= taken - stream.latency_samples
    assert given_out + len(stream.flush()) == taken


def test_the_parts_of_the_latency_of_the_released_size():
    latency = Latency.of(build_model(load("small").model, 2))
    assert latency == Latency(code=63, encoder=1024, f0=0, conditioning=896, postfilter=256)
    assert latency.samples == 2239  # 140 ms
