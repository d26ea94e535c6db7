"""FAULTS rows 34, 41 to 44, 48, 54, 65, 72, 82 and 87: numbers that are none, codes that die, items that are bad, stores that do not fit."""

import json
import logging
import math
import os
import signal

import numpy as np
import pytest
import torch
import yaml
from tiny_prior import tiny_archive, tiny_settings
from tiny_training import tiny_config, tiny_store, trainer

from vqvc.cli import train
from vqvc.conversion import model_file
from vqvc.corpus.store import PackedStore, Speaker
from vqvc.corpus.store_writer import StoreWriter
from vqvc.errors import CorpusError, ModelError, TrainingError
from vqvc.nn.encoder import Normalise
from vqvc.nn.vqvae import VQVAE
from vqvc.training import checkpoint, loop
from vqvc.training.interrupt import Interrupt
from vqvc.training.loop import Loop
from vqvc.training.prior_task import PriorTask
from vqvc.training.tracker import Tracker


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(Tracker, "_open_board", staticmethod(lambda folder: None))
    return tiny_store(tmp_path / "dump", speakers=2, utterances=3)


def _spoil(monkeypatch, owner, method: str, call: int, spoil):
    """Put the result of call number ``call`` of a module's method through ``spoil``, counting those of training alone."""
    plain, calls = getattr(owner, method), []

    def spoiled(self, *given, **named):
        result = plain(self, *given, **named)
        if not self.training:  # when a checkpoint is tried on unseen speech
            return result
        calls.append(1)
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
    message = str(caught.value)
    assert message.startswith("step 3: the loss or its gradient is not a number (utterances p")
    assert f"last good checkpoint: {tmp_path / 'run' / 'checkpoint-00000003.safetensors'};" in message
    assert all(torch.isfinite(parameter).all() for parameter in run.task.model.parameters())
    assert _checkpoints_are_finite(tmp_path / "run") == 3
    monkeypatch.undo()
    assert trainer(tiny_config(), store, tmp_path / "run").run().step == 8  # and on from there


def test_row_41_the_command_fails_with_one_sentence_and_releases_nothing(store, tmp_path, monkeypatch, capsys):
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_config().to_dict()))
    _spoil(monkeypatch, VQVAE, "negative_log_likelihood", 2, lambda nll: nll * math.nan)
    given = ["--conf", str(path), "--store", str(store.path), "--out", str(tmp_path / "run"), "--threads", "1"]
    assert train.main(given) == 1
    err = capsys.readouterr().err
    assert "error: step 1: the loss" in err and "last good checkpoint: none yet" in err and "Traceback" not in err
    assert not (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.parametrize("rate", [1.0, 1e18, 1e30])
def test_row_82_wild_weights_are_never_saved_and_the_run_goes_on_from_before_them(store, tmp_path, monkeypatch, rate):
    """The rate is what settings allow until step 4, then it is wild; a checkpoint is asked for after every step."""
    config = tiny_config(training=SAVES | {"steps": 40})
    with monkeypatch.context() as patch:
        plain = loop.learning_rate
        patch.setattr(
            loop,
            "learning_rate",
            lambda settings, step, progress: plain(settings, step, progress) if step < 4 else rate,
        )
        with pytest.raises(TrainingError, match="a lower training.learning_rate may help") as caught:
            trainer(config, store, tmp_path / "run").run()
    path, tensors, facts = checkpoint.load_newest(tmp_path / "run")
    assert f"last good checkpoint: {path};" in str(caught.value)
    assert _checkpoints_are_finite(tmp_path / "run") >= 4
    assert max(facts["unseen_bits"]) <= loop.WORST * 8
    resumed = trainer(config, store, tmp_path / "run").run()
    assert resumed.step == 40 and resumed.held_out.bits_per_sample < 8.5


def test_row_82_every_checkpoint_was_validated_and_a_damaged_one_falls_back_to_such(store, tmp_path):
    trainer(tiny_config(training=SAVES), store, tmp_path).run()
    newest = checkpoint.load_newest(tmp_path)[0]
    newest.write_bytes(newest.read_bytes()[:-1])
    _, _, facts = checkpoint.load_newest(tmp_path)
    assert facts["step"] == 7 and all(math.isfinite(bits) for bits in facts["unseen_bits"])


def test_row_82_a_state_that_is_not_finite_is_not_saved(store, tmp_path):
    run = trainer(tiny_config(), store, tmp_path)

    def before_last(step, log):
        if step == 8:
            next(iter(run.task.optimizers[0].state.values()))["exp_avg_sq"].fill_(math.inf)

    run.task.end_step = before_last
    with pytest.raises(
        TrainingError, match="step 8: optimizer..*exp_avg_sq holds numbers that are not finite, and is not saved"
    ):
        run.run()
    assert checkpoint.load_newest(tmp_path) is None


@pytest.mark.parametrize("update", ["ema", "gradient"])
def test_row_42_a_latent_that_is_no_number_leaves_the_codebook(store, tmp_path, monkeypatch, update):
    run = trainer(tiny_config(quantizer={"update": update}, training=SAVES), store, tmp_path / "run")
    from vqvc.training.vqvae_task import CODEBOOK_BATCHES

    _spoil(monkeypatch, Normalise, "forward", CODEBOOK_BATCHES + 3, lambda z: z * math.nan)
    with pytest.raises(TrainingError, match="step 2: the loss or its gradient is not a number .utterances p"):
        run.run()
    _, tensors, _ = checkpoint.load_newest(tmp_path / "run")
    for name, tensor in run.task.model.quantizer.state_dict().items():
        assert torch.equal(tensor, tensors[f"model.quantizer.{name}"]), name


def test_row_43_dead_codes_are_reported_with_usage_and_remedy(store, tmp_path):
    run = trainer(tiny_config(), store, tmp_path)
    lines, logger = [], logging.getLogger("vqvc.training")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    tracker = Tracker(tmp_path, tensorboard=False)
    try:
        for counts in ([5, 5, 5, 5, 0, 0, 0, 0], [9, 0, 0, 1, 0, 0, 0, 3]):
            run.task.epoch_counts = torch.tensor(counts, dtype=torch.float32)
            run.task.end_epoch(1, lambda event, **values: tracker.write(event, step=1, minutes=0.0, **values))
    finally:
        logger.removeHandler(handler)
        tracker.close()
    assert len(lines) == 1  # half of the codes is enough
    assert "only 3 of 8 codes were used in this epoch" in lines[0] and "quantizer.restart_below" in lines[0]
    assert not run.task.epoch_counts.any()


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


def test_a_step_of_padding_alone_is_no_fault(tmp_path):
    """Utterances shorter than a crop: the decoder's crop may lie behind all of them."""
    settings = {"crop_samples": 2048, "decoder_crop_samples": 256, "batch_size": 1, "steps": 6}
    short = tiny_store(tmp_path / "short", utterances=2, length_samples=64)
    assert trainer(tiny_config(training=settings), short, tmp_path / "run").run().step == 6


# --- stores and models that do not fit together


def _command(store, folder, tmp_path, *more, **training) -> int:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_config(training={"steps": 3} | training).to_dict()))
    return train.main(["--conf", str(path), "--store", str(store.path), "--out", str(folder), "--threads", "1", *more])


def _write_store(path, speech, speakers, level_rms=0.06):
    """A store of ``speech``: (utt_id, speaker, subset); ``speakers``: the rows of its table."""
    rng = np.random.default_rng(0)
    with StoreWriter(path, sample_rate=16000, level_rms=level_rms) as writer:
        for utt_id, speaker, subset in speech:
            writer.add(utt_id, 0.06 * rng.standard_normal(1600), speaker=speaker, subset=subset)
        writer.finish([Speaker(name) for name in speakers])
    return PackedStore(path)


@pytest.mark.parametrize("apart", [("dev", "test"), ()], ids=["held out are strangers", "nothing is held out"])
def test_row_54_thirty_speakers_of_one_recording_each_train_to_the_end(tmp_path, capsys, monkeypatch, apart):
    monkeypatch.setattr(Tracker, "_open_board", staticmethod(lambda folder: None))
    names = [f"p{n:02d}" for n in range(30)]
    subsets = [*apart, *["train"] * (30 - len(apart))]
    store = _write_store(
        tmp_path / "dump", [(f"{name}_1", name, subset) for name, subset in zip(names, subsets)], names
    )
    assert _command(store, tmp_path / "run", tmp_path, checkpoint_minutes=0.0, valid_minutes=0.0) == 0
    captured = capsys.readouterr()
    assert "nothing is held out" in captured.err and "Traceback" not in captured.err and "held-out" not in captured.out
    model = model_file.read(tmp_path / "run" / "model.safetensors")
    assert len(model.speakers) == 30 - len(apart) and "held_out" not in model.training


def test_row_65_a_store_at_another_level_is_refused_with_both_remedies(tmp_path, capsys):
    store = _write_store(tmp_path / "dump", [("a_1", "a", "train"), ("a_2", "a", "dev")], ["a"], level_rms=0.1)
    assert _command(store, tmp_path / "run", tmp_path) == 1
    err = capsys.readouterr().err
    assert "packed at a level of 0.1, the model's audio.level_rms is 0.06; pack it with --level-rms 0.06" in err
    assert "--set audio.level_rms=0.1" in err and not (tmp_path / "run").exists()
    assert _command(store, tmp_path / "run", tmp_path, "--set", "audio.level_rms=0.1") == 0
    assert model_file.read(tmp_path / "run" / "model.safetensors").config.audio.level_rms == 0.1


def test_row_72_another_store_on_resume_is_refused(store, tmp_path, capsys):
    assert _command(store, tmp_path / "run", tmp_path) == 0
    before = checkpoint.load_newest(tmp_path / "run")[0].read_bytes()
    other = tiny_store(tmp_path / "other", speakers=2, utterances=3, length_samples=1700)
    assert _command(other, tmp_path / "run", tmp_path, steps=5) == 1
    assert f"was trained on another store than {other.path}; give that one as --store" in capsys.readouterr().err
    assert checkpoint.load_newest(tmp_path / "run")[0].read_bytes() == before
    assert _command(store, tmp_path / "run", tmp_path, steps=5) == 0
    assert model_file.read_header(tmp_path / "run" / "model.safetensors").training["store"] == store.sha256


def test_row_72_the_same_audio_divided_in_another_way_is_another_store(tmp_path):
    speech = [("a_1", "a", "train"), ("a_2", "a", "train"), ("a_3", "a", "dev")]
    one = _write_store(tmp_path / "one", speech, ["a"])
    two = _write_store(tmp_path / "two", [speech[0], ("a_2", "a", "dev"), ("a_3", "a", "train")], ["a"])
    assert one.sha256 == two.sha256
    trainer(tiny_config(training={"steps": 1}), one, tmp_path / "run").run()
    with pytest.raises(ModelError, match="trained on another store"):
        trainer(tiny_config(training={"steps": 2}), two, tmp_path / "run").run()


def test_row_72_noise_in_place_of_the_audio_is_noticed(store, tmp_path, capsys):
    audio = store.path / "audio.s16"
    audio.write_bytes(np.random.default_rng(0).bytes(audio.stat().st_size))
    assert _command(store, tmp_path / "run", tmp_path) == 1
    err = capsys.readouterr().err
    assert "audio.s16: checksum" in err and "run vqvc-pack again" in err
    assert not (tmp_path / "run").exists()


def test_row_72_a_speaker_that_the_table_lacks_is_named(tmp_path, capsys):
    store = _write_store(tmp_path / "dump", [("a_1", "a", "train"), ("b_1", "b", "train")], ["a", "b"])
    table = store.path / "speakers.tsv"
    table.write_text("\n".join(line for line in table.read_text().splitlines() if not line.startswith("b")) + "\n")
    assert _command(store, tmp_path / "run", tmp_path) == 1
    err = capsys.readouterr().err
    assert "b" in err and "speakers.tsv" in err and "Traceback" not in err and not (tmp_path / "run").exists()


# --- one loop


@pytest.mark.parametrize("kind", ["model", "prior"])
def test_row_87_minutes_are_of_training_alone(store, tmp_path, monkeypatch, kind):
    """A step takes a second, validating and saving ten each: five seconds are five steps."""
    if kind == "model":
        run = trainer(
            tiny_config(training=SAVES | {"valid_minutes": 0.0}), store, tmp_path / "run", minutes_limit=5 / 60
        )
    else:
        task = PriorTask(tiny_settings(training=SAVES | {"valid_minutes": 0.0}), tiny_archive(), ("p1", "p2"))
        run = Loop(task, tmp_path / "run", minutes_limit=5 / 60)
    now = [0.0]

    def takes(owner, name, seconds):
        plain = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *given: (now.__setitem__(0, now[0] + seconds), plain(*given))[1])

    takes(run.task, "train_step", 1.0)
    takes(run.task, "validate", 10.0)
    takes(run.task, "unseen_bits", 10.0)
    monkeypatch.setattr(loop, "perf_counter", lambda: now[0])
    finished = run.run()
    assert (finished.step, finished.minutes) == (5, 5 / 60)
    events = [json.loads(line)["event"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert events.count("valid") == 5 and events[-1] == "end"
