"""FAULTS rows 23 and 24, and that every configuration that ships says what each key is."""

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
    paper, small, phones, phones_mfcc, phones_units, mfcc = (config.load(ROOT / f"recipes/conf/{name}.yaml") for name in names)
    assert (paper.encoder.strides, paper.hop_length, paper.encoder.context_layers) == ((2,) * 6, 64, 0)
    assert paper.quantizer.codebook_size == small.quantizer.codebook_size == 512
    assert (paper.decoder.layers, paper.decoder.gate_channels, paper.decoder.output) == (30, 512, "categorical")
    assert small.encoder.strides == paper.encoder.strides and small.decoder.layers == 20
    for experiment in (phones, phones_mfcc, phones_units):
        assert (experiment.code_rate_hz, experiment.hop_length, experiment.quantizer.codebook_size) == (25, 640, 128)
    assert (phones.encoder.input, phones_mfcc.encoder.input, phones_units.encoder.input) == ("waveform", "mfcc", "units")
    assert mfcc.code_rate_hz == 50 and mfcc.encoder.input == "mfcc"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "decoder:\n  layrs: 20\n",
            r"model\.yaml: line 2: decoder\.layrs: unknown key; did you mean decoder\.layers\?",
        ),
        ("decodr:\n  layers: 20\n", r"line 1: decodr: unknown key; did you mean decoder\?"),
        ("decoder:\n  layers: 20\n  layers: 30\n", r"line 3: layers: given twice"),
        ("decoder:\n  layers: 2.5\n", r"line 2: decoder\.layers: must be int, not 2\.5"),
        ("decoder:\n  layers: yes\n", r"decoder\.layers: must be int, not True"),
        ("training:\n  learning_rate: fast\n", r"training\.learning_rate: must be float"),
        ("training:\n  learning_rate: .nan\n", r"training\.learning_rate: must be float"),
        ("training:\n  precision: no\n", r"training\.precision: must be str, not False"),
        ("encoder:\n  strides: 2\n", r"encoder\.strides: must be a list"),
        ("decoder: 3\n", r"decoder: must be a section"),
        ("- a\n", r"must hold sections"),
        ("decoder: [\n", r"model\.yaml: line \d"),
        ("decoder:\n  output: softmax\n", r"decoder\.output: 'softmax' is not one of categorical, mixture"),
        ("decoder:\n  conditioning_hop: 60\n", r"conditioning_hop: must divide the encoder's hop of 64"),
        ("training:\n  crop_samples: 6100\n", r"crop_samples: must be a multiple of the hop of 64"),
        ("training:\n  said_samples: 2000\n", r"said_samples: must be a multiple of the hop of 64"),
        ("training:\n  said_samples: 1024\n", r"said_samples: must be above training.lead_samples and at most"),
        ("training:\n  said_samples: 6400\n", r"said_samples: must be above training.lead_samples and at most"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_file_line_and_remedy(tmp_path, text, says):
    with pytest.raises(ConfigError, match=says):
        _load(tmp_path, text)


def test_a_float_may_be_written_as_in_the_papers(tmp_path):
    assert _load(tmp_path, "training:\n  learning_rate: 1e-4\n").training.learning_rate == 1e-4
    assert _load(tmp_path, "training:\n  gradient_clip: 2\n").training.gradient_clip == 2.0


@pytest.mark.parametrize(
    "tag", ["python/object/apply:os.system [touch x]", "python/name:os.system", "python/object:vqvc.config.Config {}"]
)
def test_a_yaml_tag_is_refused_and_nothing_is_run(tmp_path, monkeypatch, tag):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"model\.yaml: line 1"):
        _load(tmp_path, f"decoder: !!{tag}\n")
    with pytest.raises(ConfigError):
        _load(tmp_path, "", f"decoder.layers=!!{tag}")
    assert [path.name for path in tmp_path.iterdir()] == ["model.yaml"]


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
