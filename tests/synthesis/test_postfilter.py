"""The post-filter: nothing to correct leaves speech as it is; a wrong envelope is put right, noise or none."""

import numpy as np
import pytest
import torch
from tiny_training import tiny_config

from vqvc.nn.features import LogMel
from vqvc.nn.vqvae import VQVAE
from vqvc.synthesis import convert, postfilter
from vqvc.synthesis.convert import Request
from vqvc.synthesis.postfilter import PostFilter
from vqvc.synthesis.sampler import Sampler

RATE, HOP, BANDS = 16000, 64, 80


class Voice:
    """What the post-filter needs of a model."""

    def __init__(self):
        self.mel = LogMel(RATE, HOP, BANDS)
        self.config = tiny_config()


@pytest.fixture
def steady(monkeypatch) -> PostFilter:
    """A filter that leaves the spread alone."""
    monkeypatch.setattr(postfilter, "SPREAD", (1.0, 1.0))
    return PostFilter(Voice())


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


def test_speech_that_is_as_it_was_told_stays_as_it_is(steady, speech):
    np.testing.assert_allclose(steady(speech, _frames(speech)), speech, atol=1e-5)


@pytest.mark.parametrize("length", [1, 2, 5, 400])
def test_length_and_loudness_stay_at_every_length(length):
    rng = np.random.default_rng(length)
    samples = (0.06 * rng.standard_normal(length * HOP)).astype(np.float32)
    filtered = PostFilter(Voice())(samples, torch.from_numpy(rng.standard_normal((length, BANDS)).astype(np.float32)))
    assert filtered.dtype == np.float32 and filtered.shape == samples.shape
    assert np.sqrt((filtered**2).mean()) == pytest.approx(np.sqrt((samples**2).mean()), rel=1e-4)


def test_silence_stays_silent():
    silence = np.zeros(50 * HOP, np.float32)
    assert not PostFilter(Voice())(silence, _frames(silence)).any()


def test_noise_that_was_not_told_is_taken_away(steady, speech):
    noisy = speech + (0.003 * np.random.default_rng(0).standard_normal(len(speech))).astype(np.float32)
    filtered = steady(noisy, _frames(speech))
    assert _distance_db(filtered, speech) < 0.6 * _distance_db(noisy, speech)  # its silence is limited to -20 dB


def test_another_envelope_is_put_right(steady, speech):
    muffled = np.convolve(speech, np.full(4, 0.25, np.float32), "same").astype(np.float32)
    filtered = steady(muffled, _frames(speech))
    assert _distance_db(filtered, speech) < 0.5 * _distance_db(muffled, speech)


def test_the_spread_grows_around_a_slow_average():
    """Told what it said, only the spread moves: the deviation of each coefficient over time, but of loudness."""
    shape = PostFilter(Voice())
    cepstra = 0.05 * torch.sin(torch.arange(400)[:, None] * torch.linspace(0.3, 0.9, len(shape.basis)))
    said = cepstra @ shape.basis
    change = shape.gain(said, said) * 2 / LogMel.SCALE @ shape.basis.T
    grown = (cepstra + change)[60:-60].std(0) / cepstra[60:-60].std(0)
    assert float(grown[0]) == pytest.approx(1.0, abs=1e-3)
    assert torch.allclose(grown[1:], torch.linspace(*postfilter.SPREAD, len(grown))[1:], atol=0.05)


def test_gains_stay_within_their_limits():
    shape, rng = PostFilter(Voice()), torch.Generator().manual_seed(0)
    gain = shape.gain(50 * torch.randn(80, BANDS, generator=rng), 50 * torch.randn(80, BANDS, generator=rng))
    decibels = 20 / np.log(10) * gain
    assert float(decibels.min()) == pytest.approx(postfilter.LOWEST, abs=1e-3)
    assert float(decibels.max()) == pytest.approx(postfilter.HIGHEST, abs=1e-3)


def test_what_is_said_is_filtered_by_what_was_told_unless_it_is_off():
    torch.manual_seed(0)
    model = VQVAE(tiny_config(), speakers=2).eval()
    sampler, shape = Sampler(model, "float32"), PostFilter(model)
    requests = [Request(np.arange(length) % 8, length % 2, seed=length) for length in (7, 60)]
    plain, filtered = (convert.say(model, sampler, requests, folding="off", postfilter=on) for on in (False, True))
    for request, one, other in zip(requests, plain, filtered):
        with torch.no_grad():
            z_q = model.quantizer.lookup(torch.from_numpy(request.codes)[None])
            told = model.told_mel(model.tell(z_q, torch.tensor([request.speaker_index])))[0]
        np.testing.assert_array_equal(other, shape(one, told))
        assert np.abs(other - one).max() > 1e-4
