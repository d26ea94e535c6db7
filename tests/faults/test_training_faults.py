"""FAULTS rows 41 to 44 and 48: numbers that are none, codes that die, items that are bad."""

import logging
import math
import os
import signal

import pytest
import torch
import yaml
from tiny_training import tiny_config, tiny_store, trainer

from vqvc.cli import train
from vqvc.errors import CorpusError, TrainingError
from vqvc.nn.encoder import Normalise
from vqvc.nn.vqvae import VQVAE
from vqvc.training import checkpoint
from vqvc.training.interrupt import Interrupt
from vqvc.training.tracker import Tracker


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(Tracker, "_open_board", staticmethod(lambda folder: None))
    return tiny_store(tmp_path / "dump", speakers=2, utterances=3)


def _spoil(monkeypatch, owner, method: str, call: int, spoil):
    """Put the result of call number ``call`` of a method through ``spoil``."""
    plain, calls = getattr(owner, method), []

    def spoiled(self, *given, **named):
        calls.append(1)
        result = plain(self, *given, **named)
        return spoil(result) if len(calls) == call else result

    monkeypatch.setattr(owner, method, spoiled)


def _checkpoints_are_finite(folder) -> int:
    _, tensors, facts = checkpoint.load_newest(folder)
    assert all(torch.isfinite(tensor.float()).all() for tensor in tensors.values())
    return facts["step"]


SAVES = {"checkpoint_minutes": 0.0}  # after every step


@pytest.mark.parametrize(
    "spoil",
    [lambda nll: nll * math.nan, lambda nll: nll / 0, lambda nll: nll + (nll * 0).sqrt()],
    ids=["nan", "infinite", "gradient"],
)
def test_row_41_a_loss_that_is_no_number_names_step_utterances_and_checkpoint(store, tmp_path, monkeypatch, spoil):
    run = trainer(tiny_config(training=SAVES), store, tmp_path / "run")
    _spoil(monkeypatch, VQVAE, "negative_log_likelihood", 4, spoil)
    with pytest.raises(TrainingError) as caught:
        run.run()
    said = str(caught.value)
    assert said.startswith("step 3: the loss or its gradient is not a number (utterances p")
    assert f"last good checkpoint: {tmp_path / 'run' / 'checkpoint-00000003.safetensors'};" in said
    assert all(torch.isfinite(parameter).all() for parameter in run.model.parameters())
    assert _checkpoints_are_finite(tmp_path / "run") == 3
    monkeypatch.undo()
    assert trainer(tiny_config(), store, tmp_path / "run").run().step == 8  # and on from there


def test_row_41_the_command_fails_with_one_sentence_and_releases_nothing(store, tmp_path, monkeypatch, capsys):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_config().to_dict()))
    _spoil(monkeypatch, VQVAE, "negative_log_likelihood", 2, lambda nll: nll * math.nan)
    given = ["--conf", str(path), "--store", str(store.path), "--out", str(tmp_path / "run"), "--threads", "1"]
    assert train.main(given) == 1
    said = capsys.readouterr().err
    assert "error: step 1: the loss" in said and "last good checkpoint: none yet" in said and "Traceback" not in said
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_row_41_a_wild_learning_rate_never_leaves_a_bad_checkpoint(store, tmp_path):
    wild = SAVES | {"learning_rate": 1e18, "warmup_steps": 0, "steps": 30}
    with pytest.raises(TrainingError, match="a lower training.learning_rate may help"):
        trainer(tiny_config(training=wild), store, tmp_path / "run").run()
    if checkpoint.load_newest(tmp_path / "run"):
        _checkpoints_are_finite(tmp_path / "run")


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_row_42_a_latent_that_is_no_number_leaves_the_codebook(store, tmp_path, monkeypatch, update):
    run = trainer(tiny_config(quantizer={"update": update}, training=SAVES), store, tmp_path / "run")
    from vqvc.training.trainer import CODEBOOK_BATCHES

    _spoil(monkeypatch, Normalise, "forward", CODEBOOK_BATCHES + 3, lambda z: z * math.nan)
    with pytest.raises(TrainingError, match="step 2: the loss or its gradient is not a number .utterances p"):
        run.run()
    _, tensors, _ = checkpoint.load_newest(tmp_path / "run")
    for name, tensor in run.model.quantizer.state_dict().items():
        assert torch.equal(tensor, tensors[f"model.quantizer.{name}"]), name


def test_row_43_dead_codes_are_told_with_usage_and_remedy(store, tmp_path):
    run = trainer(tiny_config(), store, tmp_path)
    lines, logger = [], logging.getLogger("vqvc.training")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    tracker = Tracker(tmp_path, tensorboard=False)
    try:
        for counts in ([5, 5, 5, 5, 0, 0, 0, 0], [9, 0, 0, 1, 0, 0, 0, 3]):
            run.epoch_counts = torch.tensor(counts, dtype=torch.float32)
            run._end_epoch(tracker)
    finally:
        logger.removeHandler(handler)
        tracker.close()
    assert len(lines) == 1  # half of the codes is enough
    assert "only 3 of 8 codes were used in this epoch" in lines[0] and "quantizer.restart_below" in lines[0]
    assert not run.epoch_counts.any()


def test_row_44_training_with_and_without_validation_is_the_same(store, tmp_path):
    for name, minutes in (("often", 0.0), ("never", 60.0)):
        trainer(tiny_config(training={"steps": 3, "valid_minutes": minutes}), store, tmp_path / name).run()
    often, never = (checkpoint.load_newest(tmp_path / name)[1] for name in ("often", "never"))
    assert '"valid"' in (tmp_path / "often" / "log.jsonl").read_text()
    assert all(torch.equal(often[name], never[name]) for name in never)


def test_row_48_a_bad_item_ends_the_run_with_its_name(store, tmp_path):
    run = trainer(tiny_config(), store, tmp_path / "run")
    store.__dict__["audio"] = store.audio[: store.subset("train")[-1].offset_samples]
    with pytest.raises(CorpusError, match=f"{store.subset('train')[-1].utt_id} is cut short in the store"):
        run.run()


def test_row_34_the_first_signal_is_noted_and_handlers_are_given_back():
    before = signal.getsignal(signal.SIGTERM)
    with Interrupt() as interrupt:
        assert interrupt.received is None
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupt.received == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_store_at_another_rate_is_refused(store, tmp_path):
    with pytest.raises(TrainingError, match="is at 16000 Hz, the model wants 8000 Hz"):
        trainer(tiny_config(audio={"sample_rate": 8000}), store, tmp_path)


def test_a_step_that_says_only_padding_is_no_fault(tmp_path):
    """Utterances shorter than a crop: what is said again may lie behind all of them."""
    settings = {"crop_samples": 2048, "said_samples": 256, "batch_size": 1, "steps": 6}
    short = tiny_store(tmp_path / "short", utterances=2, length_samples=64)
    assert trainer(tiny_config(training=settings), short, tmp_path / "run").run().step == 6
