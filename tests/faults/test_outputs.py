"""FAULTS rows 52, 62 and 73: where the commands write, and what they refuse."""

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import child, visible

import vqvc.cli
from vqvc._util import platform as system
from vqvc.audio import io as sound
from vqvc.cli import convert, decode
from vqvc.cli._common import parser
from vqvc.cli._common import run as run_command
from vqvc.errors import FileError, explained

posix = pytest.mark.skipif(os.name == "nt", reason="of POSIX")
no_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")


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
    soundfile.write(sent := io.BytesIO(), samples, rate, format="FLAC", subtype="PCM_24")
    done = child([*words, "--out", "-"], input=sent.getvalue())
    assert done.returncode == 0 and b"stdin: FLAC PCM_24 read as float" in done.stderr and b"/stdin" not in done.stderr
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
def test_row_52_a_folder_without_rights_is_reported_before_the_work(run, here, monkeypatch):
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
    both = f"'{sys.executable}' -c '{code}' {words} --out b.wav >&- 2>&-"
    assert subprocess.run(["sh", "-c", both]).returncode == 0 and sound.info("b.wav").length_samples > 0
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-c", code, "--model", str(model_file), "--list-speakers"],
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
            )
        assert done.returncode == 1 and done.stderr.count("\n") == 1 and "disk full" in done.stderr
