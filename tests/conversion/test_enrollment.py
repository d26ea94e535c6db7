"""Enrollment: a speaker vector fitted to recordings."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_voice import model_with_mel, tiny_model

import vqvc
from vqvc.audio import level
from vqvc.conversion import enrollment
from vqvc.conversion.disclosure import CONSENT
from vqvc.conversion.enrollment import Crops
from vqvc.errors import UsageError
from vqvc.nn.vqvae import VQVAE

RATE = 16000


def crops_of(model: VQVAE, vector: torch.Tensor, count: int = 10) -> Crops:
    """Crops whose log-mel frames are just what random codes and the vector predict."""
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(len(model.quantizer.codebook), (count, 40), generator=generator)
    z_q, contour = model.quantizer.lookup(codes), torch.randn(count, 3, 40, generator=generator)
    with torch.no_grad():
        log_mel = model.predicted_mel(model.condition(z_q, vector.expand(count, -1), contour))
    return Crops(z_q, contour, log_mel, torch.ones(log_mel.shape[:2]))


def test_a_vector_conditions_as_the_row_of_the_table_that_it_equals():
    model = model_with_mel()
    z_q, speaker = torch.randn(2, 8, 5), torch.tensor([2, 0])
    by_index = model.condition(z_q, speaker).frames
    assert torch.equal(model.condition(z_q, model.conditioning.speaker.weight[speaker]).frames, by_index)


def test_the_fit_finds_the_vector_that_the_frames_were_predicted_with():
    model = model_with_mel()
    mean, factor = enrollment.whitening(model.conditioning.speaker.weight)
    wanted = mean + factor @ torch.tensor([1.0, -1.0, 0.5, 1.5])
    crops = crops_of(model, wanted)
    with torch.no_grad():
        before = float(enrollment.mel_error(model, crops, mean))
    vector, held_out_error, steps = enrollment.fit(model, crops, ridge=0.0, steps=200)
    assert held_out_error < before / 10 and steps > 0
    assert float((vector - wanted).norm()) < float((mean - wanted).norm()) / 4


def test_a_stronger_ridge_stays_nearer_to_the_table():
    model = model_with_mel()
    mean, factor = enrollment.whitening(model.conditioning.speaker.weight)
    crops = crops_of(model, mean + factor @ torch.full((4,), 2.0))
    distances = []
    for ridge in (0.0, 1.0, 100.0):
        vector, _, _ = enrollment.fit(model, crops, ridge=ridge, steps=100)
        distances.append(float(torch.linalg.solve(factor, vector - mean).norm()))
    assert distances[0] > distances[1] > distances[2]


def test_the_whitened_table_has_its_mean_and_nearly_its_covariance():
    table = torch.randn(500, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 2.0, 3.0]) + 5
    mean, factor = enrollment.whitening(table)
    kept = (1 - enrollment.SHRINKAGE) * torch.cov(table.T)
    isotropic = factor @ factor.T - kept
    assert torch.allclose(mean, table.mean(0))
    assert torch.allclose(isotropic, isotropic[0, 0] * torch.eye(3), atol=1e-4) and isotropic[0, 0] > 0
    assert torch.isfinite(enrollment.whitening(table[:1])[1]).all()  # one speaker


def test_enrolling_repeats_itself_and_leaves_the_model_as_it_was(wav):
    model = model_with_mel()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    shares: list[float] = []
    first, again = (enrollment.enroll(model, [wav], "me", "0" * 64, progress=shares.append) for _ in range(2))
    assert torch.equal(first.vector, again.vector) and first.provenance == again.provenance
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert shares[0] == 0 and shares[-1] == 1
    assert first.provenance["recordings"] == ["me.wav"] and first.provenance["seconds"] == pytest.approx(12.6)
    assert 100 < 2 ** first.f0[0] < 180 and first.global_variance.shape == model.global_variance[0].shape


def test_recordings_of_any_length_make_crops_and_pauses_do_not_count(speechlike):
    model = model_with_mel()
    together = [level.normalise(speechlike(s, seed=n), RATE).samples for n, s in enumerate((0.3, 1.1, 4.0))]
    crops = enrollment.make_crops(model, together, 7.0)
    per_code = model.hop_length // model.config.decoder.conditioning_hop
    assert crops.log_mel.shape[:2] == crops.counted.shape == (len(crops), crops.z_q.shape[2] * per_code)
    assert len(crops) == sum(-(-len(one) // model.hop_length) for one in together) // crops.z_q.shape[2]
    quiet = np.concatenate([together[2], np.zeros(4 * RATE, np.float32)])
    assert enrollment.make_crops(model, [quiet], 7.0).counted[-2:].sum() == 0


def test_a_model_without_the_auxiliary_head_is_refused(speechlike):
    with pytest.raises(UsageError, match="log-mel head"):
        enrollment.enroll(tiny_model(), [speechlike(12.0)], "me", "0" * 64)


def test_python_enrolls_from_a_path_or_from_samples(mel_converter, wav):
    by_path = mel_converter.enroll(wav, name="me")
    by_samples = mel_converter.enroll([soundfile.read(wav, dtype="float32")[0]], name="me")
    assert torch.equal(by_path.vector, by_samples.vector)
    assert by_path.provenance["recordings"] == ["me.wav"] and by_path.model == mel_converter.checksum
    assert np.isfinite(mel_converter.convert(wav, voice=by_path)).all()


def test_the_model_card_says_whose_voices_may_be_enrolled():
    card = Path(vqvc.__file__).parent / "models/README.md"
    assert CONSENT in " ".join(card.read_text(encoding="utf-8").split())
