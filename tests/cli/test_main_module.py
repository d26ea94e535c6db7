"""``python -m vqvc``: every command by its name."""

import sys

import pytest

from vqvc import __main__ as module
from vqvc.cli import convert


def test_it_lists_the_commands(capsys):
    assert module.main([]) == 2 and "synth-corpus" in capsys.readouterr().err
    assert module.main(["--help"]) == 0 and " convert " in capsys.readouterr().out


def test_an_unknown_command_gets_the_nearest(capsys):
    assert module.main(["convrt"]) == 2
    assert "there is no command 'convrt'; the nearest are convert" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["convert", "vqvc-convert"])
def test_it_runs_the_command_with_the_rest_of_the_words(name, monkeypatch):
    monkeypatch.setattr(convert, "main", lambda words: len(words))
    monkeypatch.setattr(sys, "argv", ["__main__.py"])
    assert module.main([name, "--src", "a.wav"]) == 2
    assert sys.argv[0] == "vqvc-convert"
