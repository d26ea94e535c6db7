"""Codes of a layer of a trained encoder: which layers are kept, where the rest begins, what learns, and what is refused."""

import pytest
import torch
from tiny_training import TINY, tiny_config, tiny_store

from vqvc._util import settings
from vqvc.cli import train
from vqvc.conversion import code_encoder_file
from vqvc.errors import ConfigError, TrainingError
from vqvc.nn.builder import build_code_encoder
from vqvc.nn.code_encoder import CodeEncoder
from vqvc.training import layer_codes

HOP = 320
ENCODER = {
    "input": "log_mel", "feature_hop": 160, "n_mels": 20, "channels": [8], "strides": [2], "context_layers": 3,
    "context_dilations": [1, 2, 1], "norm_reach": 0.1,
}  # fmt: skip
TRAINING = {
    "target_layer": 2, "decoder_weight": 0.0, "mel_weight": 0.0, "crop_samples": 5 * HOP, "context_samples": 0, "steps": 6,
    "quantizer_start_step": 2,
}  # fmt: skip
SPEAKERS = ("p0", "p1", "p2")


def _config(encoder=(), **training):
    return tiny_config(encoder=ENCODER | dict(encoder), training=TINY["training"] | TRAINING | training)


def _source(seed=3, **encoder) -> CodeEncoder:
    torch.manual_seed(seed)
    return build_code_encoder(_config(encoder, target_layer=1).model).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("speech") / "dump", length_samples=6400)


def _wave(speech, codes=15):
    return torch.from_numpy(speech.waveform(speech.subset("train")[0])[: codes * HOP])[None]


def test_a_layer_is_what_the_encoder_has_there():
    source, wave, seen = _source(), 0.1 * torch.randn(2, 6 * HOP), []
    source.encoder.context[1].register_forward_hook(lambda module, given, made: seen.append(made))
    source.latents(wave)
    assert torch.equal(source.layer(wave, 2), seen[0]) and seen[0].shape == (2, 6, 8)
    assert not torch.equal(source.layer(wave, 3), seen[0])


def test_the_output_begins_as_the_principal_components_of_the_layer(speech):
    source, wave = _source(), _wave(speech)
    model = build_code_encoder(_config().model).eval().requires_grad_(False)
    layer_codes.take_layers(model.encoder, source.encoder, 2)
    layer_codes.start_at_components(model.encoder, source.layer(wave, 2)[0])
    learning = layer_codes.encoded(model.encoder, source.layer(wave, 2), 2)[0].T
    layer_codes.finish(model.encoder)
    assert torch.equal(model.layer(wave, 3), source.layer(wave, 2))  # the layer above begins as the identity
    z_e, rows = model.latents(wave)[0].T, layer_codes.normalised(source.layer(wave, 2)[0])
    values, vectors = torch.linalg.eigh(torch.cov(rows.T))
    components = (rows - rows.mean(0)) @ vectors[:, -4:]
    assert torch.allclose(z_e, components / values[-4:].mean().sqrt(), atol=1e-3)
    assert torch.allclose(z_e, learning, atol=1e-4)  # as it is learned


def test_the_layers_up_to_the_one_stay_and_those_above_learn(speech):
    source, wave = _source(), _wave(speech)
    start, model = (layer_codes.learn(_config(steps=n), source, speech, SPEAKERS) for n in (1, 20))
    assert torch.equal(model.layer(wave, 2), source.layer(wave, 2))
    before = dict(start.encoder.named_parameters())
    moved = {name for name, p in model.encoder.named_parameters() if not torch.equal(p, before[name])}
    assert {"project.weight", "norm_out.bias", "context.2.mix.weight"} <= moved
    assert not any(name.startswith(("strided", "norm.", "context.0", "context.1")) for name in moved)
    assert len(model.encode(wave).unique()) > 1


def test_the_same_seed_learns_the_same(speech):
    one, same, other = (layer_codes.learn(_config(seed=n), _source(), speech, SPEAKERS).state_dict() for n in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["quantizer.codebook"], other["quantizer.codebook"])


def test_the_decoder_sees_neighbours_and_what_the_utterance_has_in_common():
    torch.manual_seed(0)
    decoder = layer_codes.LayerDecoder(4, 8)
    vectors, common = torch.randn(1, 13, 4), torch.randn(1, 16)
    other = vectors.clone()
    other[:, 6] += 1
    moved = (decoder(vectors, common) != decoder(other, common)).any(2)[0]
    assert moved[2:11].all() and not moved[:2].any() and not moved[11:].any()  # 2 + 1 + 1 codes on either side
    assert (decoder(vectors, common) != decoder(vectors, common + 1)).any(2).all()


def test_the_error_falls(speech, caplog):
    with caplog.at_level("INFO", logger="vqvc.training"):
        layer_codes.learn(_config(steps=400, learning_rate=1e-2), _source(), speech, SPEAKERS)
    errors = [float(record.message.split()[-1]) for record in caplog.records if "error of the layer" in record.message]
    assert len(errors) == 4 and errors[-1] < errors[0]


def test_the_command_takes_an_encoder_and_writes_one(speech, tmp_path):
    code_encoder_file.write(tmp_path / "first.safetensors", _source(), {})
    conf = tmp_path / "conf.yaml"
    conf.write_text(settings.to_yaml(_config().to_dict()))
    command = ["--conf", str(conf), "--store", str(speech.path), "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert train.main([*command, "--targets", str(tmp_path / "first.safetensors")]) == 0
    made = code_encoder_file.read(tmp_path / "run" / "encoder.safetensors")
    assert made.model.encode(0.1 * torch.randn(1, 6 * HOP)).shape == (1, 6) and made.training["steps"] == 6


@pytest.mark.parametrize("more", [[], ["--targets", "first.safetensors", "--max-minutes", "1"]])
def test_what_the_command_needs(speech, tmp_path, more, capsys):
    conf = tmp_path / "conf.yaml"
    conf.write_text(settings.to_yaml(_config().to_dict()))
    command = ["--conf", str(conf), "--store", str(speech.path), "--out", str(tmp_path / "run"), "--device", "cpu"]
    try:
        status = train.main([*command, *more])
    except SystemExit as leaving:
        status = leaving.code
    assert status == 2 and "training.target_layer" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("encoder", "training", "names"),
    [
        ({}, {"target_layer": 0}, "target_layer"),
        ({}, {"target_layer": 4}, "target_layer"),
        ({"input": "units", "channels": [], "strides": [], "feature_hop": HOP}, {}, "target_layer"),
    ],
)
def test_settings_that_do_not_fit_are_refused(encoder, training, names):
    with pytest.raises(ConfigError, match=names):
        _config(encoder, **training)


@pytest.mark.parametrize(
    "other", [{"context_layers": 1}, {"context_dilations": [3, 1]}, {"channels": [6]}, {"norm_reach": 0.5}]
)
def test_another_encoder_has_no_such_layer(other):
    with pytest.raises(TrainingError, match="context layer 2"):
        layer_codes.take_layers(_source().encoder, _source(**other).encoder, 2)


def test_only_the_layers_up_to_the_one_must_be_the_same():
    layer_codes.take_layers(_source().encoder, _source(context_layers=4, context_dilations=[1, 2, 8, 8]).encoder, 2)


def test_too_short_speech_is_refused(speech):
    with pytest.raises(TrainingError, match="crop_samples"):
        layer_codes.learn(_config(crop_samples=200 * HOP), _source(), speech, SPEAKERS)
