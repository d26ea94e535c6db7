"""The model file: what is written is read, what is damaged is refused, and nothing in it is run."""

import dataclasses
import json
import pickle
import struct

import pytest
import torch

import vqvc
from vqvc.config import Config, from_dict
from vqvc.conversion import model_file
from vqvc.errors import ModelError, UsageError
from vqvc.models import CODE_ENCODERS
from vqvc.nn.builder import build_model

TINY = {
    "encoder": {"channels": [8, 8], "strides": [2, 2], "context_layers": 1},
    "quantizer": {"codebook_size": 8, "codebook_dim": 4},
    "decoder": {
        "layers": 2, "dilation_cycle": 2, "residual_channels": 8, "gate_channels": 16, "skip_channels": 8,
        "output": "mixture", "mixtures": 2, "speaker_dim": 4, "conditioning_channels": 8, "conditioning_layers": 1,
        "conditioning_hop": 4,
    },
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Line:
    speaker: str
    gender: str
    accent: str


SPEAKERS = (Line("p225", "f", "English"), Line("p226", "m", ""))


def tiny_config(**decoder) -> Config:
    training = TINY.get("training", {}) | {"cpc_weight": 1.0}
    return from_dict(TINY | {"decoder": TINY["decoder"] | decoder, "training": training})


@pytest.fixture
def written(tmp_path):
    torch.manual_seed(0)
    model = build_model(tiny_config().model, len(SPEAKERS)).eval()
    path = tmp_path / "model.safetensors"
    model_file.write(path, model, SPEAKERS, {"steps": 3})
    return path, model


def test_a_model_file_with_the_settings_of_its_training_is_read(written):
    """Earlier versions kept all sections of the YAML, ``training`` among them."""
    path, model = written
    header, metadata = model_file.read_header(path), {"config": json.dumps(tiny_config().to_dict())}
    speakers = [{"name": s.speaker, "gender": s.gender, "accent": s.accent} for s in SPEAKERS]
    metadata |= {"format_version": str(model_file.FORMAT_VERSION), "training": json.dumps(header.training)}
    metadata["speakers"] = json.dumps(speakers)
    rewrite_metadata(path, **metadata, checksum=model_file.KIND.checksum(model.state_dict(), metadata))
    assert model_file.read(path).config == model.config


def test_a_model_that_is_read_synthesizes_as_the_one_that_was_written(written):
    path, model = written
    found = model_file.read(path)
    assert found.config == model.config and found.training == {"steps": 3}
    assert [one.name for one in found.speakers] == ["p225", "p226"]
    wave = torch.randn(1, 64) * 0.05
    assert torch.equal(found.model.encode(wave), model.encode(wave))
    assert not found.model.training and not hasattr(found.model, "cpc")
    assert torch.equal(found.model.mel_head.weight, model.mel_head.weight)


def test_reading_leaves_the_global_randomness_alone(written):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    model_file.read(written[0])
    assert torch.equal(torch.rand(1), expected)


def test_every_flipped_byte_is_noticed(written):
    path, _ = written
    whole = path.read_bytes()
    for position in range(0, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(ModelError, match="model.safetensors"):
            model_file.read(path)


@pytest.mark.parametrize("kept", [0, 4, 100, -1, -1000])
def test_a_cut_file_is_refused(written, kept):
    path, _ = written
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError):
        model_file.read(path)


def test_row_36_a_pickled_model_is_refused_and_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    for name, data in (("a.pt", pickle.dumps(Evil())), ("b.pt", None)):
        path = tmp_path / name
        torch.save(Evil(), path) if data is None else path.write_bytes(data)
        with pytest.raises(ModelError, match="pickle"):
            model_file.read(path)
    assert not (tmp_path / "ran").exists()


def test_a_header_whose_length_begins_like_a_pickle_is_none(written):
    path, model = written
    length = struct.unpack("<Q", path.read_bytes()[:8])[0]
    note = "x" * ((0x0280 - length) % 0x10000 - len(r", \"note\": \"\""))
    model_file.write(path, model, SPEAKERS, {"steps": 3, "note": note})
    assert path.read_bytes()[:2] == b"\x80\x02" and model_file.read(path).training["note"] == note


def rewrite_metadata(path, **changes) -> None:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"].update(changes)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


def test_another_format_names_the_field(written):
    rewrite_metadata(written[0], format_version="7")
    with pytest.raises(ModelError, match="format_version is 7"):
        model_file.read(written[0])


def test_another_codebook_size_names_the_field(written):
    path, model = written
    before = model_file.read_header(path)
    config = dataclasses.replace(model.config, quantizer=dataclasses.replace(model.config.quantizer, codebook_size=16))
    metadata = {
        "format_version": str(model_file.FORMAT_VERSION),
        "config": json.dumps(config.to_dict()),
        "training": json.dumps(before.training),
    }
    speakers = [{"name": s.speaker, "gender": s.gender, "accent": s.accent} for s in SPEAKERS]
    metadata["speakers"] = json.dumps(speakers)
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith(model_file.TRAINING_ONLY)}
    rewrite_metadata(path, **metadata, checksum=model_file.KIND.checksum(weights, metadata))
    with pytest.raises(
        ModelError, match=r"quantizer.codebook: the file has shape \(8, 4\), its settings want \(16, 4\)"
    ):
        model_file.read(path)


def test_row_25_an_unknown_speaker_gets_the_nearest_names_from_the_header_alone(written):
    path, _ = written
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # the weights are never looked at
    header = model_file.read_header(path)
    assert header.speaker_index("p226") == 1
    with pytest.raises(UsageError, match="p225.*--list-speakers"):
        header.speaker_index("p22")


def test_a_code_encoder_is_no_model_file_and_its_command_is_named():
    with pytest.raises(ModelError, match="is not a model file.*vqvc-encode --codes"):
        model_file.read_header(CODE_ENCODERS["phones"])


def test_a_model_without_a_decoder_does_not_convert(tmp_path):
    config = tiny_config()
    model_file.write(
        tmp_path / "m.safetensors", build_model(config.model, 2), SPEAKERS, {"settings": {"decoder_weight": 0.0}}
    )
    assert not model_file.read_header(tmp_path / "m.safetensors").has_decoder
    with pytest.raises(ModelError, match="without a decoder"):
        vqvc.load(tmp_path / "m.safetensors")
