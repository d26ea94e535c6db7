"""FAULTS rows 34 and 38: stopped and resumed equals uninterrupted, bit for bit."""

import json
import os
import signal

import pytest
import torch
import yaml
from tiny_training import before_step, command, start, status, tiny_config, trainer

from vqvc.training import checkpoint
from vqvc.training.vqvae_task import VQVAETask

VARIANTS = {
    "ema": {},
    "gradient": {"quantizer": {"update": "gradient"}, "decoder": {"output": "categorical"}},
    "bypassed": {"training": {"quantizer_start_step": 4}},
    "muon": {"training": {"optimizer": "muon_all", "decoder_warmup_fraction": 0.25}},
    "units": {
        "encoder": {"input": "units", "channels": [], "strides": [], "feature_hop": 160, "n_mels": 20, "units": 16},
        "training": {"crop_samples": 320},
    },
    "adversary": {"training": {"adversary_weight": 1.0}},
    "warm-up": {"training": {"decoder_warmup_fraction": 0.5, "precision": "bfloat16", "speaker_balance": 1.0}},
}


def _state(folder) -> tuple[dict, int]:
    _, tensors, facts = checkpoint.load_newest(folder)
    return tensors, facts["step"]


def _assert_equal(folder, other):
    (ours, step), (theirs, other_step) = _state(folder), _state(other)
    assert step == other_step and ours.keys() == theirs.keys()
    assert {name.split(".")[0] for name in ours} == {"model", "average", "optimizer", "epoch_counts"}
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert not different, different


def _stop_at(monkeypatch, step, number=signal.SIGTERM):
    """Send this process a signal when it begins a step."""
    before_step(monkeypatch, VQVAETask, lambda now: now == step and os.kill(os.getpid(), number))


@pytest.mark.parametrize("variant", VARIANTS)
def test_row_38_a_resumed_run_equals_the_uninterrupted_one(variant, store, tmp_path, monkeypatch):
    config = tiny_config(**VARIANTS[variant])
    whole = trainer(config, store, tmp_path / "whole").run()
    assert whole.signal is None and whole.step == 8 and whole.held_out.samples > 0
    with monkeypatch.context() as patch:
        _stop_at(patch, 3)
        stopped = trainer(config, store, tmp_path / "parts").run()
    assert stopped.signal == signal.SIGTERM and stopped.step == 4  # the step that was under way, and no more
    assert _state(tmp_path / "parts")[1] == 4
    torch.rand(7)  # nothing depends on the randomness around it
    resumed = trainer(config, store, tmp_path / "parts").run()
    assert resumed.signal is None and resumed.held_out.bits_per_sample == whole.held_out.bits_per_sample
    _assert_equal(tmp_path / "parts", tmp_path / "whole")


def test_a_finished_run_only_validates_again(store, tmp_path):
    first = trainer(tiny_config(), store, tmp_path).run()
    again = trainer(tiny_config(), store, tmp_path).run()
    assert again.step == first.step and again.held_out == first.held_out


def test_same_seed_same_model_and_another_seed_another(store, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trainer(tiny_config(training={"steps": 2, "seed": seed}), store, tmp_path / name).run()
    _assert_equal(tmp_path / "a", tmp_path / "b")
    assert not torch.equal(
        _state(tmp_path / "a")[0]["model.quantizer.codebook"], _state(tmp_path / "c")[0]["model.quantizer.codebook"]
    )


def test_minutes_end_a_run_with_its_rate_fallen(store, tmp_path):
    config = tiny_config(training={"steps": 100_000})
    finished = trainer(config, store, tmp_path, minutes_limit=0.01).run()
    assert finished.signal is None and 0.01 <= finished.minutes < 0.5 and finished.step < 100_000


def test_the_loss_falls(store, tmp_path):
    settings = {"steps": 60, "learning_rate": 1e-2, "decay_fraction": 0.2}
    trainer(tiny_config(training=settings), store, tmp_path).run()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    bits = [line["loss_bits"] for line in lines if line["event"] == "train"]
    assert bits[-1] < bits[0] - 0.3


@pytest.fixture
def arguments(store, tmp_path):
    """arguments(folder, key=value, ...): those of vqvc-train for the tiny model."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_config().to_dict()))

    def make(folder, **training) -> list[str]:
        changes = [f"--set=training.{key}={value}" for key, value in training.items()]
        return ["--conf", str(path), "--store", str(store.path), "--out", str(folder), "--threads", "1", *changes]

    return make


@pytest.mark.timeout(600)
def test_row_34_the_command_stopped_by_each_signal_goes_on_to_the_same_end(arguments, tmp_path):
    """Rows 31, 34, 38, in processes of their own."""
    whole = tmp_path / "whole"
    running = [start(command, arguments(whole), log=tmp_path / "whole.log")]
    stops = {"TERM": (143, 5), "INT": (130, 5), "KILL": (-9, 4)}  # status, and the step that is kept
    for name in stops:
        often = {"checkpoint_minutes": 0} if name == "KILL" else {}
        given = arguments(tmp_path / name, **often)
        running.append(start(command, given, (4, getattr(signal, f"SIG{name}")), log=tmp_path / f"{name}.log"))
    assert [status(process) for process in running] == [0, 143, 130, -9]
    again = [start(command, arguments(tmp_path / name), log=tmp_path / f"{name}.log") for name in stops]
    assert [status(process) for process in again] == [0, 0, 0]
    for name, (_, kept) in stops.items():
        log = (tmp_path / f"{name}.log").read_text()
        assert f"resuming at step {kept} " in log and "Traceback" not in log
        assert name == "KILL" or "the same command goes on from here" in log
        _assert_equal(tmp_path / name, whole)
        assert (tmp_path / name / "model.safetensors").read_bytes() != b""


@pytest.mark.timeout(600)
def test_row_34_a_second_signal_stops_at_once(arguments, tmp_path):
    process = start(command, arguments(tmp_path / "run"), (4, signal.SIGTERM, 2), log=tmp_path / "log")
    assert status(process) == 143
    assert (
        checkpoint.load_newest(tmp_path / "run") is None and "goes on from here" not in (tmp_path / "log").read_text()
    )


def test_row_34_a_signal_ends_the_last_validation(store, tmp_path, monkeypatch):
    from vqvc.nn.vqvae import VQVAE

    plain, scored = VQVAE.encode, []

    def encode(self, waveform):
        scored.append(waveform)
        os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, waveform)

    monkeypatch.setattr(VQVAE, "encode", encode)
    finished = trainer(tiny_config(training={"steps": 2}), store, tmp_path).run()
    assert (finished.signal, finished.held_out, len(scored)) == (signal.SIGTERM, None, 1)
    assert _state(tmp_path)[1] == 2  # what was learned is kept
