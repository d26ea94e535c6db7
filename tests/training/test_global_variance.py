"""Global variance: of loud frames of a speaker's own training speech, measured when training ends."""

import numpy as np
import pytest
import torch
from tiny_training import tiny_config, trainer

from vqvc.nn.builder import build_model
from vqvc.nn.cepstra import LOUD_DB, Cepstra
from vqvc.nn.features import LogMel
from vqvc.training import global_variance


def test_cepstra_are_an_orthonormal_transform_and_back():
    cepstra = Cepstra(40)
    assert torch.allclose(cepstra.basis @ cepstra.basis.T, torch.eye(30), atol=1e-5)
    smooth = cepstra.frames(torch.randn(5, 30, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(cepstra.frames(cepstra(smooth)), smooth, atol=1e-5)


def test_quiet_frames_do_not_count():
    cepstra = Cepstra(8)
    decibels = torch.tensor([0.0, -LOUD_DB + 1, -LOUD_DB - 1, -100.0])
    power = (decibels * np.log(10) / 10 / LogMel.SCALE)[:, None].expand(-1, 8)  # as LogMel scales it
    shape = torch.tensor([1.0, 3.0, 50.0, 70.0])[:, None] * cepstra.basis[3]
    found = cepstra.variance(cepstra(power + shape))
    assert float(found[3]) == pytest.approx(1.0, abs=1e-4)  # of 1 and 3


def test_each_speaker_has_the_variance_of_its_own_training_speech(store):
    torch.manual_seed(0)
    model = build_model(tiny_config().model, 4).eval()
    global_variance.measure(model, store, ("p2", "p0", "nobody", "p1"))
    for row, name in enumerate(("p2", "p0", "nobody", "p1")):
        expected = []
        for utterance in store.subset("train"):
            if utterance.speaker == name:
                samples = store.waveform(utterance)
                frames = model.mel(torch.from_numpy(np.pad(samples, (0, -len(samples) % model.mel.hop)))[None])[0].T
                rows = Cepstra(8)(frames)
                expected.append(rows[Cepstra(8).loud(rows)].var(0, unbiased=False))
        wanted = torch.stack(expected).mean(0) if expected else torch.zeros(8)
        assert torch.allclose(model.global_variance[row], wanted, atol=1e-5)
    assert model.global_variance[0].min() > 0 and not model.global_variance[2].any()


def test_a_trained_model_knows_its_voices(store, tmp_path):
    finished = trainer(tiny_config(), store, tmp_path / "run").run()
    assert (finished.model.global_variance[:, 1:] > 0).all()
