"""The post-filter: nothing to correct leaves speech as it is; a wrong envelope and a flat spectrum are put right."""

import numpy as np
import pytest
import torch
from tiny_training import tiny_config

from vqvc.conversion import pipeline, postfilter
from vqvc.conversion.pipeline import Request
from vqvc.conversion.postfilter import PostFilter
from vqvc.engine.cpu.sampler import Sampler
from vqvc.nn.builder import build_model
from vqvc.nn.cepstra import COEFFICIENTS
from vqvc.nn.features import LogMel

RATE, HOP, BANDS = 16000, 64, 80


class Model:
    """What the post-filter needs of a model: two speakers, the first of unknown variance."""

    def __init__(self, variance: float = 0.0):
        self.mel = LogMel(RATE, HOP, BANDS)
        self.config = tiny_config()
        self.global_variance = torch.tensor([[0.0], [variance]]).repeat(1, COEFFICIENTS)


@pytest.fixture
def shape() -> PostFilter:
    return PostFilter(Model())


@pytest.fixture
def speech(speechlike) -> np.ndarray:
    samples = speechlike(1.0)
    return (samples * 0.06 / np.sqrt((samples**2).mean()))[: len(samples) // HOP * HOP].astype(np.float32)


def _frames(samples: np.ndarray) -> torch.Tensor:
    return LogMel(RATE, HOP, BANDS)(torch.from_numpy(samples)[None])[0].T


def _distance_db(one: np.ndarray, other: np.ndarray) -> float:
    """Mean distance of the average log-mel spectra of two sounds, without their loudness."""
    spectra = [_frames(x).mean(0) for x in (one, other)]
    difference = (spectra[0] - spectra[1]) * LogMel.SCALE * 10 / np.log(10)
    return float((difference - difference.mean()).abs().mean())


def test_speech_that_is_as_predicted_stays_as_it_is(shape, speech):
    np.testing.assert_allclose(shape(speech, _frames(speech), 0), speech, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 5, 400])
def test_length_and_loudness_stay_at_every_length(length):
    rng = np.random.default_rng(length)
    samples = (0.06 * rng.standard_normal(length * HOP)).astype(np.float32)
    filtered = PostFilter(Model(0.1))(
        samples, torch.from_numpy(rng.standard_normal((length, BANDS)).astype(np.float32)), 1
    )
    assert filtered.dtype == np.float32 and filtered.shape == samples.shape
    assert np.sqrt((filtered**2).mean()) == pytest.approx(np.sqrt((samples**2).mean()), rel=1e-4)


def test_silence_stays_silent():
    silence = np.zeros(50 * HOP, np.float32)
    assert not PostFilter(Model(0.1))(silence, _frames(silence), 0).any()


def test_noise_that_was_not_predicted_is_removed(shape, speech):
    noisy = speech + (0.003 * np.random.default_rng(0).standard_normal(len(speech))).astype(np.float32)
    filtered = shape(noisy, _frames(speech), 0)
    assert _distance_db(filtered, speech) < 0.6 * _distance_db(noisy, speech)  # its silence is limited to -20 dB


def test_another_envelope_is_put_right(shape, speech):
    muffled = np.convolve(speech, np.full(4, 0.25, np.float32), "same").astype(np.float32)
    filtered = shape(muffled, _frames(speech), 0)
    assert _distance_db(filtered, speech) < 0.5 * _distance_db(muffled, speech)


@pytest.mark.parametrize(("seconds", "sure"), [(16.0, 0.9), (1.0, 0.6), (0.1, 0.05)])
def test_the_variance_comes_to_that_of_the_speaker_and_more_so_in_longer_speech(seconds, sure):
    """For its own output, only the spread moves, and not that of loudness."""
    shape = PostFilter(Model(0.04))
    time = torch.arange(round(seconds * RATE / HOP))[:, None]
    cepstra = 0.2 * torch.sin(time * torch.linspace(0.3, 0.9, COEFFICIENTS))  # of variance 0.02
    generated = shape.cepstra.frames(cepstra)
    gain = shape.gain(generated, generated, shape.global_variance[1])
    grown = (cepstra + shape.cepstra(gain * 2 / LogMel.SCALE)).var(0, unbiased=False) / cepstra.var(0, unbiased=False)
    assert float(grown[0]) == pytest.approx(1.0, abs=1e-3)
    assert (grown[1:] > 1 + sure * 0.9).all() and (grown[1:] < 2.3).all()
    assert (
        not shape.gain(generated, generated, shape.global_variance[0]).abs().max() > 1e-5
    )  # of an unknown variance: as it was


def test_gains_stay_within_their_limits(shape):
    rng = torch.Generator().manual_seed(0)
    generated, conditioning = (50 * torch.randn(80, BANDS, generator=rng) for _ in range(2))
    gain = shape.gain(generated, conditioning, torch.ones(COEFFICIENTS))
    decibels = 20 / np.log(10) * gain
    assert float(decibels.min()) == pytest.approx(postfilter.LOWEST_DB, abs=1e-3)
    assert float(decibels.max()) == pytest.approx(postfilter.HIGHEST_DB, abs=1e-3)


def test_synthesized_speech_is_filtered_by_what_was_predicted_unless_it_is_off():
    torch.manual_seed(0)
    model = build_model(tiny_config().model, speakers=2).eval()
    model.global_variance[1] = 0.3
    sampler, shape = Sampler(model, "float32"), PostFilter(model)
    requests = [Request(np.arange(length) % 8, length % 2, seed=length) for length in (7, 60)]
    plain, filtered = (
        pipeline.synthesize(model, sampler, requests, folding="off", postfilter=on) for on in (False, True)
    )
    for request, one, other in zip(requests, plain, filtered):
        with torch.no_grad():
            z_q = model.quantizer.lookup(torch.from_numpy(request.codes)[None])
            conditioning = model.predicted_mel(model.condition(z_q, torch.tensor([request.speaker])))[0]
        np.testing.assert_array_equal(other, shape(one, conditioning, request.speaker))
        assert np.abs(other - one).max() > 1e-4
