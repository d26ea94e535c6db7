"""The README's commands can be typed: its options, models and commands exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def declared_options(script: str) -> set[str]:
    return set(re.findall(r"^option (\S+)", (ROOT / script).read_text(), re.MULTILINE))


def test_every_option_of_the_training_page_is_declared():
    page = README[README.index("## Train on VCTK") : README.index("### Models")]
    assert set(re.findall(r"--([a-z][\w-]+)", page)) - {"help"} <= declared_options("egs/vctk/run.sh")


def test_both_recipes_call_a_thing_by_one_name():
    shared = declared_options("egs/vctk/run.sh") & declared_options("egs/mini/run.sh")
    assert {"stage", "stop-stage", "conf", "tag", "ngpu", "jobs", "max-minutes", "work", "overwrite"} <= shared


def test_the_table_of_models_is_what_there_is():
    page = README[README.index("### Models") : README.index("## Where things are")]
    assert set(re.findall(r"^\| `(\w[\w-]*)` ", page, re.MULTILINE)) == {
        path.stem for path in ROOT.glob("recipes/conf/*.yaml")
    }


def test_every_command_that_is_named_is_installed():
    commands = re.search(r"COMMANDS = \((.*?)\)", (ROOT / "setup.py").read_text(), re.DOTALL).group(1)
    assert set(re.findall(r"vqvc-([a-z-]+)", README)) <= set(re.findall(r'"([\w-]+)"', commands))


def test_files_that_are_named_exist():
    for name in re.findall(r"\b(?:egs|recipes|vqvc|tests)/[\w/.-]+\.(?:sh|py|txt)\b", README):
        assert (ROOT / name).is_file(), name
