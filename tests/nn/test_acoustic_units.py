import numpy as np
import pytest
import torch

from vqvc.errors import TrainingError
from vqvc.nn.acoustic_units import AcousticUnits
from vqvc.training.units import DISCRIMINANTS, SHRINKAGE, _discriminant, find_units, follow

HOP = 640


def _babble(seconds: float, seed: int) -> np.ndarray:
    """Noise through a resonance that jumps every 80 ms: a few 'phones'."""
    rng = np.random.default_rng(seed)
    pieces = []
    for _ in range(round(seconds / 0.08)):
        spectrum = np.fft.rfft(rng.standard_normal(1280))
        hz = np.fft.rfftfreq(1280, 1 / 16000)
        pieces.append(np.fft.irfft(spectrum / (1 + ((hz - rng.choice([500, 1500, 3000, 5000])) / 200) ** 2)))
    wave = np.concatenate(pieces).astype(np.float32)
    return 0.06 * wave / wave.std()


@pytest.fixture(scope="module")
def found() -> AcousticUnits:
    encoder = AcousticUnits(16000, HOP, n_mels=40, units=64, dim=8)
    find_units(encoder, [_babble(4.0, seed) for seed in range(8)], seed=0)
    return encoder


def test_one_vector_of_a_known_size_for_each_code(found):
    z = found(torch.from_numpy(np.stack([_babble(2.0, 90), _babble(2.0, 91)])))
    assert z.shape == (2, 8, 2 * 16000 // HOP) and z.dtype == torch.float32 and not z.requires_grad
    assert 0.3 < z.std() < 2


def test_phones_lie_apart(found):
    """k-means of its features separates the four resonances better than one guess in two."""
    from sklearn.cluster import KMeans

    rng = np.random.default_rng(5)
    hz, truth, pieces = np.fft.rfftfreq(2560, 1 / 16000), [], []
    for _ in range(200):
        truth.append(rng.integers(4))
        peak = (500, 1500, 3000, 5000)[truth[-1]]
        pieces.append(np.fft.irfft(np.fft.rfft(rng.standard_normal(2560)) / (1 + ((hz - peak) / 200) ** 2)))
    wave = np.concatenate(pieces).astype(np.float32)
    z = found(torch.from_numpy(0.06 * wave / wave.std())[None])[0].T.numpy()
    codes, truth = KMeans(8, n_init=3, random_state=0).fit_predict(z), np.repeat(truth, 4)
    right = sum(np.bincount(truth[codes == code], minlength=4).max() for code in range(8))
    assert right / len(truth) > 0.6


def test_loudness_changes_nothing(found):
    wave = torch.from_numpy(_babble(2.0, 7))[None]
    torch.testing.assert_close(found(wave), found(1.5 * wave), atol=0.02, rtol=0)


@pytest.mark.parametrize("wave", [torch.zeros(1, 4 * HOP), torch.zeros(1, HOP), 1e-8 * torch.ones(1, HOP)])
def test_silence_and_one_code_are_finite(found, wave):
    assert torch.isfinite(found(wave)).all() and found(wave).shape[2] == wave.shape[1] // HOP


def test_the_same_seed_finds_the_same(found):
    again = AcousticUnits(16000, HOP, n_mels=40, units=64, dim=8)
    find_units(again, [_babble(4.0, seed) for seed in range(8)], seed=0)
    assert all(
        torch.equal(ours, theirs) for ours, theirs in zip(found.state_dict().values(), again.state_dict().values())
    )


def test_too_little_speech_is_refused():
    with pytest.raises(
        TrainingError, match="64 acoustic units need twice as many frames of 10 ms; the training speech has 48"
    ):
        find_units(AcousticUnits(16000, HOP, n_mels=40, units=64, dim=8), [_babble(0.48, 0)], seed=0)


def _alike(vectors: np.ndarray, a: int, b: int) -> float:
    return float(vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b]))


def test_units_that_follow_one_another_lie_together():
    """Units 0 and 1 are one phone, 2 and 3 another; each phone lasts longer than the distance that is counted."""
    rng = np.random.default_rng(0)
    utterances = [
        np.concatenate([2 * rng.integers(2) + rng.integers(2, size=20) for _ in range(30)]) for _ in range(40)
    ]
    vectors = follow(utterances, 4, 2)
    assert _alike(vectors, 0, 1) > 0.95 and _alike(vectors, 2, 3) > 0.95 and _alike(vectors, 0, 2) < -0.5


def test_units_of_one_speaker_do_not_lie_together_for_that():
    """Even numbers belong to one speaker and odd ones to the other; what follows what is by chance, but for 0, 2 and 1, 3."""
    rng = np.random.default_rng(0)
    utterances = []
    for speaker in np.tile([0, 1], 40):
        phones = rng.integers(2, size=40)
        utterances.append(np.concatenate([4 * phone + 2 * rng.integers(2, size=15) + speaker for phone in phones]))
    vectors = follow(utterances, 8, 4)
    assert _alike(vectors, 0, 2) > 0.9 and _alike(vectors, 1, 3) > 0.9  # a phone's variants of one speaker
    assert _alike(vectors, 0, 4) < 0 and _alike(vectors, 1, 5) < 0  # two phones of one speaker


def test_the_discriminant_equals_scikit_learns():
    """Directions alike up to their sign; training does without scikit-learn."""
    discriminant_analysis = pytest.importorskip("sklearn.discriminant_analysis")
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 60, (4000,), generator=g)
    rows = torch.randn(60, 50, generator=g)[labels] * torch.linspace(2, 0.1, 50) + torch.randn(4000, 50, generator=g)
    found = _discriminant(rows, labels).double().numpy()
    fitted = discriminant_analysis.LinearDiscriminantAnalysis(solver="eigen", shrinkage=SHRINKAGE)
    expected = fitted.fit(rows.double().numpy(), labels.numpy()).scalings_[:, :DISCRIMINANTS]
    assert found.shape == expected.shape == (50, DISCRIMINANTS)
    signs = np.sign((found * expected).sum(0))
    assert np.allclose(found * signs, expected, atol=1e-4)
