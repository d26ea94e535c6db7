"""Codes that tell a layer of a trained encoder to a decoder with context: what is predicted, what learns, where training begins."""

import dataclasses

import pytest
import torch
from tiny_training import tiny_config, tiny_store, trainer

from vqvc.cli import train
from vqvc.conversion import code_encoder_file
from vqvc.errors import ConfigError, TrainingError
from vqvc.nn.builder import build_code_encoder, build_model
from vqvc.training.layer_targets import LayerTargets
from vqvc.training.objective import Objective, layer_error

HOP = 320
ENCODER = {
    "input": "log_mel", "feature_hop": 160, "n_mels": 20, "channels": [8], "strides": [2], "context_layers": 3, "norm_reach": 0.1,
}  # fmt: skip
TINY = tiny_config()
DECODER = dataclasses.asdict(TINY.decoder) | {"conditioning_hop": HOP, "conditioning_layers": 2}
TRAINING = {
    "layer_weight": 1.0, "target_layer": 2, "decoder_weight": 0.0, "mel_weight": 0.0, "crop_samples": 5 * HOP,
    "context_samples": 0, "steps": 6, "quantizer_start_step": 2, "decoder_warmup_fraction": 1.0,
}  # fmt: skip


def _config(encoder=(), decoder=(), **training):
    training = dataclasses.asdict(TINY.training) | TRAINING | training
    return tiny_config(encoder=ENCODER | dict(encoder), decoder=DECODER | dict(decoder), training=training)


def _encoder(seed=0, **encoder):
    torch.manual_seed(seed)
    return build_code_encoder(_config(encoder, target_layer=1).model).eval()


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("speech") / "dump", length_samples=6400)


def test_a_layer_is_what_the_encoder_has_there_normalised():
    encoder, wave = _encoder(), 0.1 * torch.randn(2, 6 * HOP)
    seen = []
    encoder.encoder.context[1].register_forward_hook(lambda module, given, made: seen.append(made))
    encoder.latents(wave)
    layer = LayerTargets(encoder, 2)(wave, torch.float32)
    assert torch.allclose(layer, torch.nn.functional.layer_norm(seen[0], (8,), eps=1e-3), atol=1e-6)
    assert layer.shape == (2, 6, 8) and not layer.requires_grad
    assert not torch.allclose(layer, LayerTargets(encoder, 3)(wave, torch.float32))


def test_the_layers_above_do_not_matter():
    encoder, wave = _encoder(), 0.1 * torch.randn(1, 6 * HOP)
    before = LayerTargets(encoder, 2)(wave, torch.float32)
    with torch.no_grad():
        encoder.encoder.context[2].mix.weight.zero_()
        encoder.encoder.project.weight.zero_()
    assert torch.equal(LayerTargets(encoder, 2)(wave, torch.float32), before)


def test_training_begins_with_the_principal_components_of_the_layer(speech, tmp_path):
    source, wave = _encoder(seed=3), torch.from_numpy(speech.waveform(speech.subset("train")[0])[: 15 * HOP])[None]
    model = trainer(_config(), speech, tmp_path / "run", targets_from=source).task.model.eval().requires_grad_(False)
    layer = source.layer(wave, 2)[0]
    assert torch.equal(model.layer(wave, 2)[0], layer) and torch.equal(model.layer(wave, 3)[0], layer)
    z_e = model.latents(wave)[0].T
    inside = layer @ torch.linalg.eigh(torch.cov(layer.T)).eigenvectors[:, -4:]
    fitted = torch.linalg.lstsq(torch.cat([layer, torch.ones(len(layer), 1)], 1), z_e).solution
    assert torch.allclose(torch.cat([layer, torch.ones(len(layer), 1)], 1) @ fitted, z_e, atol=1e-3)  # linear in it
    spread = [(one - one.mean(0)).square().sum() for one in (z_e, inside)]
    assert 0.7 < float(spread[0] / spread[1]) < 1.05


def test_the_layers_up_to_the_predicted_one_stay_while_the_others_learn(speech, tmp_path):
    source, wave = _encoder(seed=3), 0.1 * torch.randn(1, 6 * HOP)
    before = source.layer(wave, 2)
    run = trainer(_config(steps=20), speech, tmp_path / "run", targets_from=source)
    start = {name: p.detach().clone() for name, p in run.task.model.encoder.named_parameters()}
    model = run.run().model
    assert torch.equal(source.layer(wave, 2), before) and torch.equal(model.layer(wave, 2), before)
    moved = {name for name, p in model.encoder.named_parameters() if not torch.equal(p, start[name])}
    assert {"project.weight", "norm_out.bias", "context.2.mix.weight"} <= moved
    assert not any(name.startswith(("strided", "norm.", "context.0", "context.1")) for name in moved)


def test_the_codes_of_the_neighbours_and_what_the_crop_has_in_common_take_part():
    config = _config(jitter=0.0)
    torch.manual_seed(0)
    model, objective = build_model(config.model, speakers=2), Objective(config.training)
    objective.prepare(model.train())
    wave, layer = 0.1 * torch.randn(1, 9 * HOP), torch.zeros(1, 9, 8)

    seen = []
    model.layer_head.register_forward_hook(lambda module, given, made: seen.append(made[0]))
    z_q = torch.randn(1, 4, 9)
    other = z_q.clone()
    other[:, :, 4] += 1
    layer = torch.randn(1, 9, 8)
    for codes, target in ((z_q, layer), (other, layer), (z_q, layer + 1)):
        layer_error(model, codes, target)
    moved = (seen[0] != seen[1]).any(1)
    assert moved[3:6].all() and not moved[0] and not moved[8]  # two convolutions reach three codes
    assert (seen[0] != seen[2]).any(1).all()
    losses = objective(model, wave, torch.tensor([1]), layer=layer, generator=torch.Generator().manual_seed(0))
    objective.total(losses.nll.sum(), losses.terms).backward()
    learned = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert learned == {"encoder", "conditioning", "layer_head", "layer_speaker"} and losses.terms["layer"] > 0


def test_the_error_falls(speech, tmp_path):
    config, source = _config(steps=60, learning_rate=1e-2), _encoder(seed=3)
    run = trainer(config, speech, tmp_path / "run", targets_from=source)
    batch = run.task.crops.batch(10**6)
    wave, speaker = torch.from_numpy(batch.waveform), torch.from_numpy(batch.speaker)

    def error(model):
        layer = LayerTargets(source, 2)(wave, torch.float32)
        with torch.no_grad():
            return float(Objective(config.training)(model.train(), wave, speaker, layer=layer).terms["layer"])

    before = error(run.task.model)
    run.run()
    assert error(run.task.model) < 0.8 * before


def test_a_run_resumes_as_if_it_had_not_stopped(speech, tmp_path):
    source = _encoder(seed=3)
    whole = trainer(_config(), speech, tmp_path / "whole", targets_from=source).run().model
    trainer(_config(steps=3), speech, tmp_path / "parts", targets_from=source).run()
    resumed = trainer(_config(), speech, tmp_path / "parts", targets_from=source).run()
    assert resumed.step == 6
    assert whole.state_dict().keys() == resumed.model.state_dict().keys()


def test_the_command_takes_an_encoder_and_writes_one(speech, tmp_path):
    code_encoder_file.write(tmp_path / "first.safetensors", _encoder(), {})
    conf = tmp_path / "conf.yaml"
    from vqvc._util import settings

    conf.write_text(settings.to_yaml(_config().to_dict()))
    done = train.main(
        ["--conf", str(conf), "--store", str(speech.path), "--targets", str(tmp_path / "first.safetensors"),
         "--out", str(tmp_path / "run"), "--threads", "1", "--device", "cpu"]
    )  # fmt: skip
    assert done == 0
    made = code_encoder_file.read(tmp_path / "run" / "encoder.safetensors").model
    assert made.encode(0.1 * torch.randn(1, 6 * HOP)).shape == (1, 6)


@pytest.mark.parametrize(
    ("encoder", "decoder", "training", "names"),
    [
        ({}, {}, {"layer_weight": 0.0}, "layer_weight"),
        ({}, {}, {"target_layer": 4}, "target_layer"),
        ({}, {"conditioning_hop": 160}, {}, "conditioning_hop"),
        ({"input": "units", "channels": [], "strides": [], "feature_hop": HOP}, {}, {}, "layer_weight"),
    ],
)
def test_settings_that_do_not_fit_are_refused(encoder, decoder, training, names):
    with pytest.raises(ConfigError, match=names):
        _config(encoder, decoder, **training)


def test_a_layer_needs_an_encoder_that_has_it(speech, tmp_path):
    with pytest.raises(TrainingError, match="--targets"):
        trainer(_config(), speech, tmp_path / "none")
    for other in ({"context_layers": 1}, {"context_dilations": [3, 1]}, {"channels": [6]}, {"norm_reach": 0.5}):
        with pytest.raises(TrainingError, match="context layer 2"):
            trainer(_config(), speech, tmp_path / "other", targets_from=_encoder(**other))


def test_only_the_layers_up_to_the_predicted_one_must_be_the_same(speech, tmp_path):
    trainer(_config(), speech, tmp_path / "other", targets_from=_encoder(context_layers=2, context_dilations=[1, 2]))
