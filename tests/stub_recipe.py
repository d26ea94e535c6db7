"""Recipes called as a user calls them, with commands that only write down how they were called.

VQVC_TEST_SHELL names the bash to test with, for example a 3.2, which macOS has; otherwise it is that of PATH.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUN = ROOT / "egs/vctk/run.sh"
SHELL = os.environ.get("VQVC_TEST_SHELL", "bash")
STAGES = ["prepare", "pack", "align", "train", "encode", "convert", "probe", "evaluate", "report"]


def run(*options, cwd=ROOT, script=RUN, **environment):
    """The finished process of ``script`` with these options."""
    return subprocess.run(
        [SHELL, os.fspath(script), *map(str, options)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
        check=False,
    )


def declared_options(script):
    """The options of a recipe: its own, and those of ``run_options`` where it calls that."""
    text = (ROOT / script).read_text(encoding="utf-8")
    if re.search(r"(?m)^run_options ", text):
        text += (ROOT / "recipes/stages.sh").read_text(encoding="utf-8")
    return set(re.findall(r"(?m)^ *option ([\w-]+) ", text))


def names(calls):
    """Which commands were called, without their first syllable."""
    return [call[0].removeprefix("vqvc-") for call in calls]


def one_sentence(done):
    """The only line that a refused call prints."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


STUB = """#!/usr/bin/env python3
import json, os, sys
args = sys.argv[1:]
with open(os.environ["STUB_LOG"], "a") as log:
    log.write(json.dumps([os.path.basename(sys.argv[0]), *args]) + "\\n")
if os.environ.get("STUB_FAILS") == os.path.basename(sys.argv[0]):
    if os.environ["STUB_STATUS"] == "kill":
        os.kill(os.getppid() if "STUB_KILLS_PARENT" in os.environ else os.getpid(), 9)
    sys.exit(int(os.environ["STUB_STATUS"]))
def touch(path, text="1"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, "w").write(text)
out = args[args.index("--out") + 1] if "--out" in args else None
name = os.path.basename(sys.argv[0])
if name == "vqvc-prepare":
    for subset in ("train", "dev", "test"):
        touch(f"{out}/{subset}/wav.scp", "".join(f"{u} /corpus/a b/{u}.wav\\n" for u in ("f1_1", "f1_2", "m1_1")))
    touch(f"{out}/prepare.json")
if name == "vqvc-pack":
    touch(f"{out}/audio.s16"), touch(f"{out}/store.json")
    touch(f"{out}/speakers.tsv", "speaker\\tgender\\taccent\\nf1\\tf\\t\\nm1\\tm\\t\\n")
    rows = [("f1_1", "f1", "dev", 48000), ("f1_2", "f1", "train", 9000), ("m1_1", "m1", "train", 9000)]
    head = "utt_id\\tspeaker\\tsubset\\toffset_samples\\tlength_samples\\n"
    touch(f"{out}/utts.tsv", head + "".join(f"{u}\\t{s}\\t{k}\\t0\\t{n}\\n" for u, s, k, n in rows))
if name == "vqvc-align":
    touch(f"{out}/phones.ctm")
if name == "vqvc-train":
    touch(f"{out}/model.safetensors")
if name == "vqvc-encode":
    touch(out)
if "--list-speakers" in args:
    print("f1\\tf\\nm1\\tm")
elif name == "vqvc-convert":
    for line in open(args[args.index("--pairs") + 1]):
        touch(line.rstrip("\\n").split("\\t")[2])
if name == "vqvc-probe":
    touch(f"{out}/probe.json")
if name == "vqvc-evaluate":
    touch(f"{out}/evaluate.json")
if name == "vqvc-prior":
    touch(f"{out}/{'score.json' if '--score' in args else 'prior.safetensors'}")
if name in ("vqvc-report", "vqvc-sample"):
    touch(out)
"""


@pytest.fixture
def recipe(tmp_path):
    """Call with options; gives the finished process and the calls of commands that it made."""
    for name in "prepare pack align train encode convert probe evaluate report prior sample synth-corpus".split():
        path = tmp_path / "bin" / f"vqvc-{name}"
        path.parent.mkdir(exist_ok=True)
        path.write_text(STUB)
        path.chmod(0o755)
    python = tmp_path / "bin" / "python"  # the stubs make no model to sum up
    python.write_text(
        f'#!/bin/sh\n[ "$1" = recipes/summary.py ] && echo "summary of $2" || exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    (tmp_path / "corpus" / "wav48").mkdir(parents=True)
    log = tmp_path / "calls.jsonl"

    def call(*options, cwd=tmp_path, fails="", status=1, **environment):
        log.unlink(missing_ok=True)
        done = run(
            "--db-root", tmp_path / "corpus", "--work", tmp_path / "work", *options,
            cwd=cwd, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}", STUB_LOG=os.fspath(log), STUB_FAILS=fails, STUB_STATUS=str(status),
            **environment,
        )  # fmt: skip
        calls = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return done, calls

    return call
