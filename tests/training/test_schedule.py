"""The learning rate over a run, the averaged weights, and what the log keeps."""

import json
import math

import pytest
import torch
from torch import nn

from vqvc.config import TrainingConfig
from vqvc.training.average import AveragedModel
from vqvc.training.loop import learning_rate
from vqvc.training.tracker import Tracker

RATE = TrainingConfig(learning_rate=1.0, warmup_steps=10, decay_fraction=0.4)


def test_the_rate_rises_stays_and_falls_to_a_hundredth():
    assert [learning_rate(RATE, step, 0.0) for step in (0, 4, 9, 10, 500)] == pytest.approx([0.1, 0.5, 1, 1, 1])
    assert learning_rate(RATE, 999, 0.6) == pytest.approx(1) and learning_rate(RATE, 999, 0.8) == pytest.approx(0.505)
    assert learning_rate(RATE, 999, 1.0) == pytest.approx(0.01) == learning_rate(RATE, 999, 1.7)
    falling = [learning_rate(RATE, 999, p / 100) for p in range(60, 101)]
    assert falling == sorted(falling, reverse=True)


def test_no_warm_up_and_no_decay_are_possible():
    plain = TrainingConfig(learning_rate=0.5, warmup_steps=0, decay_fraction=0.0)
    assert learning_rate(plain, 0, 0.0) == learning_rate(plain, 7, 0.99) == 0.5


def test_averages_follow_weights_slowly_and_copy_buffers():
    torch.manual_seed(0)
    model = nn.BatchNorm1d(3)
    average, expected = AveragedModel(model, decay=0.5), torch.ones(3)
    for step in range(6):
        with torch.no_grad():
            model.weight.normal_()
            model.running_mean.normal_()
        average.update(model, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.weight.detach()
        assert torch.allclose(average.module.weight, expected) and torch.equal(
            average.module.running_mean, model.running_mean
        )
    assert not average.module.training and not average.module.weight.requires_grad


def test_the_log_is_a_line_of_json_for_each_event_and_goes_on(tmp_path):
    for step in (1, 2):
        tracker = Tracker(tmp_path, tensorboard=False)
        tracker.write("train", step=step, minutes=0.5, loss_bits=math.nan if step == 2 else 4.5, note="é")
        tracker.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {"event": "train", "step": 1, "minutes": 0.5, "loss_bits": 4.5, "note": "é"}
    assert lines[1]["loss_bits"] is None
