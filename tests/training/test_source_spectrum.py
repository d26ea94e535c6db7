"""The spectrum of the training speech: measured when training ends, for the equalizer."""

import numpy as np
import torch
from tiny_training import tiny_config, trainer

from vqvc.audio import long_term_spectrum
from vqvc.nn.builder import build_model
from vqvc.training import source_spectrum
from vqvc.training.initialization import Initialization


def test_mean_and_deviation_are_those_over_training_utterances(store):
    model = build_model(tiny_config().model, 3).eval()
    source_spectrum.measure(model, store)
    bands_db = [
        long_term_spectrum.measure(store.waveform(u), store.sample_rate).bands_db for u in store.subset("train")
    ]
    wanted = np.stack([np.mean(bands_db, 0), np.std(bands_db, 0)])
    assert np.allclose(model.source_spectrum.numpy(), wanted, atol=1e-3)


def test_some_utterances_are_drawn_and_every_run_draws_the_same(store):
    def measured(utterances: int, seed: int = 0) -> torch.Tensor:
        model = build_model(tiny_config().model, 3)
        source_spectrum.measure(model, store, utterances, seed)
        return model.source_spectrum

    assert torch.equal(measured(3), measured(3)) and not torch.equal(measured(3), measured(3, seed=1))
    assert not torch.equal(measured(3), measured(4))
    assert not measured(1)[1].any() and measured(1)[0].any()


def test_a_trained_model_knows_its_speech(store, tmp_path):
    finished = trainer(tiny_config(), store, tmp_path / "run").run()
    assert finished.model.source_spectrum[0].any() and (finished.model.source_spectrum[1] >= 0).all()


def test_a_training_that_begins_from_a_model_without_it_measures_it(store, tmp_path):
    old = build_model(tiny_config().model, 3).eval()
    begun = trainer(tiny_config(), store, tmp_path / "run", start=Initialization(old, ("p0", "p1", "p2"), tmp_path))
    assert not begun.task.model.source_spectrum.any()
    assert begun.run().model.source_spectrum.any()
