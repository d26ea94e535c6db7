"""Training towards the conditioning frames of a trained model, and on a part of the batch for the WaveNet."""

import dataclasses

import pytest
import torch
from tiny_training import tiny_config, tiny_store, trainer

from vqvc.corpus import perturbation
from vqvc.corpus.store import PackedStore
from vqvc.errors import ConfigError, CorpusError, TrainingError
from vqvc.nn.builder import build_model
from vqvc.nn.vqvae import VQVAE
from vqvc.training.initialization import Initialization
from vqvc.training.objective import Objective
from vqvc.training.teacher import Teacher

SPEAKERS = ("p0", "p1", "p2")


@pytest.fixture
def model() -> VQVAE:
    torch.manual_seed(0)
    return build_model(tiny_config().model, 3)


def _objective(**training) -> Objective:
    return Objective(tiny_config(training=training).training)


def test_a_model_is_its_own_teacher_without_error(model):
    waveform, speaker = 0.1 * torch.randn(2, 256), torch.tensor([0, 2])
    teacher = Teacher.of(model, SPEAKERS, SPEAKERS)
    frames = model.condition(model.quantizer.lookup(model.encode(waveform)), speaker).frames
    assert float(teacher.error(frames, waveform, speaker, None, torch.float32)) == 0
    assert float(teacher.error(0 * frames, waveform, speaker, None, torch.float32)) == pytest.approx(1)


def test_speakers_that_the_teacher_does_not_know_do_not_count(model):
    waveform, speaker = 0.1 * torch.randn(2, 256), torch.tensor([0, 1])
    teacher = Teacher.of(model, ("new", "p2"), SPEAKERS)
    frames = model.condition(model.quantizer.lookup(model.encode(waveform)), torch.tensor([0, 2])).frames
    frames[0] += 5
    assert float(teacher.error(frames, waveform, speaker, None, torch.float32)) == pytest.approx(0, abs=1e-9)


def _begin(model, store, folder, **training):
    start = Initialization(model, SPEAKERS, folder / "old.safetensors")
    return trainer(tiny_config(training=training), store, folder / "run", start=start)


def test_with_no_crops_for_the_wavenet_it_keeps_its_weights(model, tmp_path):
    store = tiny_store(tmp_path / "dump")
    run = _begin(model, store, tmp_path, teacher_weight=1.0, wavenet_fraction=0.0, steps=3)
    before = {name: value.clone() for name, value in run.task.model.state_dict().items()}
    run.run()
    after = run.task.model.state_dict()
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert {name for name in before if name.startswith(("wavenet.", "prediction."))} <= still
    assert not {"conditioning.enter.weight", "encoder.project.weight", "quantizer.codebook"} & still


def test_the_wavenet_fraction_scores_so_many_crops(model):
    waveform, speaker = 0.1 * torch.randn(4, 256), torch.tensor([0, 1, 2, 0])
    fraction = _objective(wavenet_fraction=0.5)
    whole = _objective()(model.train(), waveform, speaker, generator=torch.Generator().manual_seed(1))
    part = fraction(model, waveform, speaker, generator=torch.Generator().manual_seed(1))
    assert whole.nll.shape == (4, 256) and part.nll.shape == (2, 256)
    assert part.frames.shape == whole.frames.shape and torch.isfinite(part.terms["mel"])
    assert fraction(model.eval(), waveform, speaker).nll.shape == (4, 256)


def test_a_perturbed_source_reaches_the_encoder_alone(model):
    waveform, speaker = 0.1 * torch.randn(2, 256), torch.tensor([0, 1])
    other = 0.1 * torch.randn(2, 256)
    model.eval()
    losses = _objective()
    assert torch.equal(losses(model, waveform, speaker, source=waveform).nll, losses(model, waveform, speaker).nll)
    assert torch.equal(losses(model, waveform, speaker, source=other).codes, model.encode(other))


def test_crops_of_perturbed_copies_begin_where_their_originals_do(tmp_path):
    store = tiny_store(tmp_path / "dump")
    with pytest.raises(CorpusError, match="--perturb"):
        trainer(tiny_config(training={"perturbed_fraction": 0.5}), store, tmp_path / "run")
    list(perturbation.add_copies(store, 1))
    store = PackedStore(store.path)
    crops = trainer(tiny_config(training={"perturbed_fraction": 0.5}), store, tmp_path / "run").task.crops
    plain = trainer(tiny_config(), store, tmp_path / "run").task.crops.batch(0)
    assert (plain.source == plain.waveform).all()
    perturbed = 0
    for step in range(10):
        batch = crops.batch(step)
        for row, utt_id in enumerate(batch.utt_ids):
            if (batch.source[row] == batch.waveform[row]).all():
                continue
            perturbed += 1
            utterance = store.utterance(utt_id)
            original, copy = (
                a[utterance.offset_samples :][: utterance.length_samples] / 32768
                for a in (store.audio, store.copies[0])
            )
            wanted = batch.waveform[row][: min(256, utterance.length_samples)]
            at = [n for n in range(len(original) - 63) if (original[n : n + 64] == wanted[:64]).all()]
            assert (
                len(at) == 1
                and (copy[at[0] : at[0] + 256] == batch.source[row][: len(copy[at[0] : at[0] + 256])]).all()
            )
    assert 10 <= perturbed <= 30  # of 40


def test_a_teacher_has_to_be_there(tmp_path):
    with pytest.raises(TrainingError, match="--init"):
        trainer(tiny_config(training={"teacher_weight": 1.0}), tiny_store(tmp_path / "dump"), tmp_path / "run")


@pytest.mark.parametrize(
    "settings", [{"wavenet_fraction": 0.0}, {"wavenet_fraction": 1.5}, {"perturbed_fraction": -0.1}]
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        tiny_config(training=settings)
    assert dataclasses.asdict(tiny_config())["training"]["wavenet_fraction"] == 1.0
