"""The fewest words: a command without options does what it can, or message in one sentence what to type."""

import json
import shutil
import sys

import numpy as np
import pytest
import soundfile
from tiny_voice import SPEAKERS, tiny_model

from vqvc.cli import encode, evaluate, prior, probe, report
from vqvc.conversion import model_file
from vqvc.corpus.codes import CodeArchive
from vqvc.corpus.store import PackedStore
from vqvc.errors import UsageError
from vqvc.evaluation.run_paths import RunPaths


@pytest.fixture
def run(toy, tmp_path, monkeypatch):
    """work/exp/small with codes, work/dump and work/align as the recipes leave them; the current folder is above work."""
    folder = tmp_path / "work" / "exp" / "small"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("")
    shutil.copy(toy.codes, folder / "codes.npz")
    shutil.copytree(toy.store, tmp_path / "work" / "dump")
    (tmp_path / "work" / "align").mkdir()
    shutil.copy(toy.align, tmp_path / "work" / "align" / "phones.ctm")
    monkeypatch.chdir(tmp_path)
    return folder


def _error(capsys) -> str:
    lines = capsys.readouterr().err.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1, lines
    return errors[0]


def test_a_run_folder_is_enough_for_the_probe(run, capsys):
    assert probe.main(["work/exp/small", "--no-picture"]) == 0
    out = capsys.readouterr().out
    assert "k-means on MFCC" in out and "phone accuracy" in out and out.endswith("work/exp/small/probe/probe.json\n")
    assert json.loads((run / "probe" / "probe.json").read_text())["codes"]["file"] == "codes.npz"
    assert probe.main(["work/exp/small"]) == 2 and "--overwrite" in _error(capsys)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("exp/small/codes.npz", "work/exp/small/codes.npz: no such file; make it with: vqvc-encode work/exp/small"),
        (
            "align/phones.ctm",
            "work/align/phones.ctm: no such file; make it with: vqvc-align --store work/dump --out work/align",
        ),
        ("exp/small", "work/exp/small: no such folder; give the folder of a training run"),
    ],
)
def test_what_a_run_lacks_is_named_with_the_command_that_makes_it(run, capsys, missing, message):
    path = run.parent.parent / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert probe.main(["work/exp/small"]) == 2
    assert message in _error(capsys)


@pytest.mark.parametrize("command", [evaluate, prior, probe])
def test_a_folder_that_is_no_run_is_called_that_with_what_was_looked_for(tmp_path, capsys, command):
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "a.wav").write_bytes(b"RIFF")
    assert command.main([str(tmp_path / "music")]) == 2
    error = _error(capsys)
    assert (
        "music: is not the folder of a training run" in error and "codes.npz" in error and "vqvc-train --out" in error
    )


def test_a_run_beside_its_store_is_found_too(tmp_path, monkeypatch):
    (tmp_path / "my" / "exp").mkdir(parents=True)
    (tmp_path / "my" / "dump").mkdir()
    (tmp_path / "my" / "dump" / "store.json").write_text("{}")
    monkeypatch.chdir(tmp_path / "my" / "exp")
    for name in (".", "../exp", tmp_path / "my" / "exp"):
        assert RunPaths.find(name).store.resolve() == tmp_path / "my" / "dump"
    with pytest.raises(UsageError, match="vqvc-train"):
        RunPaths.find(".").require(RunPaths.find(".").model)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--codes", "a.npz"],
            "give the folder of a run, as in vqvc-probe egs/vctk/exp/small, or give --align and --out too",
        ),
        (["--store", "dump"], "--store: is for --codes and --align"),
        (["--model", "m.safetensors", "--codes", "a.npz"], "--model: is for the built-in voices"),
    ],
)
def test_half_of_the_long_form_names_the_other_half(capsys, words, message):
    assert probe.main(words) == 2
    assert message in _error(capsys)


@pytest.mark.slow
def test_the_probe_alone_synthesizes_a_corpus_and_prints_an_accuracy(tmp_path, monkeypatch, capsys):
    pytest.importorskip("espeakng_loader")
    from vqvc.evaluation import builtin_corpus

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builtin_corpus, "VOICES", 3)
    monkeypatch.setattr(builtin_corpus, "HELD_OUT_VOICES", 1)
    monkeypatch.setattr(builtin_corpus, "SENTENCES", 10)
    monkeypatch.setattr(builtin_corpus, "HELD_OUT_SENTENCES", 1)
    model_file.write("model.safetensors", tiny_model(), SPEAKERS, {})
    assert probe.main(["--model", "model.safetensors"]) == 0
    out = capsys.readouterr().out
    accuracy = out.splitlines()[-1]
    assert accuracy.startswith("phone accuracy (unseen speakers, unseen sentences): ") and accuracy.endswith(" %")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert probe.main(["--model", "model.safetensors", "--out", "out", "--no-picture"]) == 0
    result = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert {name: item["utterances"] for name, item in result["sets"].items()} == {"test": 2, "dev": 2}
    assert result["fitted_on"]["utterances"] == 18 and result["sets"]["test"]["speakers"] == 1


def test_the_probe_alone_without_espeak_names_the_extra_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    assert probe.main([]) == 1
    assert "pip install 'vqvc[synthetic]'" in _error(capsys)


@pytest.fixture
def recording(tmp_path, monkeypatch, speechlike):
    model_file.write(tmp_path / "model.safetensors", tiny_model(), SPEAKERS, {})
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", speechlike(0.4, 22050), 22050)
    monkeypatch.chdir(tmp_path)
    return "in/a.wav"


def test_encoding_writes_into_the_current_folder_and_prints_the_name(recording, tmp_path, capsys):
    assert encode.main(["--model", "model.safetensors", recording]) == 0
    assert capsys.readouterr().out.endswith("  a.vqc\n") and (tmp_path / "a.vqc").is_file()
    assert encode.main(["--model", "model.safetensors", recording]) == 2
    assert "a.vqc: exists already; give --overwrite" in _error(capsys)
    assert encode.main([]) == 2
    assert "vqvc-encode a.wav" in _error(capsys)
    assert encode.main(["in"]) == 2
    assert "in: is a folder, but no packed store and no run" in _error(capsys)


def test_a_store_that_the_model_was_not_trained_on_is_warned_of(run, capsys):
    store = PackedStore("work/dump")
    for trained_on, warned in ((store.sha256, False), (64 * "0", True), (None, False)):
        facts = {} if trained_on is None else {"store": trained_on}
        model_file.write(run / "model.safetensors", tiny_model(), SPEAKERS, facts)
        assert encode.main(["work/exp/small", "--overwrite"]) == 0
        assert ("was trained on another store than work/dump" in capsys.readouterr().err) == warned


def test_a_run_folder_is_enough_for_encoding(run, capsys):
    assert encode.main(["work/exp/small"]) == 2
    assert "model.safetensors: no such file; make it with: vqvc-train" in _error(capsys)
    model_file.write(run / "model.safetensors", tiny_model(), SPEAKERS, {})
    assert encode.main(["work/exp/small"]) == 2 and "codes.npz: exists already" in _error(capsys)
    before = CodeArchive.load(run / "codes.npz")
    assert encode.main(["work/exp/small", "--overwrite"]) == 0
    after = CodeArchive.load(run / "codes.npz")
    assert (
        np.array_equal(after.utt_ids, before.utt_ids)
        and after.model == model_file.read_header(run / "model.safetensors").checksum
    )
    assert (
        encode.main(["work/dump", "--model", "work/exp/small/model.safetensors"]) == 0
    )  # a store in a recording's place
    assert np.array_equal(CodeArchive.load("codes.npz").codes, after.codes)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (evaluate, "give the folder of a run, as in vqvc-evaluate egs/vctk/exp/small"),
        (report, "give the folder of a run, as in vqvc-report egs/vctk/exp/small"),
        (prior, "give the folder of a run, as in vqvc-prior egs/vctk/exp/small"),
    ],
)
def test_no_words_at_all_are_answered_with_what_to_type(command, message, capsys):
    assert command.main([]) == 2
    assert message in _error(capsys)


def test_a_run_folder_is_enough_for_the_report(run, capsys):
    (run / "log.jsonl").write_text('{"event": "valid", "step": 1, "minutes": 0.1, "bits_per_sample": 4.0}\n')
    assert report.main(["work/exp/small", "--no-picture"]) == 0
    assert capsys.readouterr().out == "work/exp/small/report.html\n"
    assert report.main(["work/exp/small"]) == 2 and "--overwrite" in _error(capsys)
    assert report.main(["work/exp/small", "--exp", "work/exp/small"]) == 2
    _error(capsys)


def test_a_run_folder_is_enough_for_evaluation_and_prior(run, capsys):
    assert evaluate.main(["work/exp/small"]) == 2
    assert "model.safetensors: no such file; make it with: vqvc-train" in _error(capsys)
    (run / "codes.npz").unlink()
    assert prior.main(["work/exp/small"]) == 2
    assert "codes.npz: no such file; make it with: vqvc-encode work/exp/small" in _error(capsys)
    assert prior.main(["work/exp/small", "--score"]) == 2
    _error(capsys)
