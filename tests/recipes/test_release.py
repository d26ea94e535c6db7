"""A release: its steps call the commands that they print, and its figures go between two lines of a file."""

import json
import os
from pathlib import Path

import pytest
import scripts
from stub_recipe import STUB, names, one_sentence, run

from vqvc.errors import VqvcError

ROOT = Path(__file__).resolve().parents[2]
release = scripts.load("recipes/release.py")

STEPS = "model,encode,prior,evaluate"


def _figure(value, unit="%", interval=(None, None)):
    return {"value": value, "unit": unit, "interval_95": list(interval), "definition": "of a test"}


EVALUATION = {
    "settings": {"targets": ["a", "b"], "sources": ["1", "2", "3"]},
    "provenance": {"model_checksum": "0123456789abcdef", "vqvc": "9.9", "recogniser": {"name": "R"}},
    "figures": {
        "content": {"source": {"word_error": _figure(6.55)}, "conversion_of_seen": {"word_error": _figure(18.9, interval=(12.3, 25.8))}},
        "encoder": {"natural": {"similarity_to_target": _figure(0.923, "-1 to 1")}, "conversion_of_seen": {"named_target": _figure(75.0)}},
        "quality": {"left_out": "not installed"},
    },
}  # fmt: skip


def test_figures_become_a_table_of_what_was_measured():
    lines = release.figures(EVALUATION, "vqvc-evaluate x", "m").splitlines()
    assert lines[:5] == [
        "| | natural | conversion, speakers of training |",
        "| --- | --- | --- |",
        "| words wrong, % | 6.5 | 18.9 [12.3, 25.8] |",
        "| named as the target, of 2, % | – | 75.0 |",
        "| similarity to the target, -1 to 1 | 0.92 | – |",
    ]
    assert "Model `m` (0123456789ab), vqvc 9.9. Judges: R. 3 unseen sentences" in lines[6]
    assert lines[-3:] == ["```sh", "vqvc-evaluate x", "```"]
    with pytest.raises(VqvcError, match="holds none of the figures"):
        release.figures({"figures": {}}, "", "m")


def test_a_second_speaker_encoder_has_rows_and_is_named():
    found = dict(
        EVALUATION, figures=EVALUATION["figures"] | {"encoder_campplus": {"natural": {"named_target": _figure(99.0)}}}
    )
    found["provenance"] = EVALUATION["provenance"] | {"further_speaker_encoders": [{"name": "CAM++"}]}
    text = release.figures(found, "vqvc-evaluate x", "m")
    assert "| named as the target by CAM++, of 2, % | 99.0 | – |" in text and "Judges: R, CAM++." in text


def test_what_stands_between_the_markers_is_replaced_and_nothing_else():
    document = "before\n<!-- begin figures (written by x) -->\nold\n\nold\n<!-- end figures -->\nafter\n"
    changed = release.put(document, "figures", r"new \1")
    assert changed == "before\n<!-- begin figures (written by x) -->\nnew \\1\n<!-- end figures -->\nafter\n"
    assert release.put(changed, "figures", r"new \1") == changed
    assert release.put(document, "facts", "new") is None
    assert release.put("<!-- begin figures -->\nno end", "figures", "new") is None


@pytest.mark.parametrize("name", ["README.md", "vqvc/models/README.md"])
def test_readme_and_card_have_a_place_for_the_figures(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    assert text.count("<!-- begin figures") == text.count("<!-- end figures -->") == 1
    assert release.put(text, "figures", "new") is not None


def test_the_released_model_is_named_in_one_line(tmp_path, capsys):
    (tmp_path / "__init__.py").write_text((ROOT / "vqvc/models/__init__.py").read_text())
    for name in ("old", "new-2"):
        (tmp_path / f"{name}.safetensors").write_bytes(b"1")
    release.main(["name", "--models", str(tmp_path), "new-2"])
    found = {"__file__": str(tmp_path / "__init__.py")}
    exec((tmp_path / "__init__.py").read_text(), found)
    assert found["RELEASED"] == tmp_path / "new-2.safetensors"
    assert "old.safetensors: an earlier model" in capsys.readouterr().out


@pytest.fixture
def made(tmp_path):
    """Call recipes/release.sh on a run of stubs; gives the finished process and the calls of commands."""
    for name in ("train", "encode", "prior", "evaluate", "prepare", "synth-corpus"):
        path = tmp_path / "bin" / f"vqvc-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(STUB)
        path.chmod(0o755)
    work, models = tmp_path / "work", tmp_path / "models"
    (work / "exp" / "a").mkdir(parents=True)
    (work / "dump").mkdir()
    models.mkdir()
    (models / "__init__.py").write_text('RELEASED = Path(__file__).parent / "old.safetensors"\n')
    for path in (work / "dump" / "store.json", work / "exp" / "a" / "config.yaml"):
        path.write_text("1")
    log = tmp_path / "calls.jsonl"

    def call(*options, steps=STEPS):
        log.unlink(missing_ok=True)
        done = run(
            "--run", work / "exp" / "a", "--name", "mine", "--models", models, "--steps", steps, *options,
            script=ROOT / "recipes/release.sh", cwd=tmp_path, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            STUB_LOG=os.fspath(log),
        )  # fmt: skip
        return done, [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    return call


def test_steps_run_once_in_order_and_print_their_commands(made, tmp_path):
    done, calls = made()
    assert done.returncode == 0, done.stderr
    assert names(calls) == ["train", "encode", "prior", "prior", "evaluate"]  # train: there were checkpoints only
    assert (tmp_path / "models" / "mine.safetensors").is_file() and (
        tmp_path / "models/prior/prior.safetensors"
    ).is_file()
    assert '"mine.safetensors"' in (tmp_path / "models/__init__.py").read_text()
    for call in calls:
        assert " ".join(map(str, call)) in done.stderr
    assert made()[1] == []


def test_only_the_steps_that_are_named_run(made, tmp_path):
    (tmp_path / "work/exp/a/model.safetensors").write_text("1")
    done, calls = made("--strangers", "others", steps="encode")
    assert done.returncode == 0 and names(calls) == ["encode"]
    assert one_sentence(made(steps="encode,sing")[0]).startswith("error: --steps: there is no step 'sing'")
    assert "--clips: give a list" in one_sentence(made(steps="samples")[0])


def test_targets_and_further_options_reach_the_evaluation(made, tmp_path):
    (tmp_path / "work/exp/a/model.safetensors").write_text("1")
    plain, asked = (
        made(*options, steps="evaluate")[1][0]
        for options in ((), ("--targets", "p1,p2", "--evaluate-options", "--each 1 --few-count 24"))
    )
    assert "--targets" not in plain and set(plain) < set(asked)
    assert asked[asked.index("--targets") + 1] == "p1,p2" and asked[asked.index("--few-count") + 1] == "24"
