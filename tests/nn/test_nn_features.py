"""µ-law and spectra as tensors: equal to their NumPy twin and to the definition."""

import math

import numpy as np
import pytest
import torch

from vqvc.audio import mulaw
from vqvc.nn import features


def test_every_class_comes_back_as_itself():
    classes = torch.arange(256)
    assert torch.equal(features.mulaw_encode(features.mulaw_decode(classes)), classes)
    assert features.mulaw_decode(torch.tensor(128)) == 0 and features.mulaw_encode(torch.zeros(1)) == 128


def test_tensors_and_arrays_agree_on_all_16_bit_samples():
    samples = (np.arange(-32768, 32768) / 32768).astype(np.float32)
    ours = features.mulaw_encode(torch.from_numpy(samples)).numpy()
    assert np.array_equal(ours, mulaw.encode(samples))
    assert np.array_equal(features.mulaw_decode(torch.arange(256)).numpy(), mulaw.decode(np.arange(256)))


def test_edges_bound_the_classes():
    edges = features.mulaw_edges()
    assert edges[0] == -math.inf and edges[-1] == math.inf and (edges.diff() > 0).all()
    inner = edges[1:-1]
    above = features.mulaw_encode(inner + 1e-6)
    below = features.mulaw_encode(inner - 1e-6)
    assert torch.equal(above, torch.arange(1, 256)) and torch.equal(below, torch.arange(255))


@pytest.mark.parametrize("hop", [64, 160, 640])
def test_a_frame_is_centred_on_the_middle_of_its_code(hop):
    """A click is equally loud in two frames when it stands midway between their centres (i + 0.5) * hop."""
    front = features.LogMel(16000, hop, n_mels=20, n_fft=1024)
    frames = 10

    def energy(position):
        x = torch.zeros(1, frames * hop)
        x[0, position] = 1.0
        return (front(x)[0] * front.SCALE - front.SHIFT).exp().sum(0)

    for i in (4, 5):
        centre = i * hop + hop // 2
        assert int(energy(centre).argmax()) == i
        assert torch.allclose(energy(centre - 20)[i], energy(centre + 20)[i], rtol=1e-3)
    assert front(torch.zeros(2, frames * hop)).shape == (2, 20, frames)


def test_frames_are_the_logarithm_of_mel_power():
    hop, n_fft, n_mels = 80, 256, 12
    x = torch.randn(1, 10 * hop, generator=torch.Generator().manual_seed(0)) * 0.1
    front = features.LogMel(16000, hop, n_mels, n_fft)
    padded = np.pad(x[0].double().numpy(), (n_fft // 2 - hop // 2, n_fft))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    filters = features.mel_filters(16000, n_fft, n_mels).double().numpy()
    for i in range(10):
        power = np.abs(np.fft.rfft(padded[i * hop : i * hop + n_fft] * window)) ** 2
        expected = (np.log(np.maximum(filters @ power, front.FLOOR)) + front.SHIFT) / front.SCALE
        assert np.allclose(front(x)[0, :, i].numpy(), expected, atol=1e-4)


def test_silence_is_finite_and_level():
    quiet = features.LogMel(16000, 160, 80)(torch.zeros(1, 1600))
    assert torch.isfinite(quiet).all() and (quiet == quiet[0, 0, 0]).all()
    cepstra = features.Mfcc(16000, 160, 80)(torch.zeros(1, 1600))
    assert torch.isfinite(cepstra).all() and cepstra[:, 1:].abs().max() < 1e-3


@pytest.mark.parametrize(("rate", "n_fft", "bands"), [(16000, 512, 80), (16000, 512, 20), (22050, 1024, 40)])
def test_filters_equal_librosas(rate, n_fft, bands):
    """Training does without librosa, so these are ours."""
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=bands, htk=True, norm=None)
    assert np.abs(features.mel_filters(rate, n_fft, bands).numpy() - expected).max() < 1e-5  # frequencies in float32


def test_filters_are_triangles_that_share_out_every_frequency():
    filters = features.mel_filters(16000, 512, 20)
    hz = torch.linspace(0, 8000, 257)
    peaks = hz[filters.argmax(1)]
    assert (filters >= 0).all() and (filters <= 1).all() and (peaks.diff() > 0).all()
    for row in filters:  # one rise and one fall
        turns = torch.sign(row.diff())
        turns = turns[turns != 0]
        assert (turns.diff() > 0).sum() == 0
    inside = (hz > peaks[0]) & (hz < peaks[-1])
    assert torch.allclose(filters.sum(0)[inside], torch.ones(int(inside.sum())), atol=1e-3)


def test_cepstra_are_a_cosine_transform_with_slopes():
    """A steady ramp of log energy has a constant slope and no second difference."""
    front = features.Mfcc(16000, 160, 40)
    ramp = torch.linspace(0, 5, 30)[None, None].expand(1, 40, 30)
    front.log_mel.forward = lambda x: ramp
    out = front(torch.zeros(1, 4800))[0]
    assert torch.allclose(out[0], ramp[0, 0] * math.sqrt(2 * 40), atol=1e-4)  # c0: the sum over bands
    assert out[1:13].abs().max() < 1e-4
    assert torch.allclose(out[13, 4:-4], torch.full((22,), 5 / 29 * math.sqrt(80)), atol=1e-4)
    assert out[26, 6:-6].abs().max() < 1e-4
