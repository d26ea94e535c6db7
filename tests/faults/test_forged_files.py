"""FAULTS row 78: a model or prior whose header claims what its bytes do not hold is refused before anything is built."""

import json
import struct
import tracemalloc

import numpy as np
import pytest
import torch
from safetensors.torch import save
from tiny_prior import random_prior, write_prior
from tiny_voice import SPEAKERS, tiny_model

from vqvc.cli import convert
from vqvc.codec import prior_file
from vqvc.conversion import model_file
from vqvc.errors import ModelError


@pytest.fixture(scope="module")
def model_bytes(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model_file.write(path, tiny_model(), SPEAKERS, {"steps": 1})
    return path.read_bytes()


@pytest.fixture(scope="module")
def prior_bytes(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("prior") / "prior.safetensors"
    write_prior(path, random_prior())
    return path.read_bytes()


def forged(data: bytes, kind, change_metadata=lambda metadata: None, change_tensors=lambda tensors: None) -> bytes:
    """The file with other metadata or tensors, and a checksum that fits them."""
    from safetensors.torch import load

    (length,) = struct.unpack("<Q", data[:8])
    metadata, tensors = json.loads(data[8 : 8 + length])["__metadata__"], load(data)
    change_metadata(metadata)
    change_tensors(tensors)
    metadata["checksum"] = kind.checksum(tensors, metadata)
    return save(tensors, metadata)


def with_setting(key: str, name: str, value):
    section, _, setting = name.partition(".")

    def change(metadata: dict) -> None:
        settings = json.loads(metadata[key])
        if setting:
            settings[section][setting] = value
        else:
            settings[section] = value
        metadata[key] = json.dumps(settings)

    return change


IMPOSSIBLE = [
    ("decoder.residual_channels", 10**6),
    ("decoder.residual_channels", 60000),  # possible, but not what the file holds
    ("decoder.layers", 10**9),
    ("decoder.layers", 0),
    ("decoder.layers", -3),
    ("decoder.dilation_cycle", 0),
    ("decoder.dilation_cycle", 60),
    ("decoder.kernel", 10**8),
    ("decoder.conditioning_hop", 0),
    ("decoder.mixtures", 10**9),
    ("decoder.speaker_dim", -1),
    ("encoder.strides", [0, 4, 4]),
    ("encoder.strides", [4, 4, 10**12]),
    ("encoder.strides", [2] * 100000),
    ("encoder.channels", [10**9] * 3),
    ("encoder.context_layers", 10**9),
    ("encoder.context_dilations", []),
    ("encoder.context_dilations", [10**9]),
    ("encoder.feature_hop", 0),
    ("encoder.input", "units"),
    ("quantizer.codebook_size", 1 << 40),
    ("quantizer.codebook_dim", 10**10),
    ("audio.sample_rate", 10**9),
    ("audio.sample_rate", 0),
    ("audio.level_rms", 0),
    ("audio.level_rms", float("nan")),
    ("n_mels", 10**9),
]


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE)
def test_row_78_sizes_that_a_model_file_cannot_hold_are_refused_before_they_are_built(
    model_bytes, tmp_path, name, value
):
    path = tmp_path / "model.safetensors"
    path.write_bytes(forged(model_bytes, model_file.KIND, with_setting("config", name, value)))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=r"^[^\n]*model\.safetensors: [^\n]*$"):
            model_file.read(path)
        assert tracemalloc.get_traced_memory()[1] < 200 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("name", "value"),
    [("prior.layers", 10**9), ("prior.dilation_cycle", 0), ("prior.kernel", 1 << 30), ("prior.skip_channels", 60000), ("prior.gate_channels", 0)],
)  # fmt: skip
def test_row_78_the_same_for_a_prior(prior_bytes, tmp_path, name, value):
    path = tmp_path / "prior.safetensors"
    path.write_bytes(forged(prior_bytes, prior_file.KIND, with_setting("settings", name, value)))
    with pytest.raises(ModelError, match=r"^[^\n]*prior\.safetensors: [^\n]*$"):
        prior_file.read(path)


@pytest.mark.parametrize("change", [{"codebook_size": str(1 << 40)}, {"hop_length": "0"}, {"sample_rate": "1000000000"}, {"speakers": "[1, 2]"},
                                    {"codes_of_model": "not hex"}, {"speakers": "{}"}, {"training": "[]"}, {"codebook_size": "x"}])  # fmt: skip
def test_row_78_facts_of_a_prior_are_looked_at(prior_bytes, tmp_path, change):
    path = tmp_path / "prior.safetensors"
    path.write_bytes(forged(prior_bytes, prior_file.KIND, lambda metadata: metadata.update(change)))
    with pytest.raises(ModelError, match=r"prior\.safetensors: its (settings do not fit|header is damaged)"):
        prior_file.read(path)


@pytest.mark.parametrize("change", [{"speakers": "[]"}, {"speakers": "7"}, {"speakers": '[{"name": 7, "gender": "", "accent": ""}]'}, {"training": "3"},
                                    {"speakers": '[{"name": "a", "gender": "", "accent": ""}, {"name": "a", "gender": "", "accent": ""}]'},
                                    {"config": "[" * 200000}, {"config": "null"}, {"config": '{"decoder": 3}'}])  # fmt: skip
def test_row_78_facts_of_a_model_are_looked_at(model_bytes, tmp_path, change):
    path = tmp_path / "model.safetensors"
    path.write_bytes(forged(model_bytes, model_file.KIND, lambda metadata: metadata.update(change)))
    with pytest.raises(ModelError, match=r"model\.safetensors: its (settings do not fit|header is damaged)"):
        model_file.read(path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_row_78_weights_that_are_not_finite_are_refused_by_name(model_bytes, prior_bytes, tmp_path, value):
    for data, kind, read, name in (
        (model_bytes, model_file.KIND, model_file.read, "conditioning.enter.bias"),
        (prior_bytes, prior_file.KIND, prior_file.read, "wavenet.out.bias"),
    ):
        path = tmp_path / "a.safetensors"
        path.write_bytes(
            forged(data, kind, change_tensors=lambda tensors, name=name: tensors[name].view(-1)[0].fill_(value))
        )
        with pytest.raises(ModelError, match=f"a.safetensors: {name}: holds numbers that are not finite"):
            read(path)


def test_row_78_tensors_of_another_type_or_tables_of_another_function_are_refused(model_bytes, prior_bytes, tmp_path):
    path = tmp_path / "a.safetensors"

    def halved(tensors: dict) -> None:
        tensors["quantizer.codebook"] = tensors["quantizer.codebook"].half()

    path.write_bytes(forged(model_bytes, model_file.KIND, change_tensors=halved))
    with pytest.raises(
        ModelError, match=r"quantizer.codebook: the file has float16 of shape .*, its settings want float32"
    ):
        model_file.read(path)
    for table in ("tables.exp", "tables.tanh"):
        path.write_bytes(
            forged(prior_bytes, prior_file.KIND, change_tensors=lambda tensors, table=table: tensors[table].zero_())
        )
        with pytest.raises(ModelError, match=f"a.safetensors: {table}: is not the table of that function"):
            prior_file.read(path)


def header_of(data: bytes, change) -> bytes:
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


CODEBOOK = "quantizer.codebook"
FORGED_HEADERS = [
    lambda header: header[CODEBOOK].update(shape=[1 << 40, 8]),
    lambda header: header[CODEBOOK].update(shape=[-1, 8]),
    lambda header: header[CODEBOOK].update(shape="16"),
    lambda header: header[CODEBOOK].update(dtype="F999"),
    lambda header: header[CODEBOOK].update(data_offsets=[0, 1 << 50]),
    lambda header: header[CODEBOOK].update(data_offsets=None),
    lambda header: header[CODEBOOK].pop("shape"),
    lambda header: header.update({CODEBOOK: 7}),
    lambda header: header.update(__metadata__=[1]),
    lambda header: header["__metadata__"].update(config=7),
    lambda header: header.pop(CODEBOOK),
]


@pytest.mark.parametrize("change", FORGED_HEADERS)
def test_row_78_a_forged_header_costs_nothing(model_bytes, tmp_path, change):
    path = tmp_path / "model.safetensors"
    path.write_bytes(header_of(model_bytes, change))
    with pytest.raises(ModelError, match=r"model\.safetensors: "):
        model_file.read(path)


def test_row_78_a_thousand_changed_headers_are_one_sentence_each(model_bytes, prior_bytes, tmp_path):
    """Any change of any bytes of the header: refused with a sentence, or of no effect."""
    rng, path = np.random.default_rng(0), tmp_path / "a.safetensors"
    for data, read in ((model_bytes, model_file.read), (prior_bytes, prior_file.read)):
        (length,) = struct.unpack("<Q", data[:8])
        for _ in range(250):
            changed = bytearray(data)
            for _ in range(int(rng.integers(1, 4))):
                changed[int(rng.integers(0, 8 + length))] = int(
                    rng.choice(np.frombuffer(b'0129{}[]",:- \xff\x00e', np.uint8))
                )
            path.write_bytes(bytes(changed))
            try:
                read(path)
            except ModelError as error:
                assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_row_78_the_command_reports_it_in_one_line(model_bytes, tmp_path, capsys):
    path = tmp_path / "model.safetensors"
    path.write_bytes(forged(model_bytes, model_file.KIND, with_setting("config", "encoder.strides", [0, 4, 4])))
    assert convert.main(["--model", str(path), "--list-speakers"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "its settings do not fit this version: encoder.strides" in line


def test_a_file_is_the_same_after_reading_and_writing(model_bytes, tmp_path):
    (tmp_path / "a").write_bytes(model_bytes)
    found = model_file.read(tmp_path / "a")
    with torch.inference_mode():
        assert model_file.write(tmp_path / "b", found.model, SPEAKERS, found.training) == found.checksum
