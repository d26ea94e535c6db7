"""Options of the recipes: only declared names, values are text, what is missing is reported in one sentence."""

import subprocess

import pytest
from stub_recipe import ROOT, STAGES, declared_options, names, one_sentence, run


@pytest.mark.parametrize("script", ["egs/vctk/run.sh", "egs/mini/run.sh", "egs/vctk/local/download.sh"])
def test_help_lists_every_declared_option(script):
    done = run("--help", script=ROOT / script)
    assert done.returncode == 0 and done.stderr == ""
    declared = declared_options(script)
    assert declared
    for name in declared:
        assert f"  --{name} " in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
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
        (["--stage", "10"], "--stage: must be from -1 to 9, not 10"),
        (["--stage", "99999999999999999999"], "--stage: 99999999999999999999 is too large"),
        (["--stop-stage", "-2"], "--stop-stage: must be from -1 to 9, not -2"),
        (["--stage", "5", "--stop-stage", "4"], "--stop-stage: 4 comes before --stage 5"),
        (["--jobs", "0"], "--jobs: must be 1 or more, not 0"),
        (["--ngpu", "-1"], "--ngpu: must be 0 or more, not -1"),
        (["--overwrite=no"], "--overwrite: takes no value"),
        (["--tag", "../x"], "--tag: must be the name of a folder"),
        (["--tag", ""], "--tag: must be the name of a folder"),
        (
            ["--conf", "smal"],
            "--conf smal: no such model; there are mfcc paper phones-codes phones-context phones-masked phones-mfcc phones-units phones sampling small smoke",
        ),
        (["--conversions", "many"], "--conversions: write it as 4x4"),
        (["--x[$(touch x)]", "0"], "unknown option"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_nothing_is_run(tmp_path, options, message):
    assert message in one_sentence(run(*options, cwd=tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("where", ["root", "elsewhere"])
def test_without_the_corpus_it_prints_how_to_get_it(tmp_path, where):
    done = run("--stage", 0, "--work", tmp_path / "work", cwd=ROOT if where == "root" else tmp_path)
    line = one_sentence(done)
    assert "--db-root DIR" in line and "bash egs/vctk/run.sh --stage -1" in line
    done = run("--stage=0", "--db-root", "no such folder", "--work", tmp_path / "work", cwd=tmp_path)
    assert f"{tmp_path}/no such folder" in one_sentence(done)


def test_stage_0_alone_finds_the_newest_corpus_in_downloads(recipe, tmp_path):
    downloads = tmp_path / "work/downloads"
    for name in (
        "VCTK-Corpus/wav48",
        "VCTK-Corpus-0.92/wav48_silence_trimmed",
        "VCTK-Corpus-0.93.partial/wav48",
        "VCTK-Corpus-1",
    ):
        (downloads / name).mkdir(parents=True)
    done, calls = recipe("--stage", 0, "--stop-stage", 0, "--db-root", "")
    assert done.returncode == 0, done.stderr
    assert calls[0][1:3] == ["--source", f"{downloads}/VCTK-Corpus-0.92"]
    assert f"corpus: {downloads}/VCTK-Corpus-0.92" in done.stderr


def test_all_stages_run_once_and_are_skipped_until_an_input_changes(recipe, tmp_path):
    done, calls = recipe()
    assert done.returncode == 0, done.stderr
    assert names(calls) == STAGES
    assert done.stdout == f"summary of {tmp_path}/work/exp/small\n"
    for call in calls:
        assert " ".join(call).partition(" --command ")[0] in done.stderr  # each command is printed as it is run
    made_by = calls[-1][calls[-1].index("--command") + 1]
    assert made_by == f"bash egs/vctk/run.sh --db-root {tmp_path}/corpus --work {tmp_path}/work"

    done, calls = recipe()
    assert done.returncode == 0 and calls == [] and done.stderr.count("up to date") == len(STAGES)
    assert recipe("--jobs", 7)[1] == []  # how many work on it changes nothing

    done, calls = recipe(
        "--max-minutes", 3
    )  # other words: this stage again, later ones only where their inputs changed
    assert names(calls) == ["train", "report"] and calls[0][-2:] == ["--max-minutes", "3"]

    (tmp_path / "work/dump/store.json").write_text("2")
    assert names(recipe("--max-minutes", 3)[1]) == ["align", "train", "encode", "evaluate"]
    (tmp_path / "work/exp/small/codes.npz").unlink()
    assert names(recipe("--max-minutes", 3)[1]) == ["encode"]
    assert names(recipe("--max-minutes", 3, "--overwrite")[1]) == STAGES


def test_stage_and_stop_stage_bound_what_runs(recipe):
    assert names(recipe("--stage", 0, "--stop-stage", 2)[1]) == STAGES[:3]
    assert names(recipe("--stage", 3, "--stop-stage", 3)[1]) == ["train"]
    done, calls = recipe("--stage", 9)  # beyond the last stage that runs by default: that one alone
    assert calls == [] and "codes.npz is missing" in one_sentence(done)
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
    assert done.returncode == 143 and names(calls) == STAGES[:3]
    done, calls = recipe()
    assert done.returncode == 0 and names(calls) == STAGES[2:]


def test_some_failed_items_are_passed_on_at_the_end_also_when_skipped(recipe):
    recipe("--stop-stage", 4)
    recipe("--stage", 5, "--stop-stage", 5)
    done, calls = recipe("--overwrite", "--stage", 5, fails="vqvc-convert", status=3)
    assert done.returncode == 3 and names(calls) == STAGES[5:]
    done, calls = recipe()
    assert done.returncode == 3 and calls == []


def test_a_change_in_the_base_of_a_configuration_trains_again(recipe, tmp_path):
    (tmp_path / "first.yaml").write_text("base: smoke\ntraining:\n  seed: 1\n")
    (tmp_path / "my.yaml").write_text("base: first.yaml\n")
    recipe("--conf", "my.yaml")
    (tmp_path / "first.yaml").write_text("# another comment\nbase: smoke\ntraining:\n  seed: 1\n")
    done, calls = recipe("--conf", "my.yaml")
    assert done.returncode == 0 and calls == []
    (tmp_path / "first.yaml").write_text("base: smoke\ntraining:\n  seed: 2\n")
    done, calls = recipe("--conf", "my.yaml")
    assert done.returncode == 0 and names(calls)[0] == "train", done.stderr


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


def test_copies_of_the_store_are_made_where_they_are_asked_for(recipe):
    pack = recipe("--stop-stage", 1)[1][1]
    assert "--perturb" not in pack and "--converted" not in pack
    again = recipe("--stop-stage", 1, "--perturb", 4, "--converted", 1)[1]
    assert names(again) == ["pack"] and "--perturb 4 --converted 1" in " ".join(again[0])


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
