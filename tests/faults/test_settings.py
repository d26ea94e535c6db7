"""FAULTS rows 23, 24 and 77: what a file of settings or an override may hold, and the error of anything else."""

import dataclasses
import typing

import pytest
import yaml

from vqvc import config
from vqvc._util.settings import Range
from vqvc.cli import prior, train
from vqvc.config import Config, PriorSettings
from vqvc.errors import ConfigError


def _load(tmp_path, text, *overrides, kind=Config):
    path = tmp_path / "model.yaml"
    path.write_text(text)
    return config.load(path, overrides, kind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "decoder:\n  layrs: 20\n",
            r"model\.yaml: line 2: decoder\.layrs: unknown key; did you mean decoder\.layers\?",
        ),
        ("decodr:\n  layers: 20\n", r"line 1: decodr: unknown key; did you mean decoder\?"),
        ("decoder:\n  layers: 20\n  layers: 30\n", r"line 3: layers: given twice"),
        ("decoder:\n  layers: 2.5\n", r"line 2: decoder\.layers: must be an integer from 1 to 256, not 2\.5"),
        ("decoder:\n  layers: yes\n", r"decoder\.layers: must be an integer from 1 to 256, not 'yes'"),
        (
            "training:\n  learning_rate: fast\n",
            r"line 2: training\.learning_rate: must be a number above 0 and at most 1, not 'fast'",
        ),
        (
            "training:\n  learning_rate: .nan\n",
            r"training\.learning_rate: must be a number above 0 and at most 1, not nan",
        ),
        ("training:\n  precision: no\n", r"line 2: training\.precision: 'no' is not one of bfloat16, float32"),
        ("encoder:\n  strides: 2\n", r"encoder\.strides: must be a list"),
        ("decoder: 3\n", r"decoder: must be a section"),
        ("- a\n", r"must hold sections"),
        ("decoder: [\n", r"model\.yaml: line \d"),
        ("decoder:\n  output: softmax\n", r"decoder\.output: 'softmax' is not one of categorical, mixture"),
        ("decoder:\n  conditioning_hop: 60\n", r"conditioning_hop: must divide the encoder's hop of 64"),
        ("training:\n  crop_samples: 6100\n", r"crop_samples: must be a multiple of the hop of 64"),
        ("training:\n  decoder_crop_samples: 2000\n", r"decoder_crop_samples: must be a multiple of the hop of 64"),
        (
            "training:\n  decoder_crop_samples: 1024\n",
            r"decoder_crop_samples: must be above training.context_samples and at most",
        ),
        (
            "training:\n  decoder_crop_samples: 6400\n",
            r"decoder_crop_samples: must be above training.context_samples and at most",
        ),
    ],
)
def test_row_23_a_wrong_key_or_value_is_named_with_file_line_and_remedy(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        _load(tmp_path, text)


@pytest.mark.parametrize(
    "tag", ["python/object/apply:os.system [touch x]", "python/name:os.system", "python/object:vqvc.config.Config {}"]
)
def test_row_24_a_yaml_tag_is_refused_and_nothing_is_run(tmp_path, monkeypatch, tag):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"model\.yaml: line 1"):
        _load(tmp_path, f"decoder: !!{tag}\n")
    with pytest.raises(ConfigError):
        _load(tmp_path, "", f"decoder.layers=!!{tag}")
    assert [path.name for path in tmp_path.iterdir()] == ["model.yaml"]


def _settings(kind: type, prefix: str = ""):
    """(key, annotation) of every setting of a dataclass and of those in it."""
    for name, annotation in typing.get_type_hints(kind, include_extras=True).items():
        if dataclasses.is_dataclass(annotation):
            yield from _settings(annotation, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", annotation


EVERY = [(kind, *setting) for kind in (Config, PriorSettings) for setting in _settings(kind)]


@pytest.mark.parametrize(("kind", "key", "annotation"), EVERY, ids=[f"{kind.__name__}-{key}" for kind, key, _ in EVERY])
def test_row_77_every_setting_has_a_type_and_a_range_that_are_reported(tmp_path, kind, key, annotation):
    section, name = key.split(".")
    is_list = typing.get_origin(annotation) is tuple
    if is_list:
        annotation = typing.get_args(annotation)[0]
    if typing.get_origin(annotation) is typing.Literal:
        wrong, expected = ["12", "no", "Adam"], f"is not one of {', '.join(typing.get_args(annotation))}"
    elif annotation is bool:
        wrong, expected = ["no", "1", "yes", "off"], "must be true or false"
    else:
        base, allowed = typing.get_args(annotation)
        assert isinstance(allowed, Range), key
        outside = [
            allowed.low - 1,
            allowed.high + 1,
            *([allowed.low] if allowed.above else []),
            *([allowed.high] if allowed.below else []),
        ]
        wrong = [*map(str, outside), "060", "1:30", "no", "0x10", "1_000", "many", "true", "9" * 5000]
        if base is int:
            wrong += ["1e2", "2.0", "1e11"]
        expected = f"must be {'an integer' if base is int else 'a number'} {allowed}, not "
    for text in wrong:
        written = f"[{text}]" if is_list else text
        with pytest.raises(ConfigError) as caught:
            _load(tmp_path, f"{section}:\n  {name}: {written}\n", kind=kind)
        message = str(caught.value)
        assert message.startswith(f"{tmp_path / 'model.yaml'}: line 2: ") and len(message) < 400, message
        if text != "9" * 5000:
            assert f"line 2: {key}: " in message and expected in message, message
        with pytest.raises(ConfigError):
            config.from_dict({}, [f"{key}={written}"], kind)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "training:\n  batch_size: 60000\n",
            "training.batch_size: 60,000 crops of training.crop_samples = 6,144 are 368,640,000 in all",
        ),
        (
            "encoder:\n  channels: [8, 8, 8]\n  strides: [64, 64, 64]\n",
            "encoder.strides: a code would stand for 262,144 samples",
        ),
        ("encoder:\n  context_dilations: []\n", "encoder.context_dilations: give at least one"),
        (
            f"encoder:\n  strides: [{', '.join(['1'] * 65)}]\n",
            "line 2: encoder.strides: must have at most 64 items, not 65",
        ),
        ("encoder:\n  strides: [[2]]\n", "line 2: encoder.strides: must be an integer from 1 to 64, not [2]"),
        ("decoder:\n  1: 2\n", "line 2: a key must be a name, not 1"),
        ("? [a, b]\n: 2\n", "line 1: a key must be a name"),
        ("a: &a [*a]\n", "line 1: found unconstructable recursive node"),
        ("training: [1, 2]\n", "training: must be a section with keys, not [1, 2]"),
        ("[" * 5000, "nested too deeply"),
        ("decoder: \x00\n", "is not YAML text"),
    ],
)
def test_row_77_settings_that_do_not_go_together_and_odd_yaml_are_one_sentence(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, text)
    assert message in str(caught.value) and len(str(caught.value)) < 400


def test_row_77_aliases_that_would_fill_the_memory_are_reported_shortly(tmp_path):
    lists = [
        "&a [x, x, x, x, x, x, x, x]",
        *(f"&{b} [{', '.join([f'*{a}'] * 8)}]" for a, b in zip("abcdefgh", "bcdefghi")),
    ]
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, f"training:\n  steps: [{', '.join(lists)}]\n")
    assert len(str(caught.value)) < 400


def test_row_77_a_folder_is_no_file_of_settings_and_a_byte_order_mark_is_read(tmp_path):
    with pytest.raises(ConfigError, match="is a folder, not a text file"):
        config.load(tmp_path)
    (tmp_path / "bom.yaml").write_bytes(b"\xef\xbb\xbftraining:\r\n  steps: 7\r\n")
    assert config.load(tmp_path / "bom.yaml").training.steps == 7


def test_row_77_settings_made_in_python_are_held_to_the_same_ranges():
    with pytest.raises(ConfigError, match="training.steps: must be an integer from 1 to 1,000,000,000, not -60"):
        dataclasses.replace(Config(), training=config.TrainingConfig(steps=-60))
    with pytest.raises(ConfigError, match="training.jitter: must be a number from 0 to 1, not 5"):
        Config(training=config.TrainingConfig(jitter=5))


@pytest.mark.parametrize("command", [train, prior])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--set", "training.steps=-60"], "training.steps: must be an integer from 1 to 1,000,000,000, not -60"),
        (["--max-minutes", "nan"], "--max-minutes: must be above 0 and finite, not nan"),
        (["--max-minutes", "-1"], "--max-minutes: must be above 0 and finite, not -1.0"),
        (["--threads", "-3"], "--threads: must be from 1 to 1,024, not -3"),
        (["--threads", "0"], "--threads: must be from 1 to 1,024, not 0"),
    ],
)
def test_row_77_a_command_refuses_with_status_2_and_makes_no_folder(tmp_path, capsys, command, given, message):
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"training": {"steps": 3}}))
    source = ["--store" if command is train else "--codes", str(tmp_path / "none")]
    status = command.main(["--conf", str(tmp_path / "settings.yaml"), "--out", str(tmp_path / "out"), *source, *given])
    assert status == 2 and message in capsys.readouterr().err and not (tmp_path / "out").exists()
