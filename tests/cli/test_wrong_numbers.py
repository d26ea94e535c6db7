"""Options whose value or company is wrong: refused with status 2 before anything is read or written."""

import pytest

from vqvc.cli import align, convert, evaluate, prepare, prior, probe, report, sample


@pytest.fixture
def error(tmp_path, monkeypatch, capsys):
    """The last line of a command that is wrong usage; nothing is written."""
    monkeypatch.chdir(tmp_path)

    def run(command, *words):
        try:
            status = command.main([*words])
        except SystemExit as ended:  # argparse's own way
            status = ended.code
        assert status == 2 and not list(tmp_path.iterdir())
        return capsys.readouterr().err.splitlines()[-1]

    return run


@pytest.mark.parametrize("command", [convert, evaluate, prior, probe, sample])
@pytest.mark.parametrize("value", ["-1", "1.5", str(2**64), "x"])
def test_a_seed_is_a_whole_number_that_generators_take(error, command, value):
    assert "--seed" in (line := error(command, "--seed", value)) and "whole number from 0" in line


@pytest.mark.parametrize("words", [["--phone-set", "mfa"], ["--tier", "phones"]])
def test_options_of_textgrids_are_not_ignored_without_them(error, words):
    assert f"{words[0]}: is of --textgrids" in error(align, *words)


@pytest.mark.parametrize("verb", ["--validate", "--fix"])
def test_a_source_is_not_ignored_beside_another_verb(error, verb):
    assert "leave out --source" in error(prepare, "--source", "a", verb, "b")


def test_what_is_no_number_is_refused(error):
    assert "--worst-score nan" in error(align, "--worst-score", "nan")
    assert "--baseline-minutes nan" in error(probe, "--baseline-minutes", "nan")


def test_a_report_and_a_probe_replace_no_picture_of_the_users(tmp_path, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "codes.npz").write_text("")
    for command, name, words in (
        (report, "summary.png", ("--out", str(tmp_path / "r.html"))),
        (probe, "heatmap.png", ("--out", str(tmp_path), "--align", "phones.ctm")),
    ):
        (tmp_path / name).write_text("mine")
        assert command.main([str(tmp_path / "run"), *words]) == 2
        assert f"{name}: exists already" in capsys.readouterr().err
        assert (tmp_path / name).read_text() == "mine"
