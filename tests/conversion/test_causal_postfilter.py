"""The post-filter of a stream: towards what is predicted, with the least delay."""

import numpy as np
import pytest
import torch
from streams import RATE, model_of

from vqvc.conversion.causal_postfilter import CausalPostFilter


def test_the_causal_post_filter_brings_what_is_made_to_what_is_predicted():
    """Noise of one spectrum, predicted to have another: after a second its log-mel frames lie where they are predicted."""
    model = model_of("mel")
    model.global_variance.zero_()
    rng, frames = np.random.default_rng(0), 3 * RATE // 16
    noise = (0.05 * rng.standard_normal(frames * 16)).astype(np.float32)
    tilted = np.convolve(noise, [1.0, 0.6])[: len(noise)].astype(np.float32)
    wanted = model.mel(torch.from_numpy(tilted)[None])[0].mean(1)
    shape = CausalPostFilter(model, 1)
    parts = [shape.push(part, wanted.expand(len(part) // 16, -1)) for part in np.split(noise, 50)]
    parts.append(shape.push(noise[:0], wanted[None, :][:0], last=True))
    made = np.concatenate(parts)
    assert len(made) == len(noise)
    found, plain = (model.mel(torch.from_numpy(x)[None])[0, :, frames // 2 :].mean(1) for x in (made, noise))
    shape_of = lambda mel: mel - mel.mean()  # noqa: E731 - loudness is kept apart
    assert float((shape_of(found) - shape_of(wanted)).norm()) < 0.35 * float(
        (shape_of(plain) - shape_of(wanted)).norm()
    )
    assert float(np.sqrt((made**2).mean())) == pytest.approx(float(np.sqrt((noise**2).mean())), rel=0.05)


def test_minimum_phase_has_the_magnitude_and_the_least_delay():
    from vqvc.audio.filters import minimum_phase

    nepers = np.cos(np.linspace(0, 4 * np.pi, 257))[None]
    response = minimum_phase(nepers)
    assert np.allclose(np.log(np.abs(np.fft.rfft(response))), nepers, atol=1e-6)
    assert (response[0, :32] ** 2).sum() > 0.9 * (response**2).sum()
