"""What README and docs say can be typed: options, models and commands exist, links lead somewhere, examples run."""

import re
from pathlib import Path

import pytest
import soundfile
from stub_recipe import declared_options

from vqvc.corpus.layouts import registry

ROOT = Path(__file__).resolve().parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/README.md",
    "docs/benchmarks.md",
    "docs/codes.md",
    "docs/install.md",
    "docs/live.md",
    "docs/training.md",
    "vqvc/models/README.md",
)


def _text(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


README, TRAINING = _text("README.md"), _text("docs/training.md")


def test_every_option_of_the_training_page_is_declared():
    page = README[README.index("## Train on VCTK") : README.index("## Probe")]
    page += TRAINING[: TRAINING.index("## Models")]
    assert set(re.findall(r"--([a-z][\w-]+)", page)) - {"help", "source"} <= declared_options("egs/vctk/run.sh")


def test_both_recipes_call_a_thing_by_one_name():
    shared = declared_options("egs/vctk/run.sh") & declared_options("egs/mini/run.sh")
    assert {"stage", "stop-stage", "conf", "tag", "ngpu", "jobs", "max-minutes", "work", "overwrite"} <= shared


def test_the_table_of_models_is_what_there_is():
    page = TRAINING[TRAINING.index("## Models") : TRAINING.index("## Corpora")]
    assert set(re.findall(r"^\| `(\w[\w-]*)` ", page, re.MULTILINE)) == {
        path.stem for path in ROOT.glob("recipes/conf/*.yaml")
    }


def test_the_table_of_corpora_is_what_there_is():
    page = TRAINING[TRAINING.index("## Corpora") : TRAINING.index("## More speakers")]
    assert re.findall(r"^\| `(\w+)` ", page, re.MULTILINE) == [layout.NAME for layout in registry.LAYOUTS.values()]


def test_every_command_that_is_named_is_installed():
    commands = re.search(r"COMMANDS = \((.*?)\)", (ROOT / "setup.py").read_text(), re.DOTALL).group(1)
    assert set(re.findall(r"vqvc-([a-z-]+)", README)) <= set(re.findall(r'"([\w-]+)"', commands))


def test_files_that_are_named_exist():
    for name in re.findall(r"\b(?:docs|egs|recipes|vqvc|tests)/[\w/.-]+\.(?:sh|py|txt|yaml)\b", README + TRAINING):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_and_headings(page):
    path = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        name, _, heading = target.partition("#")
        found = path.parent / name if name else path
        assert found.exists(), target
        if heading:
            titles = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, target


def test_every_extra_is_documented():
    page = _text("docs/install.md")
    extras = re.search(r"EXTRAS = \{(.*?)^\}", (ROOT / "setup.py").read_text(), re.DOTALL | re.MULTILINE).group(1)
    assert set(re.findall(r'^    "(\w+)":', extras, re.MULTILINE)) <= set(re.findall(r"`(\w+)`", page))


@pytest.mark.parametrize("page", PAGES)
def test_options_of_commands_exist(page):
    import importlib

    for line in re.findall(r"^(vqvc-[^\n]*(?:\\\n[^\n]*)*)", _text(page), re.MULTILINE):
        command, *words = line.split("  #")[0].replace("\\\n", " ").split()
        module = importlib.import_module(f"vqvc.cli.{command.removeprefix('vqvc-').replace('-', '_')}")
        known = {option for action in module.make_parser()._actions for option in action.option_strings}
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.slow  # enrolls with the included model
def test_the_python_examples_run(tmp_path, monkeypatch, speechlike):
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3 and "phones" in blocks[1] and "enroll" in blocks[2]
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", speechlike(0.6, 44100), 44100)
    soundfile.write("me.wav", speechlike(12.0), 16000)
    found = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), found)
    samples = found["samples"]
    assert (
        samples.dtype == "float32" and len(samples) == found["converter"].sample_rate * soundfile.info("a.wav").duration
    )
    with soundfile.SoundFile("a_me.wav") as sound:
        assert (sound.samplerate, len(sound)) == (
            44100,
            soundfile.info("a.wav").frames,
        ) and "speaker me" in sound.comment
    assert len(found["units"]) == -(-len(samples) // 640)  # 25 a second
    assert found["voice"].name == "me" and (tmp_path / "me.voice").stat().st_size < 150_000


def test_the_example_of_units_runs(tmp_path, monkeypatch, speechlike):
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", speechlike(0.6), 16000)
    found = {}
    exec(
        compile(
            re.search(r"^```python\n(.*?)^```", _text("docs/codes.md"), re.MULTILINE | re.DOTALL)[1], "codes.md", "exec"
        ),
        found,
    )
    assert (
        found["vectors"].shape == (len(found["units"]), found["encoder"].codebook.shape[1])
        and found["vectors"].dtype == "float32"
    )
