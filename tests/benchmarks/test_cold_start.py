"""benchmarks/cold_start.py counts the words of every row that it names."""

import importlib.util
import json
from pathlib import Path

import pytest
import soundfile
from tiny_voice import SPEAKERS

from vqvc.corpus import kaldi_dir
from vqvc.corpus.source import Item

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "cold_start.py"
TARGET, TEXT = SPEAKERS[1].speaker, "ask her to bring these things"


class Recogniser:
    """Understands everything of what is loud, but for the last word."""

    recipe = "a stand-in"

    def words(self, samples, sample_rate):
        return TEXT.rpartition(" ")[0] if abs(samples).max() > 1e-3 else ""

    def normalise(self, text):
        return text


@pytest.fixture
def benchmark(monkeypatch):
    spec = importlib.util.spec_from_file_location("cold_start", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr("vqvc.evaluation.judges.recognisers.make_recogniser", lambda spec: Recogniser())
    return module


@pytest.fixture
def data(tmp_path, speechlike):
    """Two sentences each of two speakers, and one of the target."""
    items = []
    for number, utt_id in enumerate(["p300_001", "p300_002", "p301_001", "p301_002", f"{TARGET}_001"]):
        items.append(Item(utt_id, utt_id[:4], tmp_path / f"{utt_id}.wav", TEXT))
        soundfile.write(items[-1].path, speechlike(0.4, seed=number), 16000)
    kaldi_dir.write(tmp_path, items, {})
    return tmp_path


@pytest.fixture
def measured(benchmark, model_file, data):
    """measured(*options) -> the figures."""

    def measured(*options):
        arguments = ["--model", str(model_file), "--data", str(data), "--speakers", TARGET, "--lengths", "0.5", "2"]
        rest = ["--speaker-encoder", "none", "--json", str(data / "x.json"), *options]
        benchmark.work(benchmark.make_parser().parse_args([*arguments, *rest]))
        return json.loads((data / "x.json").read_text())

    return measured


def test_every_row_has_its_words(benchmark, measured, capsys):
    found = measured("--sentences", "3")
    assert len(found["utt_ids"]) == 3 and not any(utt_id.startswith(TARGET) for utt_id in found["utt_ids"])
    assert list(found["rows"]) == ["source", *benchmark.conversions(None, 0)]
    for one in found["rows"].values():
        assert (one["words"], one["wrong"]) == (18, 3)
    assert "stream, warm" in capsys.readouterr().out


def test_sentences_on_which_something_was_chosen_are_left_out(measured):
    whole, first, rest = (
        measured("--rows", "source", *options)["utt_ids"]
        for options in (("--sentences", "4"), ("--sentences", "1"), ("--skip", "1"))
    )
    assert len(whole) == 4 and first == whole[:1] and rest == whole[1:]
