"""Every configuration that ships says what each key is; wrong settings are in tests/faults/test_settings.py."""

import re
from pathlib import Path

import pytest
import yaml

from vqvc import config
from vqvc.cli import train
from vqvc.errors import ConfigError

ROOT = Path(__file__).parent.parent
SHIPPED = sorted([*ROOT.glob("recipes/conf/*.yaml"), *ROOT.glob("egs/*/conf/*.yaml")])


def _load(tmp_path, text, *overrides):
    path = tmp_path / "model.yaml"
    path.write_text(text)
    return config.load(path, overrides)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_configuration_has_a_comment_for_every_key_and_names_nothing_that_its_base_has(path):
    resolved, raw = config.load(path).to_dict(), yaml.safe_load(path.read_text())
    for line in path.read_text().splitlines():
        if re.match(r"  \w+:", line):
            assert re.search(r"  # \w", line), line
    if path.stem == "small":  # the one that holds everything
        assert {section: set(keys) for section, keys in raw.items()} == {
            section: set(keys) for section, keys in resolved.items()
        }
        return
    base = config.load(raw.pop("base")).to_dict()
    same = [f"{s}.{key}" for s, keys in raw.items() for key in keys if resolved[s][key] == base[s][key]]
    assert not same, "these are what the base has"


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
    (tmp_path / "bin.yaml").write_bytes(b"\x80\x81\xff")
    with pytest.raises(ConfigError, match="bin.yaml:1: is not UTF-8 text; save it as UTF-8"):
        config.load(tmp_path / "bin.yaml")


def test_a_configuration_survives_its_own_dict_and_the_hash_distinguishes_settings():
    base = config.Config()
    assert config.from_dict(base.to_dict()) == base
    assert config.from_dict(base.to_dict()).hash() == base.hash()
    assert config.from_dict({}, ["training.seed=2"]).hash() != base.hash()


def test_a_base_is_relative_to_its_file_or_shipped_and_the_file_wins(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "first.yaml").write_text("base: small\ndecoder:\n  layers: 4\n  kernel: 3\ntraining:\n  steps: 5\n")
    (tmp_path / "models" / "second.yaml").write_text("base: ../first.yaml\ndecoder:\n  layers: 6\n")
    small, first = config.load("small"), config.load(tmp_path / "first.yaml")
    second = config.load(tmp_path / "models" / "second.yaml", ["training.steps=7"])
    assert (first.decoder.layers, first.decoder.kernel, first.training.steps) == (4, 3, 5)
    assert (second.decoder.layers, second.decoder.kernel, second.training.steps) == (6, 3, 7)
    assert first.encoder == second.encoder == small.encoder and first.decoder.mixtures == small.decoder.mixtures


def test_a_setting_under_a_former_name_replaces_that_of_the_base(tmp_path):
    assert config.load("small").training.context_samples == 256
    assert _load(tmp_path, "base: small\ntraining:\n  lead_samples: 512\n").training.context_samples == 512


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a": "base: a.yaml\n"}, "a.yaml: line 1: base: a.yaml leads back to "),
        ({"a": "\nbase: b.yaml\n", "b": "base: a.yaml\n"}, "b.yaml: line 1: base: a.yaml leads back to "),
        ({"a": "\nbase: none.yaml\n"}, "a.yaml: line 2: base: {folder}/none.yaml: no such file"),
        ({"a": "base: smal\n"}, "a.yaml: line 1: base: smal: no such file, and no configuration of that name; did you"),
        ({"a": "base: 3\n"}, "a.yaml: line 1: base: must be a YAML file or the name of a configuration, not 3"),
        ({"a": "base:\n  small: 1\n"}, "a.yaml: line 1: base: must be a YAML file or the name of a configuration"),
        ({"a": "base: b.yaml\n", "b": "\ndecoder:\n  layrs: 3\n"}, "b.yaml: line 3: decoder.layrs: unknown key"),
        ({"a": "base: b.yaml\n", "b": "decoder: 3\n"}, "b.yaml: line 1: decoder: must be a section"),
        ({"a": "base: b.yaml\n", "b": "- 1\n"}, "b.yaml: the file must hold sections"),
        (
            {"a": "base: b.yaml\ndecoder:\n  layers: 4\n", "b": "decoder:\n  conditioning_hop: 60\n"},
            "b.yaml: line 2: decoder.conditioning_hop: must divide the encoder's hop of 64 samples",
        ),
        ({"a": "base: b.yaml\ntraining:\n  steps: 0\n", "b": "training:\n  steps: 5\n"}, "a.yaml: line 3: training.steps"),
    ],
)  # fmt: skip
def test_an_error_names_the_file_and_line_that_hold_the_key(tmp_path, files, message):
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / "a.yaml")
    expected = message.format(folder=tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/{expected}"), caught.value


def test_a_chain_of_bases_has_an_end(tmp_path):
    for number in range(30):
        (tmp_path / f"{number}.yaml").write_text(f"base: {number + 1}.yaml\n")
    with pytest.raises(ConfigError, match="more than 16 configurations based on each other"):
        config.load(tmp_path / "0.yaml")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_a_configuration_is_read_whatever_editor_saved_it(tmp_path, encoding):
    (tmp_path / "model.yaml").write_bytes("training:\r\n  steps: 7\r\n".encode(encoding))
    assert config.load(tmp_path / "model.yaml").training.steps == 7


def test_the_configuration_that_is_shown_is_one_that_is_read(tmp_path, capsys):
    overrides = ["training.learning_rate=1e-5", "encoder.context_dilations=[1, 3]", "decoder.f0=false"]
    options = [word for override in overrides for word in ("--set", override)]
    assert train.main(["--conf", "small", *options, "--show-config"]) == 0
    (tmp_path / "my.yaml").write_text(capsys.readouterr().out)
    assert config.load(tmp_path / "my.yaml") == config.load("small", overrides)


def test_training_without_store_or_folder_is_wrong_usage(capsys):
    assert train.main(["--conf", "small", "--out", "run"]) == 2
    assert "--store: is missing" in capsys.readouterr().err
    assert train.main(["--conf", "small", "--store", "dump"]) == 2
    assert "--out: is missing" in capsys.readouterr().err
