"""When the codebook starts: after ``quantizer_start_step``, or in time for a run that is too short for so many."""

import pytest
from tiny_training import tiny_config, trainer

from vqvc.training.objective import Objective
from vqvc.training.vqvae_task import BYPASS_FRACTION


@pytest.fixture
def asked(monkeypatch) -> list[bool]:
    """Whether each training step left the codebook out."""
    found, forward = [], Objective.__call__

    def watched(self, model, *batch, **options):
        if model.training:  # not when a checkpoint is tried on unseen speech
            found.append(options["phase"].bypass_quantizer)
        return forward(self, model, *batch, **options)

    monkeypatch.setattr(Objective, "__call__", watched)
    return found


def test_it_starts_after_so_many_steps(store, tmp_path, asked):
    trainer(tiny_config(training={"quantizer_start_step": 3}), store, tmp_path / "run").run()
    assert asked == [True] * 3 + [False] * 5


def test_a_run_of_few_minutes_has_it_in_time(store, tmp_path, asked):
    """On a slow machine 300 steps may never come; the decoder would have learned nothing about codes."""
    run = trainer(tiny_config(training={"quantizer_start_step": 300}), store, tmp_path / "run", minutes_limit=1.0)
    begun, run._progress = [], lambda: run.step * BYPASS_FRACTION / 2
    run.task.start_codebook = lambda start=run.task.start_codebook: (begun.append(run.step), start())
    run.run()
    assert begun == [2]
    assert asked == [True] * 2 + [False] * 6


def test_a_run_without_a_limit_waits_for_its_steps(store, tmp_path, asked):
    trainer(tiny_config(training={"quantizer_start_step": 300}), store, tmp_path / "run").run()
    assert asked == [True] * 8


def test_it_starts_once_however_often_a_run_is_resumed(store, tmp_path, asked):
    config, folder = tiny_config(training={"quantizer_start_step": 300}), tmp_path / "run"
    begun = []
    for steps in (2, 5, 8):  # the run is stopped after so many
        run = trainer(config, store, folder, minutes_limit=1.0)
        run._progress = lambda run=run, steps=steps: 2.0 if run.step == steps else run.step * BYPASS_FRACTION / 3
        run.task.start_codebook = lambda start=run.task.start_codebook, run=run: (begun.append(run.step), start())
        run.run()
    assert begun == [3]
    assert asked == [True] * 3 + [False] * 5
