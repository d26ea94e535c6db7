"""vqvc-probe on a corpus with labels by hand: TIMIT as it is unpacked, and TextGrids beside recordings."""

import json

import numpy as np
import pytest
import soundfile
from tiny_voice import SPEAKERS, tiny_model

from vqvc.cli import probe
from vqvc.conversion import code_encoder_file, model_file
from vqvc.errors import CorpusError
from vqvc.evaluation import labelled_corpus

RATE = 16000


def _speech(rng, order) -> tuple[np.ndarray, list[tuple[int, int, str]]]:
    """Two seconds of two sounds by turns, between pauses, and the labels of TIMIT."""
    pieces, labels = [np.zeros(3200)], [(0, 3200, "h#")]
    for phone in order:
        t = np.arange(3200) / RATE
        pieces.append(0.3 * np.sin(2 * np.pi * 300 * t) if phone == "iy" else 0.1 * rng.standard_normal(3200))
        labels.append((labels[-1][1], labels[-1][1] + 3200, phone))
    labels.append((labels[-1][1], labels[-1][1] + 3200, "h#"))
    return np.concatenate([*pieces, np.zeros(3200)]) + 1e-3 * rng.standard_normal(3200 * (2 + len(order))), labels


def _timit(folder, upper=True, parts=True):
    """Four speakers for the map and two unseen ones; sa1 is read by all, the others are a speaker's own."""
    rng = np.random.default_rng(0)
    for number in range(6):
        part = ("TEST" if number > 3 else "TRAIN") if parts else "."
        home = folder / part / "DR1" / f"SPK{number}"
        home.mkdir(parents=True)
        for sentence in ("SA1", *(f"SX{number}{n}" for n in range(6))):
            sound, labels = _speech(rng, rng.permutation(["iy", "s"] * 4))
            name = sentence if upper else sentence.lower()
            soundfile.write(home / f"{name}.WAV", sound, RATE, format="NIST", subtype="PCM_16")
            lines = "".join(f"{start} {end} {phone}\n" for start, end, phone in labels)
            (home / f"{name}{'.PHN' if upper else '.phn'}").write_text(lines)


@pytest.fixture(scope="module")
def timit(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled") / "timit"
    _timit(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("encoder") / "units.safetensors"
    code_encoder_file.write(path, tiny_model(), {})
    return path


def test_timit_is_probed_with_one_command(timit, encoder, tmp_path):
    out = tmp_path / "probe"
    words = ["--labelled", str(timit), "--model", str(encoder), "--out", str(out), "--no-picture"]
    assert probe.main(words) == 0
    result = json.loads((out / "probe.json").read_text())
    assert set(result["figures"]) == {"dev", "test"} and result["codes"]["file"] == encoder.name
    assert result["sets"]["test"]["speakers"] == 2 and result["sets"]["test"]["utterances"] == 12  # sa1 is trained on
    assert result["fitted_on"]["speakers"] == 4
    for kinds in result["figures"].values():
        assert kinds["without_silence"]["kmeans"]["value"] > 90  # labels lie where the sounds are


def test_a_model_file_is_probed_too(timit, tmp_path):
    model_file.write(tmp_path / "model.safetensors", tiny_model(), SPEAKERS, {})
    words = ["--labelled", str(timit), "--model", str(tmp_path / "model.safetensors")]
    assert probe.main([*words, "--out", str(tmp_path / "probe"), "--no-picture"]) == 0


def test_without_train_and_test_names_decide(tmp_path):
    _timit(tmp_path, upper=False, parts=False)
    items = labelled_corpus.find(tmp_path)
    subset = labelled_corpus.subsets(items)
    speakers = {name: {i.speaker for i in items if subset[i.utt_id] == name} for name in ("train", "dev", "test")}
    assert speakers["test"] and speakers["dev"] <= speakers["train"] and not speakers["test"] & speakers["train"]
    trained = {i.sentence for i in items if subset[i.utt_id] == "train"}
    assert not trained & {i.sentence for i in items if subset[i.utt_id] in ("dev", "test")}


def test_what_cannot_be_read_is_left_out(timit, encoder, tmp_path, caplog):
    _timit(tmp_path / "timit")
    broken = next((tmp_path / "timit").rglob("*.PHN"))
    broken.write_text("these are no labels\n")
    corpus = labelled_corpus.encode(code_encoder_file.read(encoder), tmp_path / "timit")
    whole = labelled_corpus.encode(code_encoder_file.read(encoder), timit)
    assert len(corpus.archive) == len(whole.archive) - 1 and broken.name in caplog.text


def test_a_folder_without_labels_is_refused(tmp_path, encoder, capsys):
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    with pytest.raises(CorpusError, match="labels"):
        labelled_corpus.find(tmp_path)
    assert probe.main(["--labelled", str(tmp_path), "--model", str(encoder)]) == 1
    assert probe.main(["--labelled", str(tmp_path), "--codes", "codes.npz"]) == 2
    assert "without" in capsys.readouterr().err
