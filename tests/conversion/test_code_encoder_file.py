"""The file of a code encoder: what is written is read, what is damaged or something else is refused."""

import pytest
import torch
from tiny_voice import SPEAKERS, tiny_model

from vqvc.conversion import code_encoder_file, model_file
from vqvc.errors import ModelError


def _written(tmp_path):
    model, path = tiny_model().eval(), tmp_path / "units.safetensors"
    return model, path, code_encoder_file.write(path, model, {"seed": 3})


def test_what_is_written_is_read(tmp_path):
    model, path, checksum = _written(tmp_path)
    found = code_encoder_file.read(path)
    assert (found.checksum, found.training, found.config) == (checksum, {"seed": 3}, model.config)
    wave = 0.1 * torch.randn(1, 64 * 50, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        close = (found.model.latents(wave) - model.latents(wave)).abs().mean()
    assert 0 < close < 0.1  # int8
    assert torch.equal(found.model.quantizer.codebook, model.quantizer.codebook) and not found.model.training


def test_there_is_no_decoder_in_it(tmp_path):
    model, path, _ = _written(tmp_path)
    model_file.write(tmp_path / "model.safetensors", model, SPEAKERS, {})
    found = code_encoder_file.read(path).model
    assert {name.split(".")[0] for name in found.state_dict()} <= {"front", "encoder", "quantizer"}
    assert path.stat().st_size < (tmp_path / "model.safetensors").stat().st_size


def test_what_is_written_again_is_the_same(tmp_path):
    _, path, _ = _written(tmp_path)
    found = code_encoder_file.read(path)
    code_encoder_file.write(tmp_path / "again.safetensors", found.model, found.training)
    again = code_encoder_file.read(tmp_path / "again.safetensors").model
    for name, tensor in found.model.state_dict().items():
        assert torch.allclose(tensor, again.state_dict()[name], rtol=1e-5), name


def test_a_damaged_file_is_refused(tmp_path):
    _, path, _ = _written(tmp_path)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match="checksum"):
        code_encoder_file.read(path)
    path.write_bytes(content[:-10])
    with pytest.raises(ModelError, match="units.safetensors"):
        code_encoder_file.read(path)


def test_a_model_file_is_named_as_what_it_is(tmp_path):
    model_file.write(tmp_path / "model.safetensors", tiny_model(), SPEAKERS, {})
    with pytest.raises(ModelError, match="--model"):
        code_encoder_file.read(tmp_path / "model.safetensors")
    _, path, _ = _written(tmp_path)
    with pytest.raises(ModelError):
        model_file.read(path)
