"""Options of the recipes: only declared names, values are text, what is missing is said in one sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = ROOT / "egs/vctk/run.sh"


def run(*options, cwd=ROOT, script=RUN, **environment):
    return subprocess.run(
        ["bash", os.fspath(script), *map(str, options)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | environment,
        check=False,
    )


def one_sentence(done):
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line


@pytest.mark.parametrize("script", ["egs/vctk/run.sh", "egs/mini/run.sh", "egs/vctk/local/download.sh"])
def test_help_lists_every_declared_option(script):
    done = run("--help", script=ROOT / script)
    assert done.returncode == 0 and done.stderr == ""
    declared = [line.split()[1] for line in (ROOT / script).read_text().splitlines() if line.startswith("option ")]
    assert declared
    for name in declared:
        assert f"  --{name} " in done.stdout


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--stgae", "0"], "--stgae: unknown option; --help lists them"),
        (["--stop_stage", "0"], "--stop_stage: unknown option; did you mean --stop-stage?"),
        (["--dbroot", "x"], "--dbroot: unknown option; did you mean --db-root?"),
        (["stage", "0"], "'stage': options are written --name value"),
        (["--"], "'--': options are written --name value"),
        (["--stage"], "--stage: needs a value"),
        (["--stage", "first"], "--stage: must be a whole number, not 'first'"),
        (["--stage", "a[$(touch x)]"], "--stage: must be a whole number"),
        (["--max-minutes", "1e3"], "--max-minutes: must be a number"),
        (["--overwrite=no"], "--overwrite: takes no value"),
        (["--tag", "../x"], "--tag: must be the name of a folder"),
        (["--tag", ""], "--tag: must be the name of a folder"),
        (["--conf", "smal"], "--conf smal: no such model; there are mfcc paper phones-mfcc phones-units phones sampling small smoke"),
        (["--conversions", "many"], "--conversions: write it as 4x4"),
        (["--x[$(touch x)]", "0"], "unknown option"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_nothing_is_run(tmp_path, options, says):
    assert says in one_sentence(run(*options, cwd=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["root", "elsewhere"])
def test_without_the_corpus_it_says_how_to_get_it(tmp_path, where):
    done = run("--stage", 0, "--work", tmp_path / "work", cwd=ROOT if where == "root" else tmp_path)
    assert "bash egs/vctk/run.sh --stage -1" in one_sentence(done)
    done = run("--stage=0", "--db-root", "no such folder", "--work", tmp_path / "work", cwd=tmp_path)
    assert f"{tmp_path}/no such folder" in one_sentence(done)


# --- with commands that only write down how they were called ---

STUB = """#!/usr/bin/env python3
import json, os, sys
args = sys.argv[1:]
with open(os.environ["STUB_LOG"], "a") as log:
    log.write(json.dumps([os.path.basename(sys.argv[0]), *args]) + "\\n")
if os.environ.get("STUB_FAILS") == os.path.basename(sys.argv[0]):
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
    for name in (
        "prepare",
        "pack",
        "align",
        "train",
        "encode",
        "convert",
        "probe",
        "evaluate",
        "report",
        "prior",
        "sample",
        "synth-corpus",
    ):
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

    def call(*options, cwd=tmp_path, fails="", status=1):
        log.unlink(missing_ok=True)
        done = run(
            "--db-root", tmp_path / "corpus", "--work", tmp_path / "work", *options,
            cwd=cwd, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}", STUB_LOG=os.fspath(log), STUB_FAILS=fails, STUB_STATUS=str(status),
        )  # fmt: skip
        calls = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return done, calls

    return call


ALL = ["prepare", "pack", "align", "train", "encode", "convert", "probe", "evaluate", "report"]


def names(calls):
    return [call[0].removeprefix("vqvc-") for call in calls]


def test_all_stages_run_once_and_are_skipped_until_an_input_changes(recipe, tmp_path):
    done, calls = recipe()
    assert done.returncode == 0, done.stderr
    assert names(calls) == ALL
    assert done.stdout == f"summary of {tmp_path}/work/exp/small\n"
    for call in calls:
        assert " ".join(call).partition(" --command ")[0] in done.stderr  # each command is printed as it is run
    made_by = calls[-1][calls[-1].index("--command") + 1]
    assert made_by == f"bash egs/vctk/run.sh --db-root {tmp_path}/corpus --work {tmp_path}/work"

    done, calls = recipe()
    assert done.returncode == 0 and calls == [] and done.stderr.count("up to date") == len(ALL)
    assert recipe("--jobs", 7)[1] == []  # how many work on it changes nothing

    done, calls = recipe(
        "--max-minutes", 3
    )  # other words: this stage again, later ones only where their inputs changed
    assert names(calls) == ["train", "report"] and calls[0][-2:] == ["--max-minutes", "3"]

    (tmp_path / "work/dump/store.json").write_text("2")
    assert names(recipe("--max-minutes", 3)[1]) == ["align", "train", "encode", "evaluate"]
    (tmp_path / "work/exp/small/codes.npz").unlink()
    assert names(recipe("--max-minutes", 3)[1]) == ["encode"]
    assert names(recipe("--max-minutes", 3, "--overwrite")[1]) == ALL


def test_stage_and_stop_stage_bound_what_runs(recipe):
    assert names(recipe("--stage", 0, "--stop-stage", 2)[1]) == ALL[:3]
    assert names(recipe("--stage", 3, "--stop-stage", 3)[1]) == ["train"]
    done, calls = recipe("--stage", 6)
    assert calls == [] and "codes.npz is missing; run the stage that writes it first" in one_sentence(done)


def test_the_prior_is_learned_scored_and_sampled_only_when_asked_for(recipe, tmp_path):
    recipe()
    done, calls = recipe("--stop-stage", 9, "--prior-minutes", 2)
    assert done.returncode == 0, done.stderr
    assert names(calls) == ["report", "prior", "prior", "convert", "sample"]
    assert calls[1][-2:] == ["--max-minutes", "2"] and "--score" in calls[2]
    assert calls[4][calls[4].index("--speaker") + 1] == "f1"
    assert names(recipe("--stage", 9, "--stop-stage", 9, "--prior-minutes", 2)[1]) == [
        "convert"
    ]  # only asks for a voice


def test_a_failure_keeps_its_status_and_the_next_run_goes_on_there(recipe):
    done, calls = recipe(fails="vqvc-align", status=143)
    assert done.returncode == 143 and names(calls) == ALL[:3]
    done, calls = recipe()
    assert done.returncode == 0 and names(calls) == ALL[2:]


def test_some_failed_items_are_passed_on_at_the_end_also_when_skipped(recipe):
    recipe("--stop-stage", 4)
    recipe("--stage", 5, "--stop-stage", 5)
    done, calls = recipe("--overwrite", "--stage", 5, fails="vqvc-convert", status=3)
    assert done.returncode == 3 and names(calls) == ALL[5:]
    done, calls = recipe()
    assert done.returncode == 3 and calls == []


@pytest.mark.parametrize("tag", ["$(touch x)", "`touch x`", "a; touch x", "a b", "a'\"$HOME"])
def test_a_tag_is_text(recipe, tmp_path, tag):
    done, calls = recipe("--tag", tag)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work/exp" / tag / "report.html").is_file()
    assert calls[3][calls[3].index("--out") + 1] == f"{tmp_path}/work/exp/{tag}"
    assert not list(tmp_path.rglob("x")) and not (ROOT / "x").exists()


def test_sources_settings_and_configuration_reach_their_commands(recipe, tmp_path):
    (tmp_path / "my.yaml").write_bytes((ROOT / "recipes/conf/smoke.yaml").read_bytes())
    for name in ("one", "two", "a three"):
        (tmp_path / name).mkdir()
    options = [
        "--extra-source",
        "one,two",
        "--extra-source",
        "a three",
        "--conf",
        "my.yaml",
        "--set",
        "decoder.layers=3",
    ]
    done, calls = recipe(*options, "--set", "training.seed=2", "--textgrids", "one", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    prepare, align, train = calls[0], calls[2], calls[3]
    sources = [prepare[at + 1] for at, word in enumerate(prepare) if word == "--source"]
    assert sources == [f"{tmp_path}/{name}" for name in ("corpus", "one", "two", "a three")]
    assert align[align.index("--textgrids") + 1] == f"{tmp_path}/one"
    assert train[train.index("--conf") + 1] == f"{tmp_path}/my.yaml"
    assert train[-4:] == ["--set", "decoder.layers=3", "--set", "training.seed=2"]
    assert (tmp_path / "work/exp/my/model.safetensors").exists()


def test_pairs_are_the_same_every_time_and_survive_blanks_in_paths(recipe, tmp_path):
    recipe("--stop-stage", 5)
    pairs = (tmp_path / "work/exp/small/pairs.tsv").read_text()
    assert pairs == f"/corpus/a b/f1_1.wav\tm1\t{tmp_path}/work/exp/small/wavs/f1_1-as-m1.wav\n"
    recipe("--stop-stage", 5, "--overwrite")
    assert (tmp_path / "work/exp/small/pairs.tsv").read_text() == pairs


def test_several_gpus_start_several_workers(recipe):
    done, calls = recipe("--stop-stage", 2)
    script = f". {ROOT}/egs/vctk/cmd.sh; for n in 0 1 2; do train_command $n; echo ${{launcher[*]}}; done"
    out = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert out[:2] == ["vqvc-train --device cpu", "vqvc-train"]
    assert "--nproc-per-node 2" in out[2] and out[2].endswith("vqvc.cli.train")
