"""vqvc-pack --converted: which models it takes, before it works, and whose conversions it keeps."""

import pytest
from tiny_voice import SPEAKERS, model_with_mel

from vqvc.cli import pack, prepare
from vqvc.conversion import code_encoder_file, model_file
from vqvc.corpus import converted_copies
from vqvc.corpus.store import PackedStore


@pytest.fixture
def packing(vctk_layout, tmp_path):
    """Runs vqvc-pack on a small corpus; the store is ``dump``."""
    source = vctk_layout("0.92", {"p225": 2, "p226": 2})
    assert prepare.main(["--source", str(source), "--out", str(tmp_path / "data")]) == 0
    return lambda *more: pack.main(["--data", str(tmp_path / "data"), "--out", str(tmp_path / "dump"), *map(str, more)])


def _model(path, seed=0, **training):
    model_file.write(path, model_with_mel(seed), SPEAKERS, training)
    return path


@pytest.mark.parametrize("wrong", ["missing", "code encoder", "no decoder", "rate"])
def test_a_model_that_cannot_convert_the_store_is_refused_before_anything_is_packed(packing, tmp_path, capsys, wrong):
    model, rate = tmp_path / "m.safetensors", 8000 if wrong == "rate" else 16000
    if wrong == "code encoder":
        code_encoder_file.write(model, model_with_mel(), {})
    elif wrong != "missing":
        _model(model, settings={"decoder_weight": 0 if wrong == "no decoder" else 1})
    status = packing("--converted", 1, "--model", model, "--sample-rate", rate)
    sentence = {
        "missing": "train a model with vqvc-train or give --model",
        "code encoder": "a code encoder",
        "no decoder": "without a decoder",
        "rate": "converts at 16000 Hz, the store is to have 8000 Hz",
    }[wrong]
    assert (
        status == (2 if wrong == "rate" else 1)
        and sentence in (error := capsys.readouterr().err)
        and "m.safetensors" in error
    )
    assert not (tmp_path / "dump").exists()


def test_a_model_without_conversions_is_refused_before_anything_is_packed(packing, tmp_path, capsys):
    assert packing("--model", _model(tmp_path / "m.safetensors")) == 2
    assert "is for --converted; give --converted 1 too" in capsys.readouterr().err
    assert not (tmp_path / "dump").exists()


def test_both_kinds_of_copies_are_made_once(packing, tmp_path, capsys):
    options = "--perturb", 2, "--converted", 1, "--model", _model(tmp_path / "m.safetensors"), "--jobs", 1
    assert packing() == 0
    assert packing(*options) == 0
    assert "nothing to do" not in (error := capsys.readouterr().err) and "perturbed copy 1 of 2" in error
    copies = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "dump").glob("*-*.s16")}
    assert set(copies) == {"perturbed-1.s16", "perturbed-2.s16", "converted-1.s16"}
    assert packing(*options) == 0
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "dump").glob("*-*.s16")} == copies


def test_conversions_by_another_model_are_replaced_when_that_is_asked_for(packing, tmp_path, capsys):
    first, second = (_model(tmp_path / f"{seed}.safetensors", seed) for seed in (0, 1))
    assert packing("--converted", 2, "--model", first) == 0
    before = PackedStore(tmp_path / "dump").copies_sha256
    assert packing("--converted", 1, "--model", second) == 2
    error = capsys.readouterr().err
    assert "by another model" in error and "--overwrite" in error
    assert PackedStore(tmp_path / "dump").copies_sha256 == before
    assert packing("--converted", 1, "--model", second, "--overwrite") == 0
    after = PackedStore(tmp_path / "dump")
    assert list(after.copies_sha256) == ["converted-1.s16"] and after.copies_sha256["converted-1.s16"] not in before
    assert not (tmp_path / "dump/converted-2.s16").exists()
    after.verify()


def test_an_interrupted_replacement_leaves_no_copy_that_its_table_does_not_describe(packing, tmp_path, monkeypatch):
    first, second = (_model(tmp_path / f"{seed}.safetensors", seed) for seed in (0, 1))
    assert packing("--converted", 1, "--model", first) == 0

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(converted_copies, "_at_level_of", interrupted)
    assert packing("--converted", 1, "--model", second, "--overwrite") == 130
    assert not PackedStore(tmp_path / "dump").copies and not list((tmp_path / "dump").glob("*converted*"))
