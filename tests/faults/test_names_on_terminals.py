"""FAULTS row 85: names that are shown, and commands run as modules."""

import ast
import io
import subprocess
import sys
from pathlib import Path

import pytest

import vqvc.cli
from vqvc._util import log
from vqvc.cli._common import parser
from vqvc.cli._common import run as run_command
from vqvc.errors import FileError

COMMANDS = sorted(path for path in Path(vqvc.cli.__file__).parent.glob("*.py") if not path.name.startswith("_"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("code", ["\x1b[31m", "\r", "\x07", "\x9b2J", "\u202e"])
def test_row_85_control_characters_in_names_do_not_reach_a_terminal(monkeypatch, capsys, code):
    name = f"a{code}b.wav"

    def work(args):
        print(name)
        raise FileError(f"{name}: cannot be read")

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    assert run_command(lambda: parser("Print a name."), work, []) == 1
    assert sys.stdout is screen and code not in screen.getvalue() and screen.getvalue() == log.printable(name) + "\n"
    err = capsys.readouterr().err
    assert code not in err and log.printable(name) in err
    with pytest.raises(SystemExit):
        run_command(lambda: parser("Print a name."), work, [name])
    assert code not in capsys.readouterr().err


def test_row_85_a_pipe_gets_the_name_as_it_is(capsys):
    assert run_command(lambda: parser("Print a name."), lambda args: print("a\x1b[31mb.wav"), []) == 0
    assert capsys.readouterr().out == "a\x1b[31mb.wav\n"


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_row_85_every_command_runs_as_a_module(path):
    last = ast.parse(path.read_text(encoding="utf-8")).body[-1]
    assert ast.unparse(last) == "if __name__ == '__main__':\n    raise SystemExit(main())"


def test_row_85_python_m_does_something():
    done = subprocess.run([sys.executable, "-m", "vqvc.cli.convert"], capture_output=True, text=True)
    assert (
        done.returncode == 2
        and done.stderr == "error: nothing to convert; type: vqvc-convert --src a.wav --speaker p225\n"
    )
