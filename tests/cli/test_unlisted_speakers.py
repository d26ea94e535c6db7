"""``vqvc-train --unlisted``: speakers that a model is trained on and that are not offered."""

import json

import pytest
import yaml
from safetensors import safe_open
from tiny_training import tiny_config, tiny_store
from tiny_voice import SPEAKERS, tiny_model

from vqvc._util import tensorfile
from vqvc.cli import convert, train
from vqvc.conversion import model_file
from vqvc.errors import ModelError, UsageError
from vqvc.training.tracker import Tracker


@pytest.fixture
def written(tmp_path):
    """A model file whose middle speaker, p226, is not listed."""
    path = tmp_path / "model.safetensors"
    model_file.write(path, tiny_model(), SPEAKERS, {}, unlisted={"p226"})
    return path


def _table(path) -> list[dict]:
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["speakers"])


def test_an_unlisted_speaker_keeps_its_index_and_is_found_by_its_name(written):
    header = model_file.read_header(written)
    assert [one.name for one in header.speakers] == ["p225", "p226", "p315"] and header.speaker_index("p226") == 1
    assert [one.name for one in header.listed_speakers] == ["p225", "p315"]
    assert [one.get("listed") for one in _table(written)] == [None, False, None]


def test_lists_and_suggestions_hold_listed_speakers_only(written, capsys):
    assert convert.main(["--model", str(written), "--list-speakers"]) == 0
    assert capsys.readouterr().out.splitlines() == ["p225\tf\tEnglish", "p315\tf\tScottish"]
    with pytest.raises(UsageError) as caught:
        model_file.read_header(written).speaker_index("p22")
    assert "p225" in str(caught.value) and "p226" not in str(caught.value)


def test_a_file_without_the_key_lists_everybody(tmp_path):
    path = tmp_path / "model.safetensors"
    model_file.write(path, tiny_model(), SPEAKERS, {})
    assert all("listed" not in one for one in _table(path))
    header = model_file.read_header(path)
    assert header.listed_speakers == header.speakers and len(header.speakers) == 3


def test_a_key_that_is_neither_true_nor_false_is_refused(written):
    with safe_open(written, "np") as file:
        metadata = file.metadata()
    rows = json.loads(metadata["speakers"])
    rows[1]["listed"] = "no"
    kept = {name: text for name, text in metadata.items() if name not in ("format_version", tensorfile.CHECKSUM)}
    weights = tensorfile.read_header(written, model_file.KIND).tensors()
    tensorfile.write(written, model_file.KIND, weights, kept | {"speakers": json.dumps(rows)})
    with pytest.raises(ModelError, match="its header is damaged"):
        model_file.read_header(written)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [([], set()), (["p3*"], {"p315"}), (["p22[56]"], {"p225", "p226"}), (["p225", "p3??"], {"p225", "p315"})],
)
def test_patterns_are_those_of_a_shell(patterns, expected):
    assert model_file.match_speakers([one.speaker for one in SPEAKERS], patterns) == expected


@pytest.mark.parametrize(
    ("patterns", "message"),
    [(["q*"], "--unlisted q*: matches no speaker"), (["P225"], "the nearest are p2"), (["*"], "matches all speakers")],
)
def test_a_pattern_that_matches_none_or_all_is_refused(patterns, message):
    with pytest.raises(UsageError) as caught:
        model_file.match_speakers([one.speaker for one in SPEAKERS], patterns)
    assert message in str(caught.value)


def test_the_command_trains_on_unlisted_speakers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Tracker, "_open_board", staticmethod(lambda folder: None))
    store = tiny_store(tmp_path / "dump")
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(tiny_config(training={"steps": 3}).to_dict()))
    words = ["--conf", str(tmp_path / "tiny.yaml"), "--store", str(store.path), "--threads", "1"]
    assert train.main([*words, "--out", str(tmp_path / "wrong"), "--unlisted", "x*"]) == 2
    assert not (tmp_path / "wrong").exists()
    assert train.main([*words, "--out", str(tmp_path / "run"), "--unlisted", "p1", "--unlisted", "p2"]) == 0
    header = model_file.read_header(tmp_path / "run" / "model.safetensors")
    assert [(one.name, one.listed) for one in header.speakers] == [("p0", True), ("p1", False), ("p2", False)]
