"""The F0 contour that the decoder is conditioned on: right on known tones, relative to the speaker, absent when asked."""

import math

import numpy as np
import pytest
import torch

from vqvc.config import from_dict
from vqvc.nn import pitch as pitch_module
from vqvc.nn.builder import build_model
from vqvc.nn.pitch import F0Conditioner, PitchTracker

RATE, HOP = 16000, 64


def _tone(hz, seconds=0.5, rms=0.06):
    """Harmonics of a pitch (a number, or one for each sample), falling by 1 / n."""
    samples = round(seconds * RATE)
    phase = 2 * math.pi * torch.cumsum(torch.as_tensor(hz, dtype=torch.float64).expand(samples), 0) / RATE
    wave = sum(torch.sin(n * phase) / n for n in range(1, 9))
    return (rms * wave / wave.square().mean().sqrt()).float()[None]


@pytest.mark.parametrize("hop", [64, 320, 640])
@pytest.mark.parametrize("hz", [65.0, 110.0, 220.0, 390.0])
def test_finds_the_pitch_of_harmonics(hz, hop):
    pitch, voicing = PitchTracker(RATE, hop)(_tone(hz, 640 * 12 / RATE))
    assert pitch.shape == voicing.shape == (1, 640 * 12 // hop)
    inside = slice(640 // hop + 1, -(640 // hop + 1))
    assert (12 * (pitch[0, inside] - math.log2(hz))).abs().max() < 0.3  # semitones
    assert voicing[0, inside].min() > 0.9


def test_follows_a_glide():
    hz = torch.linspace(100, 200, RATE)
    pitch, _ = PitchTracker(RATE, HOP)(_tone(hz, 1.0))
    centre = torch.log2(hz)[HOP // 2 :: HOP]
    assert (12 * (pitch[0, 10:-10] - centre[10:-10])).abs().max() < 0.7


@pytest.mark.parametrize(
    "wave", [torch.zeros(1, 6400), 0.06 * torch.randn(1, 6400, generator=torch.Generator().manual_seed(1))]
)
def test_silence_and_noise_are_unvoiced(wave):
    _, voicing = PitchTracker(RATE, HOP)(wave)
    assert torch.isfinite(voicing).all() and voicing.median() < 0.1


def test_contours_of_recordings_are_relative_to_their_own_mean():
    f0 = F0Conditioner(RATE, HOP, 1)
    hz = 2 ** torch.linspace(-0.3, 0.3, RATE)
    low, high = f0(_tone(100 * hz, 1.0)), f0(_tone(170 * hz, 1.0))
    assert low.shape == (1, F0Conditioner.ROWS, RATE // HOP)
    assert (low - high)[:, :, 10:-10].abs().max() < 0.2  # quarters of an octave
    assert low[0, 0, -20] - low[0, 0, 20] == pytest.approx(4 * 0.6 * (250 - 40) / 250, abs=0.15)
    assert (low[0, 2] == 1).all()


def test_contours_of_crops_are_relative_to_their_speakers_mean():
    f0, generator = F0Conditioner(RATE, HOP, 3), torch.Generator().manual_seed(0)
    waves = torch.cat([_tone(100.0), _tone(200.0)])
    speaker = torch.tensor([2, 0])
    f0.of_crops(waves, speaker, 0.1, generator)
    mean = f0.f0_sums[:, 0] / f0.f0_sums[:, 1]
    assert mean[2] == pytest.approx(math.log2(100), abs=0.03) and mean[0] == pytest.approx(math.log2(200), abs=0.03)
    assert (f0.f0_sums[1] == 0).all()
    below_and_above = torch.cat([_tone(150 * 2**-0.25, 0.2)] * 100 + [_tone(150 * 2**0.25, 0.2)] * 100)
    contours = f0.of_crops(below_and_above, torch.full((200,), 1), 0.1, generator)
    known = contours[:, 2].amax(1) > 0
    assert (contours[~known] == 0).all() and 3 <= (~known).sum() <= 45  # a tenth of 200, +- 5 standard deviations
    height = contours[:, 0, 25]
    assert (height[:100][known[:100]] + 1).abs().max() < 0.15 and (height[100:][known[100:]] - 1).abs().max() < 0.15


def test_a_decoder_without_a_contour_still_decodes_and_one_given_a_contour_follows_it():
    config = from_dict({"decoder": {"layers": 2, "f0": True}, "training": {"mel_weight": 0.0}})
    torch.manual_seed(0)
    model = build_model(config.model, 2).eval()
    wave = _tone(120.0, 6400 / RATE)
    z_q, speaker = model.quantizer.lookup(model.encode(wave)), torch.tensor([1])
    f0_contour = model.f0_contour(wave)
    with_it, without = model.condition(z_q, speaker, f0_contour).frames, model.condition(z_q, speaker).frames
    assert with_it.shape == without.shape and not torch.allclose(with_it, without)
    assert torch.equal(without, model.condition(z_q, speaker, torch.zeros_like(f0_contour)).frames)


def test_converted_speech_is_conditioned_on_the_contour_of_its_source():
    from vqvc.conversion import analysis

    config = from_dict({"decoder": {"layers": 2, "f0": True}, "training": {"mel_weight": 0.0}})
    model = build_model(config.model, 2).eval()
    samples = _tone(120.0, 6401 / RATE)[0].numpy()
    f0_contour = analysis.f0_contour(model, samples)
    assert f0_contour.dtype == np.float32 and f0_contour.shape == (3, -(-len(samples) // HOP))
    assert analysis.f0_contour(build_model(from_dict({"decoder": {"layers": 2}}).model, 2), samples) is None


def test_the_centre_of_a_conversion_follows_neither_noise_nor_octave_errors():
    """Speech at 120 Hz, as much noise, and a fifth as much that the tracker takes for the octave above."""
    from vqvc.conversion import analysis

    model = build_model(
        from_dict({"decoder": {"layers": 2, "f0": True}, "training": {"mel_weight": 0.0}}).model, 2
    ).eval()
    tone, octave = (_tone(hz, seconds)[0].numpy() for hz, seconds in ((120.0, 1.0), (240.0, 0.2)))
    noise = 0.05 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    samples = np.concatenate([tone, noise, octave])
    assert 2 ** analysis.median_pitch(analysis.pitch_counts(model, samples)) == pytest.approx(120, rel=0.01)
    height, voicing, _ = analysis.f0_contour(model, np.pad(samples, (0, -len(samples) % HOP)))
    assert np.median(height[: len(tone) // HOP]) == pytest.approx(0, abs=0.05)


def test_without_a_voiced_frame_there_is_a_centre_too():
    from vqvc.conversion import analysis

    model = build_model(
        from_dict({"decoder": {"layers": 2, "f0": True}, "training": {"mel_weight": 0.0}}).model, 2
    ).eval()
    noise = 0.05 * np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    for samples in (noise, np.zeros(RATE, np.float32)):
        assert 55 < 2 ** analysis.median_pitch(analysis.pitch_counts(model, samples)) < 450
        assert np.isfinite(analysis.f0_contour(model, samples)).all()


def test_a_long_recording_is_tracked_a_stretch_at_a_time(monkeypatch):
    waves, plain = torch.cat([_tone(150), _tone(210)]), torch.fft.rfft
    f0, held = PitchTracker(RATE, HOP), []
    whole = f0(waves)
    monkeypatch.setattr(pitch_module, "TOGETHER", 50)
    monkeypatch.setattr(torch.fft, "rfft", lambda frames, n: held.append(frames.shape[1]) or plain(frames, n))
    for before, now in zip(whole, f0(waves)):
        assert torch.allclose(before, now, atol=1e-5)
    assert held == [50, 50, 25]
