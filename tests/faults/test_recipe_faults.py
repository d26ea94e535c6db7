"""FAULTS rows 26, 40, 80, 81 and 83 in the recipes: values are text, what was stopped is reported, nothing usable stops."""

import re
import subprocess

import pytest
from stub_recipe import ROOT, SHELL, STAGES, names, one_sentence, run

SHELL_FILES = sorted([*ROOT.glob("recipes/*.sh"), *ROOT.glob("egs/**/*.sh")])

# what bash 3.2 (macOS) does not know or what means something else there, and GNU options that BSD tools lack
NOT_IN_BASH_3_2 = {
    "associative array": r"(declare|local|typeset) -[a-zA-Z]*A",
    "reference": r"(declare|local|typeset) -[a-zA-Z]*n\b",
    "mapfile": r"\b(mapfile|readarray)\b",
    "case change": r"\$\{\w+(\^|,)",
    "quoting expansion": r"\$\{[^}]+@[A-Za-z]\}",
    "test of a variable": r"\[\[ (! )?-v ",
    "last element": r"\[-1\]",
    "both streams": r"&>>|\|&",
    "printf of a date": r"printf '?%\(",
    "EPOCHSECONDS": r"\bEPOCH",
    "group in a bare regular expression": r"=~ [^ ]*\(",
    "eval": r"(^|[;&|({`]) *eval ",
    "possibly empty list": r'(?<!\+)"\$\{(inputs|values|prepare_options|evaluate_options)\[@\]\}"(?!\})',
    "GNU find": r"find .*-printf",
    "GNU tools": r"\b(realpath|readlink -f|sed -i|date -d|stat -c)\b",
}


def code(path):
    """Lines of a shell file without those that are comments."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    return [(number, line) for number, line in lines if not line.lstrip().startswith("#")]


def test_row_80_bash_3_2_reads_every_shell_file():
    assert len(SHELL_FILES) >= 8
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {what}: {line.strip()}"
        for path in SHELL_FILES
        for number, line in code(path)
        for what, pattern in NOT_IN_BASH_3_2.items()
        if re.search(pattern, line)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("script", ["egs/vctk/run.sh", "egs/mini/run.sh", "egs/vctk/local/download.sh"])
@pytest.mark.parametrize(
    "name", ["--$(touch x)", "--`touch x`", "--a[$(touch x)]", "--stage;touch x", "--PATH", "--opt_stage", "--\033[2J"]
)
def test_row_80_an_option_name_is_never_run(tmp_path, script, name):
    for words in ([name, "x"], [f"{name}=x"]):
        line = one_sentence(run(*words, cwd=tmp_path, script=ROOT / script))
        assert "unknown option" in line and "\033" not in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("tag", ["$(touch x)", "`touch x`", "a; touch x", "a b", "a'\"$HOME", "a\\nb", "\u00e4"])
def test_row_26_a_tag_is_text(recipe, tmp_path, tag):
    done, calls = recipe("--tag", tag)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "work/exp" / tag / "report.html").is_file()
    assert calls[3][calls[3].index("--out") + 1] == f"{tmp_path}/work/exp/{tag}"
    assert not list(tmp_path.rglob("x")) and not (ROOT / "x").exists()


def test_row_83_stage_08_is_eight(recipe):
    recipe()
    assert names(recipe("--stage", "08", "--overwrite")[1]) == ["report"]
    assert names(recipe("--stage", "00", "--stop-stage", "-0", "--overwrite")[1]) == ["prepare"]


@pytest.mark.parametrize(
    ("stage", "afterwards"),
    [("prepare", "begins again"), ("pack", "continues what is unfinished"), ("train", "continues what is unfinished")],
)
@pytest.mark.parametrize("killed", ["the command", "the recipe"])
def test_row_40_a_stage_that_was_killed_reports_how_it_continues(recipe, stage, afterwards, killed):
    environment = {"STUB_KILLS_PARENT": "1"} if killed == "the recipe" else {}
    done, _ = recipe(fails=f"vqvc-{stage}", status="kill", **environment)
    assert done.returncode == (137 if killed == "the command" else -9)
    done, calls = recipe()
    assert done.returncode == 0 and names(calls) == STAGES[STAGES.index(stage) :]
    assert done.stderr.count("was stopped midway") == 1
    assert f"stage {stage}: was stopped midway; {afterwards}" in done.stderr
    assert "was stopped midway" not in recipe("--overwrite")[0].stderr


def test_row_40_other_settings_after_a_kill_are_reported(recipe):
    recipe(fails="vqvc-train", status="kill")
    assert "train: was stopped midway with other settings or inputs" in recipe("--max-minutes", 3)[0].stderr


def test_row_40_a_stage_that_another_run_is_at_work_on_is_left_alone(recipe, tmp_path):
    recipe(fails="vqvc-train", status="kill")
    (mark,) = tmp_path.rglob("train.started")
    other = subprocess.Popen([SHELL, "-c", "read line", "run.sh"], stdin=subprocess.PIPE)
    try:
        mark.write_text(f"{mark.read_text().split()[0]} {other.pid}\n")
        done, calls = recipe()
        assert done.returncode == 1 and not calls
        assert f"stage train: another run (process {other.pid}) is at work on it" in done.stderr
        assert "was stopped midway" not in done.stderr
    finally:
        other.communicate(b"\n")
    assert "train: was stopped midway" in recipe()[0].stderr


def test_row_40_a_stage_that_failed_by_itself_was_not_stopped(recipe):
    recipe(fails="vqvc-train", status=1)
    assert "was stopped midway" not in recipe()[0].stderr


def test_row_40_a_damaged_stamp_runs_the_stage_again(recipe, tmp_path):
    recipe()
    for text in ("", "x", "x a[$(touch${IFS}y)]"):
        (tmp_path / "work/.stamps/pack").write_text(text)
        done, calls = recipe()
        assert done.returncode == 0 and names(calls) == ["pack"], done.stderr
    assert not list(tmp_path.rglob("y")) and not (ROOT / "y").exists()


@pytest.mark.parametrize("status", [0, 3])
def test_row_81_the_recipe_stops_where_nothing_is_usable(recipe, tmp_path, status):
    done, calls = recipe(fails="vqvc-pack", status=status)
    assert done.returncode == 1 and names(calls) == ["prepare", "pack"]
    assert f"ended with status {status}, but nothing usable is in {tmp_path}/work/dump" in done.stderr


def test_row_81_the_recipe_continues_where_some_items_are_usable(recipe, tmp_path):
    recipe("--stop-stage", 1)
    done, calls = recipe("--overwrite", "--stage", 1, fails="vqvc-pack", status=3)
    assert done.returncode == 3 and names(calls) == STAGES[1:]
    assert "stage pack: some items failed and were listed; continuing with the others" in done.stderr


def without_decoder(tmp_path):
    """What vqvc-train leaves in the folder of a run whose decoder was not trained."""
    config = tmp_path / "work/exp/phones-codes/config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text("training:\n  decoder_weight: 0.0\n")


def test_row_81_stages_that_make_speech_are_left_out_without_a_decoder(recipe, tmp_path):
    without_decoder(tmp_path)
    done, calls = recipe("--conf", "phones-codes", "--stop-stage", 9)
    assert done.returncode == 0, done.stderr
    called = [call for call in calls if "--list-speakers" not in call]
    assert names(called) == ["prepare", "pack", "align", "train", "encode", "probe", "report", "prior", "prior"]
    for stage in ("convert", "evaluate", "sample"):
        assert f"stage {stage}: left out" in done.stderr


@pytest.mark.parametrize(("stage", "name"), [(5, "convert"), (7, "evaluate")])
def test_row_81_a_stage_that_makes_speech_alone_is_refused_without_a_decoder(recipe, tmp_path, stage, name):
    without_decoder(tmp_path)
    recipe("--conf", "phones-codes", "--stop-stage", 4)
    done, calls = recipe("--conf", "phones-codes", "--stage", stage, "--stop-stage", stage)
    assert not calls
    assert one_sentence(done).startswith(f"error: stage {name}: ") and "without a decoder" in done.stderr
