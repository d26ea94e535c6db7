"""FAULTS rows 27, 28, 52, 62, 73, 75 and 85: where the commands write, what they refuse, and how a stopped batch goes on."""

import ast
import errno
import io
import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_voice import SPEAKERS, tiny_model

import vqvc.cli
from vqvc._util import atomic, log
from vqvc._util import platform as system
from vqvc.audio import io as sound
from vqvc.cli import convert, decode
from vqvc.cli._common import parser
from vqvc.cli._common import run as run_command
from vqvc.cli._finished import LIST
from vqvc.conversion.model_file import write as write_model
from vqvc.errors import FileError, explained
from vqvc.evaluation.run_folder import RunFolder

COMMANDS = sorted(path for path in Path(vqvc.cli.__file__).parent.glob("*.py") if not path.name.startswith("_"))
posix = pytest.mark.skipif(os.name == "nt", reason="of POSIX")
no_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")


@pytest.fixture(scope="module")
def model_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    write_model(path, tiny_model(), SPEAKERS, {"steps": 0})
    return path


@pytest.fixture
def here(tmp_path, monkeypatch, speechlike) -> Path:
    """An empty current folder but for a recording."""
    monkeypatch.chdir(tmp_path)
    sound.write("a.wav", speechlike(0.4), 16000)
    return tmp_path


@pytest.fixture
def run(model_file, capsys, caplog):
    """run(command, *words) -> (exit status, stdout, stderr) with the tiny model."""

    def call(command, *words):
        caplog.clear()
        capsys.readouterr()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            status = command.main(["--model", str(model_file), *map(str, words)])
        except SystemExit as stopped:
            status = stopped.code
        finally:
            torch.set_num_threads(threads)
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return status, out, err + caplog.text

    return call


def child(words, **options) -> subprocess.CompletedProcess:
    """A command in a process of its own."""
    code = "import sys; from vqvc.cli import convert; sys.exit(convert.main())"
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, **options)


def visible(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("[!.]*") if path.is_file())


# row 62: the fewest words, folders, pipes, formats


def test_row_62_the_fewest_words_write_here_and_print_the_name(run, here):
    assert run(convert, "--src", "a.wav", "--speaker", "p225")[:2] == (0, "a_p225.wav\n")
    assert visible(here) == ["a.wav", "a_p225.wav"]
    assert run(convert, "--src", here / "a.wav", "--speaker", "p226")[:2] == (0, "a_p226.wav\n")
    (here / "c.txt").write_text("1 2 3")
    assert run(decode, "c.txt", "--speaker", "p225")[:2] == (0, "c_p225.wav\n")


def test_row_62_a_folder_becomes_a_folder_here(run, here):
    (here / "in/deep").mkdir(parents=True)
    for name in ("in/b.wav", "in/deep/c.wav"):
        os.link("a.wav", name)
    status, out, _ = run(convert, "--src", "in/", "--speaker", "p225")
    assert (status, sorted(out.split())) == (0, ["in_p225/b.wav", "in_p225/deep/c.wav"])
    before = visible(here)
    assert run(convert, "--src", ".", "--speaker", "p226", "--out", "all")[0] == 0  # what was made before is no source
    assert set(visible(here)) - set(before) == {"all/a.wav", "all/in/b.wav", "all/in/deep/c.wav"}
    assert run(convert, "--src", ".", "--speaker", "p226", "--out", "all")[0] == 0  # nor is its own output


@pytest.mark.parametrize("out", ["new/", "there", "there/"])
def test_row_62_one_file_into_a_folder(run, here, out):
    (here / "there").mkdir()
    assert run(convert, "--src", "a.wav", "--speaker", "p225", "--out", out)[0] == 0
    assert (here / out / "a_p225.wav").is_file()


def test_row_62_a_batch_to_flac_of_24_bits(run, here):
    (here / "in").mkdir()
    os.link("a.wav", "in/b.wav")
    assert run(convert, "--src", "in", "--speaker", "p225", "--format", "flac", "--subtype", "24")[0] == 0
    assert sound.info("in_p225/b.flac").encoding == "FLAC PCM_24"
    assert run(convert, "--src", "a.wav", "--speaker", "p225", "--subtype", "float", "--normalise")[0] == 0
    assert sound.info("a_p225.wav").encoding == "WAV FLOAT"
    assert np.abs(sound.read("a_p225.wav").samples).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)


def test_row_62_from_a_pipe_into_a_pipe(here, model_file):
    words = ["--model", model_file, "--src", "-", "--speaker", "p225"]
    done = child([*words, "--out", "-"], input=(here / "a.wav").read_bytes())
    assert done.returncode == 0, done.stderr
    samples, rate = soundfile.read(io.BytesIO(done.stdout))
    assert (len(samples), rate) == (sound.info("a.wav").length_samples, 16000) and visible(here) == ["a.wav"]
    done = child([*words, "--out", "-"], input=b"no sound")
    assert done.returncode == 1 and done.stdout == b"" and b"stdin: not a readable audio file" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "type: vqvc-convert --src a.wav --speaker p225"),
        (("--src", "a.wav"), "whose voice? Add --speaker p225"),
        (("--src", ".", "--speaker", "p225", "--out", "-"), "need a folder too"),
        (("--src", ".", "--speaker", "p225", "--out", "a.wav"), "is a file; the conversions of a folder need a folder"),
        (("--src", "a.wav", "--speaker", "p225", "--out", "b.flac", "--format", "wav"), "differ; give one of them"),
        (("--src", "a.wav", "--speaker", "p225", "--format", "xyz"), "no known sound format"),
        (("--src", "a.wav", "--speaker", "p225", "--subtype", "12"), "WAV has no subtype 12; it has PCM_16"),
        (
            ("--src", "a.wav", "--speaker", "p225", "--out", "b.opus", "--rate", "44100"),
            "cannot hold 44100 Hz; it has 8000",
        ),
    ],
    ids=str,
)
def test_row_62_words_that_do_not_suffice_name_what_to_type(run, here, words, message):
    status, out, err = run(convert, *words)
    assert status == 2 and message in err and out == "" and visible(here) == ["a.wav"]


# rows 52 and 73: what cannot be written


def unwritable(here: Path) -> dict[str, tuple[str, str]]:
    (here / "file").write_text("mine")
    (here / "folder.wav").mkdir()
    return {
        "below a file": ("file/b.wav", "is a file, not a folder"),
        "far below a file": ("file/deep/b.wav", "is a file, not a folder"),
        "too long": ("x" * 300 + ".wav", "name is too long"),
        "too long a folder": ("x" * 300 + "/b.wav", "name is too long"),
        "no ordinary file": (os.devnull, "ordinary file" if os.name != "nt" else ""),
    }


@pytest.mark.parametrize(
    "place", ["below a file", "far below a file", "too long", "too long a folder", "no ordinary file"]
)
def test_row_73_a_place_that_cannot_be_written_is_refused_before_the_work(run, here, monkeypatch, place):
    out, message = unwritable(here)[place]
    monkeypatch.setattr(vqvc, "load", None)  # no work is begun
    (here / "c.txt").write_text("1 2 3")
    for command, words in ((convert, ("--src", "a.wav")), (decode, ("c.txt",))):
        form = ("--format", "wav") if place != "no ordinary file" else ()
        status, _, err = run(
            command, *words, "--speaker", "p225", "--out", out if form else f"{out}", *form, "--overwrite"
        )
        assert status == 2 and (message in err or "no known sound format" in err), err
    assert visible(here) == ["a.wav", "c.txt", "file"]


@no_root
def test_row_52_a_folder_without_rights_is_said_before_the_work(run, here, monkeypatch):
    (here / "locked").mkdir(mode=0o500)
    monkeypatch.setattr(vqvc, "load", None)
    status, _, err = run(convert, "--src", "a.wav", "--speaker", "p225", "--out", "locked/b.wav")
    assert status == 2 and "locked is not writable" in err


@pytest.mark.parametrize("length", [240, 251, 255])
def test_row_73_a_name_of_every_length_that_the_disk_takes(run, here, length):
    """The temporary name beside it is not longer."""
    name = "x" * (length - 4) + ".wav"
    try:
        (here / name).touch()
    except OSError:
        pytest.skip("this file system takes no such name")
    (here / name).unlink()
    assert run(convert, "--src", "a.wav", "--speaker", "p225", "--out", name)[:2] == (0, f"{name}\n")


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.ESTALE]
)
@pytest.mark.parametrize("where", ["fsync_file", "replace"])
def test_row_73_any_error_of_the_disk_is_one_sentence_and_leaves_nothing(run, here, monkeypatch, number, where):
    def fails(*_):
        raise OSError(number, os.strerror(number), _[0])

    monkeypatch.setattr(*{"fsync_file": (system, "fsync_file"), "replace": (os, "replace")}[where], fails)
    status, out, err = run(convert, "--src", "a.wav", "--speaker", "p225")
    assert status in (1, 2) and out == "" and visible(here) == ["a.wav"] and not list(here.glob(".partial*"))
    assert "a_p225.wav: " in err and (number not in (errno.ENOSPC, errno.EDQUOT) or "disk full, needs about" in err)


def test_row_73_a_full_disk_ends_a_batch_at_once(run, here, monkeypatch):
    (here / "in").mkdir()
    for name in ("b.wav", "c.wav", "d.wav"):
        os.link("a.wav", f"in/{name}")
    tried = []

    def full(source, target):
        tried.append(target)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    status, _, err = run(convert, "--src", "in", "--speaker", "p225")
    assert status == 1 and len(tried) == 1 and "disk full" in err


def test_row_73_every_kind_of_error_has_a_sentence_and_only_those():
    for number in errno.errorcode:
        error = explained(OSError(number, os.strerror(number), "a.wav"))
        assert isinstance(error, FileError) and isinstance(error, OSError) and error.errno == number
        assert str(error).startswith("a.wav: ") and "\n" not in str(error) and len(str(error)) > 12
    with pytest.raises(soundfile.LibsndfileError) as caught:
        soundfile.SoundFile(os.devnull)
    assert "output: " in str(explained(caught.value)) and explained(ValueError("a bug")) is None


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "Input/output error", "x.bin"), PermissionError(errno.EACCES, "no", "x.bin")]
)
def test_row_73_whatever_a_command_meets_becomes_a_status(capsys, error):
    def work(args):
        raise error

    assert run_command(lambda: parser("Fail."), work, []) in (1, 2)
    err = capsys.readouterr().err
    assert err.startswith("error: x.bin: ") and err.count("\n") == 1


@posix
def test_row_73_a_closed_or_full_stdout_is_no_traceback(here, model_file):
    words = f"--model '{model_file}' --src a.wav --speaker p225"
    code = "import sys; from vqvc.cli import convert; sys.exit(convert.main())"
    closed = subprocess.run(["sh", "-c", f"'{sys.executable}' -c '{code}' {words} >&-"], capture_output=True, text=True)
    assert closed.returncode == 0 and "Traceback" not in closed.stderr and sound.info("a_p225.wav").length_samples > 0
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-c", code, "--model", str(model_file), "--list-speakers"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "disk full" in done.stderr


# row 75: a batch that was stopped


@pytest.fixture
def batch(here) -> Path:
    (here / "in").mkdir()
    for n in range(4):
        sound.write(here / "in" / f"{n}.wav", np.roll(sound.read("a.wav").samples, 100 * n), 16000)
    return here / "in"


WORDS = ("--src", "in", "--speaker", "p225")


def kill_at(model_file, at: int, after: bool) -> None:
    """Run the batch in a process that ends, as by SIGKILL, at the ``at``-th rename: before it or after it."""
    code = f"""
import os, sys
from vqvc.cli import convert
replace, seen = os.replace, []
def ending(source, target):
    if str(target).endswith(".wav"):
        seen.append(target)
    if {after}:
        replace(source, target)
    if len(seen) == {at}:
        os._exit(137)
    if not {after}:
        replace(source, target)
os.replace = ending
sys.exit(convert.main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, "--model", str(model_file), *WORDS], capture_output=True, text=True
    )
    assert done.returncode == 137, done.stderr


@posix
@pytest.mark.parametrize(("at", "after"), [(1, False), (3, False), (3, True)])
def test_row_75_a_killed_batch_goes_on_and_ends_as_one_that_was_not(run, batch, model_file, at, after):
    assert run(convert, *WORDS, "--out", "whole")[0] == 0
    kill_at(model_file, at, after)
    done = at if after else at - 1
    out = batch.parent / "in_p225"
    assert len(visible(out)) == done and len(list(out.glob(".partial-*"))) == (0 if after else 1)
    stamps = {name: (out / name).stat().st_mtime_ns for name in visible(out)}
    status, printed, err = run(convert, *WORDS)
    assert (
        status == 0
        and len(printed.split()) == 4 - done
        and (not done or f"{done} of 4 recordings were converted before" in err)
    )
    assert not list(out.glob(".partial-*"))
    assert all((out / name).stat().st_mtime_ns == stamp for name, stamp in stamps.items())
    for name in ("0.wav", "1.wav", "2.wav", "3.wav"):
        assert (out / name).read_bytes() == (batch.parent / "whole" / name).read_bytes()


def test_row_75_only_what_this_command_made_of_this_source_is_skipped(run, batch):
    assert run(convert, *WORDS)[0] == 0
    out = batch.parent / "in_p225"
    status, printed, err = run(convert, *WORDS)
    assert (status, printed) == (0, "") and "4 of 4 recordings were converted before" in err
    for change in ("seed", "source", "output", "list"):
        if change == "source":
            kept = (batch / "2.wav").read_bytes()
            (batch / "2.wav").write_bytes((batch / "1.wav").read_bytes())
        if change == "output":
            kept = (out / "2.wav").read_bytes()
            (out / "2.wav").write_bytes(b"mine")
        if change == "list":
            kept = (out / LIST).read_bytes()
            (out / LIST).unlink()
        status, printed, err = run(convert, *WORDS, *(("--seed", "1") if change == "seed" else ()))
        assert status == 2 and printed == "" and "exists already" in err, change
        if change == "source":
            (batch / "2.wav").write_bytes(kept)
        if change == "output":
            assert (out / "2.wav").read_bytes() == b"mine"
            (out / "2.wav").write_bytes(kept)
        if change == "list":
            (out / LIST).write_bytes(kept)
    (out / "1.wav").unlink()
    assert run(convert, *WORDS)[:2] == (0, "in_p225/1.wav\n")
    assert run(convert, *WORDS, "--overwrite")[1].count("\n") == 4


def test_row_75_a_list_that_is_cut_or_foreign_is_no_traceback(run, batch):
    assert run(convert, *WORDS)[0] == 0
    path = batch.parent / "in_p225" / LIST
    data = path.read_bytes()
    lines = [json.loads(line) for line in data.splitlines() if line]
    assert {line["shown"] for line in lines} == {"0.wav", "1.wav", "2.wav", "3.wav"}
    path.write_bytes(data[:-30])  # its last line is cut
    assert run(convert, *WORDS)[0] == 2
    (batch.parent / "in_p225/3.wav").unlink()
    assert run(convert, *WORDS)[:2] == (0, "in_p225/3.wav\n")
    assert run(convert, *WORDS)[:2] == (0, "")
    path.write_bytes(b"\xff\xfe[1]\n{}\nnull\n" + b'{"name": 3}\n')
    assert run(convert, *WORDS)[0] == 2


def test_row_75_hidden_files_are_no_sources_and_unfinished_ones_of_the_living_stay(run, batch):
    for name in ("._0.wav", ".partial-1a2b-0.wav"):
        (batch / name).write_bytes((batch / "0.wav").read_bytes())
    assert run(convert, *WORDS)[0] == 0
    assert visible(batch.parent / "in_p225") == ["0.wav", "1.wav", "2.wav", "3.wav"]
    with atomic.atomic_path(batch / "x.wav") as partial:
        partial.write_text("being written")
        assert atomic.remove_stale_partials(batch) == 0 and partial.exists()
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    stale = batch / f"{atomic._mark(int(gone.stdout))}0123abcd-x.wav"
    stale.write_text("left behind")
    assert atomic.remove_stale_partials(batch) == (1 if os.name != "nt" else 0)
    assert (batch / ".partial-1a2b-0.wav").exists()  # whose process is not known


def test_row_75_what_a_kill_left_is_no_conversion_of_the_report(tmp_path):
    (tmp_path / "wavs/p225").mkdir(parents=True)
    for name in ("a.wav", ".partial-0-b.wav", "._a.wav", "p225/c.wav"):
        (tmp_path / "wavs" / name).write_bytes(b"sound")
    empty = RunFolder(**{field.name: None for field in fields(RunFolder)} | {"path": tmp_path})
    assert [path.name for path in empty.conversions()] == ["a.wav", "c.wav"]


@pytest.mark.parametrize("foreign", [("x.m4a",), ("x.webm", "y.amr")])
def test_row_56_what_cannot_be_read_is_named_with_its_remedy_and_status_3(run, batch, foreign):
    for name in foreign:
        (batch / name).write_bytes(b"no sound")
    status, printed, err = run(convert, *WORDS)
    assert (
        status == 3
        and printed.count("\n") == 4
        and f"{len(foreign)} of {4 + len(foreign)} recordings were not converted" in err
    )
    for name in foreign:
        assert f"ffmpeg -i in/{name} in/{name.split('.')[0]}.wav" in err
    for path in batch.glob("*.wav"):
        path.unlink()
    status, _, err = run(convert, *WORDS, "--out", "none")
    assert status == 1 and "holds no sound file that can be read" in err and "ffmpeg -i" in err


# row 85: names on terminals, and python -m


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
