"""benchmarks/lost_words.py: every row has its words, and the recording's own frames bring a reconstruction nearest to it."""

import importlib.util
import json
from pathlib import Path

import pytest
import soundfile
from tiny_voice import SPEAKERS, model_with_mel

from vqvc.conversion import model_file
from vqvc.corpus import kaldi_dir
from vqvc.corpus.source import Item
from vqvc.errors import UsageError

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "lost_words.py"
TEXT = "ask her to bring these things"


class Recogniser:
    """Understands all but the last word."""

    recipe = "a stand-in"

    def words(self, samples, sample_rate):
        return TEXT.rpartition(" ")[0]

    def normalise(self, text):
        return text


@pytest.fixture
def measured(monkeypatch, tmp_path, speechlike):
    """measured(speaker) -> the figures of two sentences."""
    spec = importlib.util.spec_from_file_location("lost_words", PATH)
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    monkeypatch.setattr("vqvc.evaluation.judges.recognisers.make_recogniser", lambda spec: Recogniser())
    model_file.write(tmp_path / "model.safetensors", model_with_mel(), SPEAKERS, {})

    def measured(speaker):
        items = []
        for number in range(2):
            items.append(Item(f"{speaker}_{number}", speaker, tmp_path / f"{number}.wav", TEXT))
            soundfile.write(items[-1].path, speechlike(0.4, seed=number), 16000)
        kaldi_dir.write(tmp_path / "data", items, {})
        arguments = ["--model", str(tmp_path / "model.safetensors"), "--data", str(tmp_path / "data")]
        benchmark.work(benchmark.make_parser().parse_args([*arguments, "--json", str(tmp_path / "x.json")]))
        return benchmark, json.loads((tmp_path / "x.json").read_text())

    return measured


def test_every_row_has_its_words(measured, capsys):
    benchmark, found = measured("p226")
    assert found["utt_ids"] and list(found["rows"]) == list(benchmark.ROWS)
    assert all((row["words"], row["wrong"]) == (12, 2) for row in found["rows"].values())
    log_mel = {name: row["log_mel"] for name, row in found["rows"].items()}
    assert log_mel["natural"] == 0 and log_mel["original's log-mel frames"] < log_mel["decoder"]
    assert "2 sentences; a stand-in" in capsys.readouterr().out


def test_speakers_that_the_model_does_not_know_are_left_out(measured):
    with pytest.raises(UsageError, match="no sentence of a speaker of the model"):
        measured("p999")
