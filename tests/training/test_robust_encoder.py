"""An encoder for degraded recordings: what learns and what stays, what a crop is degraded by, and what the command needs."""

import math

import numpy as np
import pytest
import torch
from tiny_training import TINY, tiny_config, tiny_store

from vqvc._util import settings
from vqvc.cli import train
from vqvc.conversion import model_file
from vqvc.corpus import perturbation
from vqvc.corpus.store import Speaker
from vqvc.errors import ConfigError
from vqvc.nn.builder import build_model
from vqvc.nn.quantizer import Quantizer
from vqvc.training import robust_encoder
from vqvc.training.crops import Crops

SPEAKERS = ("p0", "p1", "p2")
TRAINING = {"degraded_fraction": 1.0, "crop_samples": 1024, "context_samples": 0, "learning_rate": 3e-3}


def _config(**training):
    return tiny_config(training=TINY["training"] | TRAINING | training)


def _start(seed=3):
    torch.manual_seed(seed)
    return build_model(_config().model, len(SPEAKERS)).eval()


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    return tiny_store(tmp_path_factory.mktemp("speech") / "dump", length_samples=4800)


def _batch(speech, step=0, size=6):
    return Crops(speech, "train", SPEAKERS, batch_size=size, crop_samples=1024).batch(step)


def test_only_the_encoder_learns(speech):
    start = _start()
    before = {name: tensor.clone() for name, tensor in start.state_dict().items()}
    model = robust_encoder.learn(_config(steps=3), start, speech, SPEAKERS)
    after = model.state_dict()
    moved = {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}
    assert moved == {f"encoder.{name}" for name, _ in model.encoder.named_parameters()}
    assert all(torch.equal(start.state_dict()[name], tensor) for name, tensor in before.items())


def test_the_same_seed_learns_the_same(speech):
    one, same, other = (
        robust_encoder.learn(_config(steps=2, seed=n), _start(), speech, SPEAKERS).encoder.project.weight
        for n in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_degraded_speech_gets_more_of_the_codes_of_the_original(speech):
    start, batch = _start(), _batch(speech, step=10_000, size=32)
    with torch.no_grad():  # z_e of unit variance and a codebook of it, as a trained model has them
        start.encoder.normalise.train()
        z_e = start.latents(torch.from_numpy(batch.waveform)).mT.flatten(0, 1)
        start.quantizer.initialise(z_e, torch.Generator().manual_seed(0))
    start.eval()
    model = robust_encoder.learn(_config(steps=150), start, speech, SPEAKERS)
    source = torch.from_numpy(robust_encoder.degraded(batch, 1.0, 16000, seed=9))
    original = start.encode(torch.from_numpy(batch.waveform))
    before, after = ((one.encode(source) == original).float().mean() for one in (start, model))
    assert after > before + 0.03


def test_the_loss_is_that_of_the_docstring():
    torch.manual_seed(0)
    quantizer = Quantizer(5, 3, commitment_cost=0.5)
    z_e, codes = torch.randn(2, 3), torch.tensor([4, 1])
    expected = 0.0
    for z, code in zip(z_e, codes):
        scores = [-robust_encoder.SHARPNESS * float((z - e).square().sum()) for e in quantizer.codebook]
        expected += math.log(sum(map(math.exp, scores))) - scores[code]
        expected += 0.5 * float((z - quantizer.codebook[code]).square().mean())
    assert robust_encoder.code_loss(quantizer, z_e, codes).item() == pytest.approx(expected / 2, rel=1e-5)


def test_the_loss_of_a_vector_far_away_is_finite():
    loss = robust_encoder.code_loss(Quantizer(5, 3), torch.full((1, 3), 1e4, requires_grad=True), torch.tensor([0]))
    assert torch.isfinite(loss)


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_a_share_of_the_crops_is_degraded(speech, fraction):
    batch = _batch(speech)
    made = robust_encoder.degraded(batch, fraction, 16000, seed=1)
    changed = [not np.array_equal(one, other) for one, other in zip(made, batch.source)]
    assert all(changed) if fraction else not any(changed)
    rms = [perturbation.rms(rows) for rows in (made, batch.source)]
    assert made.dtype == np.float32 and rms[0] == pytest.approx(rms[1], rel=0.05)


def test_what_a_crop_is_degraded_by_depends_on_seed_and_step(speech):
    batch = _batch(speech, step=4)
    one, same, other = (robust_encoder.degraded(batch, 0.5, 16000, seed=n) for n in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


def test_a_slope_is_added_to_the_equalizer():
    noise = np.random.default_rng(0).standard_normal(1 << 15).astype(np.float32)
    slopes = []
    for seed in range(40):
        made = perturbation.equalize(noise, 16000, np.random.default_rng(seed), 0.0, 3.0)
        power = np.abs(np.fft.rfft(made)) ** 2
        low, high = (
            10 * np.log10(power[slice(*(round(hz * 2.048) for hz in band))].mean())
            for band in ((400, 600), (3200, 4800))
        )
        slopes.append((high - low) / 3)  # three octaves
    assert np.std(slopes) == pytest.approx(3.0, rel=0.4)


def test_the_command_takes_a_model_and_writes_one(speech, tmp_path):
    rows = [model_file.Speaker(name, listed=name != "p1") for name in SPEAKERS]
    model_file.write(tmp_path / "first.safetensors", _start(), rows, {"steps": 5}, unlisted={"p1"})
    first = model_file.read_header(tmp_path / "first.safetensors")
    assert train.main([*_command(tmp_path, speech, steps=2), "--init", str(tmp_path / "first.safetensors")]) == 0
    made = model_file.read(tmp_path / "run" / "model.safetensors")
    assert made.speakers == first.speakers and made.checksum != first.checksum
    assert made.training["steps"] == 5  # of the decoder
    assert made.training["encoder"]["steps"] == 2 and made.training["encoder"]["init"] == first.checksum


@pytest.mark.parametrize("more", [[], ["--max-minutes", "1"], ["--unlisted", "p1"], ["--targets", "first.safetensors"]])
def test_what_the_command_needs(speech, tmp_path, more, capsys):
    if more:
        model_file.write(tmp_path / "first.safetensors", _start(), [Speaker(name) for name in SPEAKERS], {})
        more = [*more, "--init", str(tmp_path / "first.safetensors")]
    assert train.main([*_command(tmp_path, speech), *more]) == 2
    assert "training.degraded_fraction" in capsys.readouterr().err


def test_an_encoder_of_units_does_not_learn():
    with pytest.raises(ConfigError, match="degraded_fraction"):
        tiny_config(encoder={"input": "units", "channels": [], "strides": [], "feature_hop": 320}, training=TRAINING)


def _command(folder, speech, **training):
    conf = folder / "conf.yaml"
    conf.write_text(settings.to_yaml(_config(**training).to_dict()))
    return ["--conf", str(conf), "--store", str(speech.path), "--out", str(folder / "run"), "--device", "cpu"]
