"""FAULTS rows 56 and 75: how a batch goes on that was stopped, and one with recordings that cannot be read."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from commands import visible

from vqvc._util import atomic
from vqvc.audio import io as sound
from vqvc.cli import convert
from vqvc.cli._finished import LIST
from vqvc.evaluation.run_folder import RunFolder

posix = pytest.mark.skipif(os.name == "nt", reason="of POSIX")


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
