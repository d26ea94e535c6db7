"""The help of every command: each option is explained, and a default is shown where there is one."""

import importlib
import pkgutil

import pytest

from vqvc import cli

COMMANDS = sorted(each.name for each in pkgutil.iter_modules(cli.__path__) if not each.name.startswith("_"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained_and_no_default_is_shown_that_is_none(name):
    parser = importlib.import_module(f"vqvc.cli.{name}").make_parser()
    assert [action.dest for action in parser._actions if not action.help] == []
    text = " ".join(parser.format_help().split())
    assert "default: None" not in text and "default: False" not in text and "default: []" not in text
    for action in parser._actions:
        if isinstance(action.default, (int, float)) and not isinstance(action.default, bool):
            assert f"(default: {action.default})" in text
