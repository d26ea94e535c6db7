"""The README's commands can be typed: its options, models and commands exist."""

import re
from pathlib import Path

import pytest
import soundfile
from stub_recipe import declared_options

from vqvc.corpus.layouts import registry

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_option_of_the_training_page_is_declared():
    page = README[README.index("## Train on VCTK") : README.index("### Models")]
    assert set(re.findall(r"--([a-z][\w-]+)", page)) - {"help"} <= declared_options("egs/vctk/run.sh")


def test_both_recipes_call_a_thing_by_one_name():
    shared = declared_options("egs/vctk/run.sh") & declared_options("egs/mini/run.sh")
    assert {"stage", "stop-stage", "conf", "tag", "ngpu", "jobs", "max-minutes", "work", "overwrite"} <= shared


def test_the_table_of_models_is_what_there_is():
    page = README[README.index("### Models") : README.index("### Corpora")]
    assert set(re.findall(r"^\| `(\w[\w-]*)` ", page, re.MULTILINE)) == {
        path.stem for path in ROOT.glob("recipes/conf/*.yaml")
    }


def test_the_table_of_corpora_is_what_there_is():
    page = README[README.index("### Corpora") : README.index("## Your own voices")]
    assert re.findall(r"^\| `(\w+)` ", page, re.MULTILINE) == [layout.NAME for layout in registry.LAYOUTS.values()]


def test_every_command_that_is_named_is_installed():
    commands = re.search(r"COMMANDS = \((.*?)\)", (ROOT / "setup.py").read_text(), re.DOTALL).group(1)
    assert set(re.findall(r"vqvc-([a-z-]+)", README)) <= set(re.findall(r'"([\w-]+)"', commands))


def test_files_that_are_named_exist():
    for name in re.findall(r"\b(?:docs|egs|recipes|vqvc|tests)/[\w/.-]+\.(?:sh|py|txt|yaml)\b", README):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize(
    "page",
    ["README.md", "CONTRIBUTING.md", "docs/README.md", "docs/benchmarks.md", "docs/live.md", "vqvc/models/README.md"],
)
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


def test_every_extra_is_in_the_readme():
    page = README[README.index("## Optional packages") : README.index("## References")]
    extras = re.search(r"EXTRAS = \{(.*?)^\}", (ROOT / "setup.py").read_text(), re.DOTALL | re.MULTILINE).group(1)
    assert set(re.findall(r'^    "(\w+)":', extras, re.MULTILINE)) <= set(re.findall(r"`(\w+)`", page))


def test_options_of_commands_in_the_readme_exist():
    import importlib

    for line in re.findall(r"^(vqvc-[^\n]*(?:\\\n[^\n]*)*)", README, re.MULTILINE):
        command, *words = line.split("  #")[0].replace("\\\n", " ").split()
        module = importlib.import_module(f"vqvc.cli.{command.removeprefix('vqvc-').replace('-', '_')}")
        known = {option for action in module.make_parser()._actions for option in action.option_strings}
        assert {word for word in words if word.startswith("--")} <= known, line


@pytest.mark.slow  # enrolls with the included model
def test_the_python_examples_run(tmp_path, monkeypatch, speechlike):
    blocks = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3 and "enroll" in blocks[1] and "phones" in blocks[2]
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
    assert len(found["codes"]) == -(-found["length_samples"] // 640)  # 25 a second
    assert found["voice"].name == "me" and (tmp_path / "me.voice").stat().st_size < 10_000
