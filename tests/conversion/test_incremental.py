"""Layers over a sequence that comes in parts: what they make of the whole."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import RATE, model_of

from vqvc.config import from_dict
from vqvc.conversion import incremental
from vqvc.nn.builder import build_model
from vqvc.nn.convolution import Convolution


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=12), st.integers(0, 2), st.integers(1, 4))
def test_layers_in_parts_equal_the_layer_of_the_whole(parts, layers, dilation):
    config = from_dict(
        {
            "encoder": {
                "channels": [6, 6], "strides": [2, 5], "context_layers": layers, "context_dilations": [dilation, 3],
            },
            "decoder": {"layers": 1, "conditioning_layers": layers, "conditioning_channels": 6, "conditioning_hop": 5},
            "training": {"precision": "float32", "crop_samples": 1000, "context_samples": 100},
        }
    )  # fmt: skip
    model = build_model(config.model, 2).eval()
    hop = model.hop_length
    parts = [*parts, -sum(parts) % hop]
    waveform = torch.randn(sum(parts))
    if not len(waveform):
        return
    for one in (model, incremental.for_blocks(model)):
        encoder, conditioner = incremental.EncoderStream(one), incremental.ConditionerStream(one, 1)
        with torch.inference_mode():
            pieces = waveform.split(parts)
            codes = torch.cat([encoder.push(piece, index == len(parts) - 1) for index, piece in enumerate(pieces)])
            assert torch.equal(codes, model.encode(waveform[None])[0])
            z_q = torch.randn(1, model.config.quantizer.codebook_dim + 3 * model.config.decoder.f0, len(codes))
            frames = torch.cat([conditioner.push(z_q[..., :3]), conditioner.push(z_q[..., 3:], True)], dim=1)
            assert torch.allclose(frames, model.conditioning(z_q, torch.tensor([1])), atol=1e-5)


def test_the_model_for_blocks_leaves_the_model_as_it_was():
    model = model_of("mel")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    made = incremental.for_blocks(model)
    assert made.wavenet is model.wavenet and type(model.conditioning.enter) is Convolution
    assert list(model.state_dict()) == list(before) and list(made.state_dict()) == list(before)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_an_encoder_rounded_to_bfloat16_makes_the_codes_of_autocast_but_for_ties(speechlike):
    """What a device other than a CPU does in place of compiled layers."""
    model, samples = model_of("f0"), torch.from_numpy(speechlike(0.8)[:16000])
    samples = samples[: len(samples) // model.hop_length * model.hop_length]
    with torch.inference_mode():
        with torch.autocast("cpu", torch.bfloat16):
            wanted = model.encode(samples[None])[0]
        model.encoder = incremental.rounded(model.encoder, torch.bfloat16)
        stream = incremental.EncoderStream(model)
        found = torch.cat([*(stream.push(part) for part in samples.split(500)), stream.push(samples[:0], True)])
    assert found.shape == wanted.shape and float((found == wanted).float().mean()) > 0.8


def test_pitch_in_parts_is_that_of_the_whole(speechlike):
    for hop in (64, 640, 1000):
        track = incremental.PitchTracker(RATE, hop)
        samples = torch.from_numpy(speechlike(0.5)[: 8 * 1000])
        samples = samples[: len(samples) // hop * hop]
        stream = incremental.PitchStream(track)
        found = [stream.push(part) for part in samples.split(700)] + [stream.push(samples[:0], True)]
        pitch, voicing = (torch.cat(parts) for parts in zip(*found))
        wanted = track(samples[None])
        assert torch.allclose(pitch, wanted[0][0], atol=1e-4) and torch.allclose(voicing, wanted[1][0], atol=1e-4)
