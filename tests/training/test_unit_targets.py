"""Masked prediction of acoustic units: which units a crop has, what is hidden, what learns, and that a run resumes as it was."""

import numpy as np
import pytest
import torch
from tiny_training import tiny_config, tiny_store, trainer

from vqvc.errors import ConfigError, TrainingError
from vqvc.nn.builder import build_model
from vqvc.training.objective import Objective, hidden_spans
from vqvc.training.unit_targets import SHIFTS, UnitTargets

HOP = 320
ENCODER = {"input": "log_mel", "feature_hop": 160, "n_mels": 20, "units": 8, "channels": [8], "strides": [2]}
TRAINING = {
    "units_weight": 1.0, "unit_targets": 5, "hidden_share": 0.3, "decoder_weight": 0.0, "mel_weight": 0.0,
    "crop_samples": 5 * HOP, "context_samples": 0, "steps": 6, "quantizer_start_step": 2,
}  # fmt: skip


def _config(**training):
    return tiny_config(encoder=ENCODER, training=TRAINING | training)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("speech") / "dump", length_samples=6400)


def _loudness(waveform: torch.Tensor) -> torch.Tensor:
    """A stand-in for an encoder: the mean power of each code (B, 1, T / HOP)."""
    return waveform.unflatten(1, (-1, HOP)).square().mean(-1)[:, None]


def test_a_crop_has_the_units_of_the_utterance_at_its_place(speech):
    targets = UnitTargets(speech, HOP)
    assert not targets.found
    targets.find(_loudness, speech, ["p0", "p1", "p2"], 4, 1, torch.device("cpu"))
    utterance = speech.subset("train")[1]
    first, end = targets.spans[utterance.utt_id]
    whole = targets.numbers[first:end].numpy()
    assert targets.found and (whole >= 0).all() and len(whole) == utterance.length_samples // (HOP // SHIFTS)
    crop = targets.of(utterance, 2 * HOP, 4 * HOP)
    assert np.array_equal(crop, whole[2 * SHIFTS : 6 * SHIFTS : SHIFTS])
    assert np.array_equal(targets.of(utterance, 2 * HOP + HOP // SHIFTS, HOP), whole[2 * SHIFTS + 1 :][:1])
    last = targets.of(utterance, utterance.length_samples - 2 * HOP, 5 * HOP)
    assert (last[:2] >= 0).all() and (last[2:] == -1).all()


def test_units_do_not_depend_on_which_utterances_are_read_together(speech):
    together = UnitTargets(speech, HOP)
    together.find(_loudness, speech, ["p0", "p1", "p2"], 4, 1, torch.device("cpu"))
    rows = []
    for utterance in speech.subset("train"):
        waveform = speech.waveform(utterance)
        first, end = together.spans[utterance.utt_id]
        steps = range(0, (end - first) * HOP // SHIFTS, HOP // SHIFTS)
        padded = np.pad(waveform, (0, 2 * HOP))
        rows.append(torch.cat([_loudness(torch.from_numpy(padded[None, s : s + HOP]))[0, 0] for s in steps]))
    values, numbers = torch.cat(rows), together.numbers[together.numbers >= 0]
    for unit in numbers.unique():  # clusters of one dimension are intervals that do not overlap
        inside = values[numbers == unit]
        others = values[numbers != unit]
        assert not ((others > inside.min()) & (others < inside.max())).any()


def test_held_out_speech_has_no_units(speech):
    targets = UnitTargets(speech, HOP)
    targets.find(_loudness, speech, ["p0", "p1", "p2"], 4, 1, torch.device("cpu"))
    for utterance in speech.subset("dev"):
        assert (targets.of(utterance, 0, 4 * HOP) == -1).all()


def test_more_units_than_codes_are_refused(speech):
    with pytest.raises(TrainingError, match="unit_targets"):
        UnitTargets(speech, HOP).find(_loudness, speech, ["p0"], 30000, 1, torch.device("cpu"))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8, 1.0])
def test_hidden_spans_cover_their_share(share):
    hidden = hidden_spans((200, 100), share, 5, torch.Generator().manual_seed(0), torch.device("cpu"))
    assert hidden.shape == (200, 100) and abs(float(hidden.float().mean()) - share) < 0.03
    if 0 < share < 0.5:
        runs = torch.diff(hidden.int(), dim=1)
        starts = int((runs == 1).sum())
        assert hidden.sum() >= 4 * starts  # spans, not single codes


def test_a_hidden_code_does_not_see_its_own_frames():
    torch.manual_seed(0)
    model = build_model(
        tiny_config(encoder=ENCODER | {"context_layers": 0}, training=TRAINING).model, speakers=1
    ).eval()
    wave = 0.1 * torch.randn(1, 12 * HOP)
    other = wave.clone()
    other[:, 5 * HOP : 6 * HOP] *= -3
    hidden = torch.zeros(1, 12, dtype=torch.bool)
    hidden[:, 4:7] = True  # windows of neighbouring codes overlap
    with torch.no_grad():
        assert not torch.allclose(model.latents(wave)[:, :, 5], model.latents(other)[:, :, 5])
        assert torch.equal(model.latents(wave, hidden)[:, :, 5], model.latents(other, hidden)[:, :, 5])


def test_the_quantizer_counts_only_what_is_visible():
    config = _config(hidden_share=0.0)
    torch.manual_seed(0)
    quantizer = build_model(config.model, speakers=1).quantizer.train()
    z_e, counted = torch.randn(2, 4, 10), torch.zeros(2, 10, dtype=torch.bool)
    counted[0] = True
    before = quantizer.counts.sum()
    quantizer(z_e, torch.Generator().manual_seed(0), counted)
    assert torch.isclose(quantizer.counts.sum(), before * 0.9 + 0.1 * 10, rtol=0.5)


def test_encoder_and_codebook_learn_without_a_decoder():
    config = _config()
    torch.manual_seed(0)
    model, objective = build_model(config.model, speakers=3), Objective(config.training)
    objective.prepare(model)
    wave, units = 0.1 * torch.randn(2, 5 * HOP), torch.tensor([[0, 1, 2, 3, -1], [4, 3, 2, 1, 0]])
    losses = objective(
        model.train(), wave, torch.tensor([0, 1]), units=units, generator=torch.Generator().manual_seed(0)
    )
    objective.total(losses.nll.sum(), losses.terms).backward()
    learned = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {"encoder", "unit_head"} and losses.terms["units"] > 0


def test_units_that_are_not_there_count_for_nothing():
    config = _config(hidden_share=0.0)
    torch.manual_seed(0)
    model, objective = build_model(config.model, speakers=1), Objective(config.training)
    objective.prepare(model.eval())
    wave, units = 0.1 * torch.randn(1, 5 * HOP), torch.tensor([[0, 1, -1, -1, -1]])
    with torch.no_grad():
        some = objective(model, wave, torch.tensor([0]), units=units).terms["units"]
        z_e = model.latents(wave)
        z_q = model.quantizer.lookup(model.quantizer.encode(z_e))
        scores = [model.unit_head(z.transpose(1, 2))[0, :2] for z in (z_e, z_q)]
        want = sum(torch.nn.functional.cross_entropy(one, units[0, :2], label_smoothing=0.1) for one in scores) / 2
    assert torch.isclose(some, want, atol=1e-5)


def test_a_run_resumes_with_the_units_that_it_had(speech, tmp_path):
    whole = trainer(_config(), speech, tmp_path / "whole")
    finished = whole.run()
    assert finished.step == 6 and finished.held_out is None
    trainer(_config(steps=3), speech, tmp_path / "parts").run()
    resumed = trainer(_config(), speech, tmp_path / "parts")
    resumed.run()
    assert torch.equal(resumed.task.targets.numbers, whole.task.targets.numbers)


def test_a_model_gives_the_units_of_the_next(speech, tmp_path):
    first = trainer(_config(), speech, tmp_path / "first")
    model = first.run().model
    second = trainer(_config(unit_targets=3), speech, tmp_path / "second", targets_from=model)
    second.run()
    numbers = second.task.targets.numbers
    assert set(numbers[numbers >= 0].tolist()) <= {0, 1, 2}


@pytest.mark.parametrize(
    ("training", "names"),
    [
        ({"units_weight": 0.0, "hidden_share": 0.0}, "decoder_weight"),
        ({"units_weight": 0.0, "decoder_weight": 1.0}, "hidden_share"),
        ({"consistency_weight": 1.0}, "consistency_weight"),
    ],
)
def test_settings_that_teach_nothing_are_refused(training, names):
    with pytest.raises(ConfigError, match=names):
        _config(**training)


def test_a_model_of_another_rate_gives_no_units(speech, tmp_path):
    model = build_model(tiny_config().model, speakers=1)
    with pytest.raises(TrainingError, match="--targets"):
        trainer(_config(), speech, tmp_path / "run", targets_from=model)


def _found_config():
    units = {
        "input": "units",
        "feature_hop": HOP,
        "n_mels": 20,
        "units": 8,
        "channels": [],
        "strides": [],
        "context_layers": 0,
    }
    training = TRAINING | {"units_weight": 0.0, "hidden_share": 0.0, "quantizer_start_step": 0, "steps": 1}
    return tiny_config(encoder=units, training=training)


def test_an_encoder_that_is_found_gets_a_codebook_and_nothing_else(speech, tmp_path):
    run = trainer(_found_config(), speech, tmp_path / "run")
    before = {name: p.clone() for name, p in run.task.model.named_parameters()}
    found = run.run().model
    assert found.front.units.abs().sum() > 0
    assert all(torch.equal(p, before[name]) for name, p in run.task.model.named_parameters())
    codes = found.encode(torch.from_numpy(speech.waveform(speech.utterances[0])[: 20 * HOP])[None])
    assert len(codes.unique()) > 1


def test_its_codebook_is_that_of_whole_utterances(speech, tmp_path):
    found = trainer(_found_config(), speech, tmp_path / "run").run().model
    waves = [speech.waveform(utterance) for utterance in speech.subset("train")]
    vectors = torch.cat([found.latents(torch.from_numpy(np.pad(w, (0, -len(w) % HOP)))[None])[0].T for w in waves])
    codes = found.quantizer.encode(vectors.T[None])[0]
    for code in codes.unique():  # a code is the mean of what it stands for
        assert torch.allclose(vectors[codes == code].mean(0), found.quantizer.codebook[code], atol=0.05)
