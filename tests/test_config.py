"""Every configuration that ships says what each key is; wrong settings are in tests/faults/test_settings.py."""

import dataclasses
import re
from pathlib import Path

import pytest
import yaml

from vqvc import config
from vqvc.errors import ConfigError

ROOT = Path(__file__).parent.parent
SHIPPED = sorted([*ROOT.glob("recipes/conf/*.yaml"), *ROOT.glob("egs/*/conf/*.yaml")])


def _load(tmp_path, text, *overrides):
    path = tmp_path / "model.yaml"
    path.write_text(text)
    return config.load(path, overrides)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_configuration_states_every_key_with_a_comment(path):
    config.load(path)
    raw = yaml.safe_load(path.read_text())
    for section in dataclasses.fields(config.Config):
        keys = {field.name for field in dataclasses.fields(section.default_factory)}
        assert keys == set(raw[section.name]), section.name
    for line in path.read_text().splitlines():
        if re.match(r"  \w+:", line):
            assert re.search(r"  # \w", line), line


def test_the_recipes_are_what_they_are_named_after():
    names = ("paper", "small", "phones", "phones-mfcc", "phones-units", "mfcc")
    paper, small, phones, phones_mfcc, phones_units, mfcc = (
        config.load(ROOT / f"recipes/conf/{name}.yaml") for name in names
    )
    assert (paper.encoder.strides, paper.hop_length, paper.encoder.context_layers) == ((2,) * 6, 64, 0)
    assert paper.quantizer.codebook_size == small.quantizer.codebook_size == 512
    assert (paper.decoder.layers, paper.decoder.gate_channels, paper.decoder.output) == (30, 512, "categorical")
    assert small.encoder.strides == paper.encoder.strides and small.decoder.layers == 20
    for experiment in (phones, phones_mfcc, phones_units):
        assert (experiment.code_rate_hz, experiment.hop_length, experiment.quantizer.codebook_size) == (25, 640, 128)
    assert (phones.encoder.input, phones_mfcc.encoder.input, phones_units.encoder.input) == (
        "waveform",
        "mfcc",
        "units",
    )
    assert mfcc.code_rate_hz == 50 and mfcc.encoder.input == "mfcc"


def test_a_float_may_be_written_as_in_the_papers(tmp_path):
    assert _load(tmp_path, "training:\n  learning_rate: 1e-4\n").training.learning_rate == 1e-4
    assert _load(tmp_path, "training:\n  gradient_clip: 2\n").training.gradient_clip == 2.0


def test_an_override_wins_and_is_checked_like_the_file(tmp_path):
    loaded = _load(
        tmp_path,
        "decoder:\n  layers: 4\n",
        "decoder.layers=6",
        "encoder.context_dilations=[1, 3]",
        "training.learning_rate=1e-3",
    )
    assert (loaded.decoder.layers, loaded.encoder.context_dilations, loaded.training.learning_rate) == (6, (1, 3), 1e-3)
    for wrong in (
        "decoder.layers",
        "layers=3",
        "decoder.layrs=3",
        "decoder.layers=many",
        "decoder.layers=[",
        "model.layers=3",
    ):
        with pytest.raises(ConfigError):
            _load(tmp_path, "", wrong)


def test_a_missing_or_binary_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match="none.yaml: no such file"):
        config.load(tmp_path / "none.yaml")
    (tmp_path / "bin.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="bin.yaml: is not UTF-8"):
        config.load(tmp_path / "bin.yaml")


def test_a_configuration_survives_its_own_dict_and_the_hash_tells_settings_apart():
    base = config.Config()
    assert config.from_dict(base.to_dict()) == base
    assert config.from_dict(base.to_dict()).hash() == base.hash()
    assert config.from_dict({}, ["training.seed=2"]).hash() != base.hash()
