"""On a GPU alone: steps that are replayed from a recording learn what steps that are not learn."""

import pytest
import torch
from tiny_training import tiny_config, trainer

from vqvc.training.step import UNRECORDED

STEPS = 12
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def _learned(store, folder, records: bool, **training):
    config = tiny_config(training={"steps": STEPS, "optimizer": "muon", "input_noise": 1.0, "decoder_warmup_fraction": 0.4, "quantizer_start_step": 2} | training,
                         decoder={"f0": True})  # fmt: skip
    run = trainer(config, store, folder, device="cuda")
    run.task.step.records = records
    run.run()
    assert bool(run.task.step._recorded) == records and run.task.step._steps > UNRECORDED
    return {name: tensor.cpu() for name, tensor in run.task.model.state_dict().items()}


def test_recorded_and_unrecorded_steps_learn_alike(store, tmp_path):
    """But for the order in which a GPU adds up: every change of phase, draw, learning rate and optimizer is in it."""
    recorded, plain = (_learned(store, tmp_path / str(records), records) for records in (True, False))
    still = _learned(store, tmp_path / "still", False, learning_rate=1e-9)
    for name, tensor in plain.items():
        if tensor.is_floating_point() and name != "encoder.project.bias":  # which the normalisation takes away again
            moved = (tensor - still[name]).norm()
            assert (recorded[name] - tensor).norm() <= 0.05 * moved + 1e-4, name
