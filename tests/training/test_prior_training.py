"""Training of the prior: resumed equals uninterrupted, learns more than pairs, refuses other codes."""

import os
import signal

import numpy as np
import pytest
import torch
from tiny_prior import SIZE, tiny_archive, tiny_settings
from tiny_training import before_step

from vqvc._util.lock import lock_folder
from vqvc.config import PriorSettings, from_dict
from vqvc.errors import ConfigError, CorpusError, ModelError, TrainingError
from vqvc.training import checkpoint
from vqvc.training.code_crops import CodeCrops, train_speakers
from vqvc.training.loop import Loop
from vqvc.training.prior_task import PriorTask


@pytest.fixture(scope="module")
def archive():
    return tiny_archive()


def _trainer(archive, folder, settings=None, **options) -> Loop:
    return Loop(PriorTask(settings or tiny_settings(), archive, train_speakers(archive)), folder, **options)


def _tensors(folder) -> dict:
    return checkpoint.load_newest(folder)[1]


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_row_38_a_resumed_prior_equals_the_uninterrupted_one(archive, tmp_path, monkeypatch, precision):
    settings = tiny_settings(prior={"dropout": 0.2, "token_dropout": 0.2}, training={"precision": precision})
    whole = _trainer(archive, tmp_path / "whole", settings).run()
    with monkeypatch.context() as patch:
        before_step(patch, PriorTask, lambda step: step == 3 and os.kill(os.getpid(), signal.SIGTERM))
        stopped = _trainer(archive, tmp_path / "parts", settings).run()
    assert (stopped.signal, stopped.step, whole.signal, whole.step) == (signal.SIGTERM, 4, None, 8)
    resumed = _trainer(archive, tmp_path / "parts", settings).run()
    assert resumed.signal is None and resumed.held_out == whole.held_out
    ours, theirs = _tensors(tmp_path / "parts"), _tensors(tmp_path / "whole")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_it_learns_what_pairs_of_codes_do_not_hold(tmp_path):
    """Codes that follow from the two before: a bigram stays at 3 bits, the source's entropy is 0.89 bits."""
    archive = tiny_archive(utterances=240, length=60)
    settings = tiny_settings(
        prior={"residual_channels": 32, "gate_channels": 64, "skip_channels": 64},
        training={"steps": 250, "batch_size": 16, "crop_codes": 64, "learning_rate": 1e-2, "warmup_steps": 20},
    )
    finished = _trainer(archive, tmp_path, settings).run()
    assert finished.held_out.bits_per_code < 1.8


def test_another_codebook_model_or_size_is_refused_or_begun_again(archive, tmp_path):
    _trainer(archive, tmp_path).run()
    for other, key in (
        (_trainer(tiny_archive(model="cd" * 32), tmp_path), "codes_of_model"),
        (_trainer(archive, tmp_path, tiny_settings(prior={"layers": 3})), "prior"),
    ):
        with pytest.raises(
            ModelError, match=f"was made with another {key}; train in another folder, or give --overwrite"
        ):
            other.run()
    again = _trainer(archive, tmp_path, tiny_settings(prior={"layers": 3}, training={"steps": 2}), restart=True).run()
    assert again.step == 2


def test_row_39_a_folder_in_use_is_refused(archive, tmp_path):
    with (
        lock_folder(tmp_path),
        pytest.raises(TrainingError, match=f"in use by process {os.getpid()}; wait for it or stop it"),
    ):
        _trainer(archive, tmp_path).run()


def test_row_41_a_loss_that_is_not_a_number_stops_the_prior(archive, tmp_path):
    trainer = _trainer(archive, tmp_path)
    with torch.no_grad():
        trainer.task.model.wavenet.out.bias[0] = float("nan")
    with pytest.raises(
        TrainingError, match="step 0: the loss or its gradient is not a number .*last good checkpoint: none yet"
    ):
        trainer.run()
    assert checkpoint.load_newest(tmp_path) is None


# --- crops


def _crops(archive, **changes) -> CodeCrops:
    settings = {"batch_size": 64, "crop_codes": 20, "context_codes": 6, "anonymous": 0.5, "seed": 1} | changes
    return CodeCrops(archive, train_speakers(archive), **settings)


def test_crops_hold_the_codes_of_their_utterances(archive):
    batch = _crops(archive).batch(3)
    assert set(batch.speaker) == {0, 1, 2}
    for codes, before, speaker, scored, utt_id in zip(
        batch.codes, batch.before, batch.speaker, batch.scored, batch.utt_ids
    ):
        whole = archive.codes_of(utt_id)
        length = int(np.flatnonzero(scored).max()) + 1
        starts = [s for s in range(len(whole)) if np.array_equal(whole[s : s + length], codes[:length])]
        assert any((before == SIZE and s == 0) or (s and before == whole[s - 1]) for s in starts)
        assert int(np.flatnonzero(scored).min()) == (0 if before == SIZE else 6)
        assert utt_id.startswith(f"p{speaker}_") or speaker == 0
        assert archive.subsets[archive.utt_ids.tolist().index(utt_id)] == "train"


def test_a_batch_depends_on_seed_and_step_alone(archive):
    one, same, other = _crops(archive).batch(5), _crops(archive).batch(5), _crops(archive).batch(6)
    assert np.array_equal(one.codes, same.codes) and one.utt_ids == same.utt_ids
    assert one.utt_ids != other.utt_ids


def test_an_archive_without_training_codes_is_an_error(archive):
    with pytest.raises(CorpusError, match="the subset train is empty"):
        CodeCrops(archive, (), batch_size=1, crop_codes=8, context_codes=0, anonymous=0.0, seed=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": {"gate_channels": 3}}, "prior.gate_channels: must be even"),
        ({"prior": {"dropout": 1.0}}, "prior.dropout: must be a number at least 0 and below 1, not 1.0"),
        ({"prior": {"layrs": 1}}, "did you mean prior.layers"),
        ({"training": {"context_codes": 384}}, "training.context_codes: must be smaller"),
    ],
)
def test_wrong_settings_are_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        from_dict(change, kind=PriorSettings)


def test_the_shipped_settings_are_the_defaults_with_comments():
    import re
    from pathlib import Path

    from vqvc import config

    path = Path(__file__).resolve().parents[2] / "recipes/conf/prior/wavenet.yaml"
    assert config.load(path, kind=PriorSettings) == PriorSettings()
    for line in path.read_text().splitlines():
        assert not re.match(r"  \w+:", line) or re.search(r"  # \w", line), line
