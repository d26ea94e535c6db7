"""Enrollment: a speaker vector fitted to recordings."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from enrolled import an_adaptation
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
    samples = count, 40 * model.hop_length
    classes = torch.randint(100, 156, samples, generator=generator)
    return Crops(z_q, contour, log_mel, classes, torch.ones(log_mel.shape[:2]))


def test_a_vector_conditions_as_the_row_of_the_table_that_it_equals():
    model = model_with_mel()
    z_q, speaker = torch.randn(2, 8, 5), torch.tensor([2, 0])
    by_index = model.condition(z_q, speaker).frames
    assert torch.equal(model.condition(z_q, model.conditioning.speaker.weight[speaker]).frames, by_index)


def test_an_adaptation_that_begins_changes_nothing_and_one_that_has_learned_does():
    model = model_with_mel()
    z_q, speaker = torch.randn(2, 8, 5), torch.tensor([2, 0])
    plain = model.condition(z_q, speaker).frames
    start = model.conditioning.new_adaptation(2, torch.Generator().manual_seed(0))
    assert torch.equal(model.condition(z_q, speaker, adaptation=start).frames, plain)
    assert not torch.allclose(model.condition(z_q, speaker, adaptation=an_adaptation(model)).frames, plain, atol=1e-3)


def test_the_fit_predicts_frames_of_the_voice_that_it_has_not_seen():
    model = model_with_mel()
    mean, factor = enrollment.whitening(model.conditioning.speaker.weight)
    crops = crops_of(model, mean + factor @ torch.tensor([1.0, -1.0, 0.5, 1.5]))
    vector, adaptation = enrollment.fit(model, crops[:6], ridge=0.0, mel_steps=200, likelihood_steps=0)
    with torch.no_grad():
        before = float(enrollment.mel_error(model, crops[6:], mean))
        assert float(enrollment.mel_error(model, crops[6:], vector, adaptation)) < before / 4


def test_steps_with_the_likelihood_make_the_samples_likelier():
    model = model_with_mel()
    with torch.no_grad():
        model.wavenet.out.weight.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
    crops, nats = crops_of(model, model.conditioning.speaker.weight[1].detach()), []
    crops = dataclasses.replace(crops, classes=torch.full_like(crops.classes, 160))
    for likelihood_steps in (0, 60):
        vector, adaptation = enrollment.fit(model, crops, mel_steps=20, likelihood_steps=likelihood_steps)
        with torch.no_grad():
            conditioning = model.condition(crops.z_q, vector.expand(len(crops), -1), crops.f0_contour, adaptation)
            nats.append(float(model.negative_log_likelihood(crops.classes, conditioning).mean()))
    assert nats[1] < nats[0]


def test_a_model_whose_conditioner_has_no_convolutions_enrolls_a_vector():
    model = model_with_mel(conditioning_layers=0)
    crops = crops_of(model, model.conditioning.speaker.weight[1].detach())
    vector, adaptation = enrollment.fit(model, crops, mel_steps=2, likelihood_steps=1)
    assert torch.isfinite(vector).all() and adaptation.fits(0, 8, 24)
    assert torch.isfinite(enrollment.mel_error(model, crops, vector, adaptation))


def test_weights_learn_again_after_a_fit_also_one_that_is_interrupted():
    model = model_with_mel()
    crops, learning = crops_of(model, model.conditioning.speaker.weight[1].detach()), []

    def stop(share):
        learning.append(any(parameter.requires_grad for parameter in model.parameters()))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        enrollment.fit(model, crops, progress=stop)
    assert learning == [False] and all(parameter.requires_grad for parameter in model.parameters())


def test_codes_may_be_those_of_other_recordings_than_the_frames(speechlike):
    model = model_with_mel()
    samples, other = (level.normalise(speechlike(3.0, seed=n), RATE).samples[: 2 * RATE] for n in (0, 1))
    own, mixed, of_other = (
        enrollment.make_crops(model, [frames], 7.0, [codes])
        for frames, codes in ((samples, samples), (samples, other), (other, other))
    )
    assert torch.equal(mixed.z_q, of_other.z_q) and not torch.equal(mixed.z_q, own.z_q)
    for name in ("f0_contour", "log_mel", "classes", "counted"):
        assert torch.equal(getattr(mixed, name), getattr(own, name))


def test_a_stronger_ridge_stays_nearer_to_the_table():
    model = model_with_mel()
    mean, factor = enrollment.whitening(model.conditioning.speaker.weight)
    crops = crops_of(model, mean + factor @ torch.full((4,), 2.0))
    distances = []
    for ridge in (0.0, 1.0, 100.0):
        vector, _ = enrollment.fit(model, crops, ridge=ridge, mel_steps=100, likelihood_steps=0)
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
    for one, other in zip(first.adaptation.parts().values(), again.adaptation.parts().values()):
        assert torch.equal(one, other) and torch.equal(one, one.half().float()) and one.any()
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
