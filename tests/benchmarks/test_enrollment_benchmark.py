"""benchmarks/enrollment.py judges each group of people as its docstring defines, with judges that know the answers."""

import json

import numpy as np
import pytest
import scripts
import soundfile
from tiny_voice import SPEAKERS, model_with_mel

from vqvc.conversion import model_file
from vqvc.errors import AudioError
from vqvc.evaluation.judges import recognisers, speaker_encoders

RATE = 16000


@pytest.fixture(scope="module")
def benchmark():
    return scripts.load("benchmarks/enrollment.py")


class Loudness:
    """Embeds recordings by what the test put into their first sample: 0, 1, 2, ... times 0.001."""

    recipe = "an encoder of a test"

    def __init__(self):
        self.conversions = 0

    def embed(self, recordings, sample_rate):
        return np.stack([np.eye(4)[round(1000 * abs(float(one[0]))) % 4] for one in recordings])


class Counting:
    """Understands four words in each recording, of which the last differs between recordings of other lengths."""

    name, checksum, recipe = "counting", "", "a recogniser of a test"

    def words(self, samples, sample_rate):
        return f"one two three {len(samples)}"

    def normalise(self, text):
        return text


def test_a_mean_with_weights_lies_in_its_interval_and_is_that_of_the_parts(benchmark):
    values, weights = np.array([10.0, 30.0, 20.0]), np.array([1.0, 1.0, 2.0])
    mean, (low, high) = benchmark.mean_with_interval(values, weights, seed=0)
    assert mean == 20 and 10 <= low < mean < high <= 30
    assert benchmark.mean_with_interval(np.full(5, 3.0), np.arange(1.0, 6), seed=1) == (3.0, [3.0, 3.0])


def test_words_that_differ_are_counted_against_what_is_understood_in_the_source(benchmark, monkeypatch):
    pytest.importorskip("jiwer")
    monkeypatch.setattr(recognisers, "make_recogniser", lambda spec: Counting())
    sources = [np.zeros(3), np.zeros(5)]
    words = benchmark.Words("counting", sources, RATE)
    converted = [np.zeros(3), np.zeros(6), np.zeros(5)]
    counts = words.differing(benchmark.Conversions(converted, np.zeros(3, int), np.array([0, 1, 1])))
    assert counts.tolist() == [[0, 4], [1, 4], [0, 4]]
    found = words.figures(counts, np.array([[1, 4], [1, 4], [0, 4]]), seed=0)
    assert found["words"] == 12 and found["differ_percent"] == pytest.approx(100 / 12)
    assert found["over_nearest"] == pytest.approx(-100 / 12)


def test_figures_of_a_group_are_those_of_its_people_and_names_are_among_all(benchmark, monkeypatch):
    monkeypatch.setattr(speaker_encoders, "make_speaker_encoder", lambda spec: Loudness())

    def sounding(n: int) -> np.ndarray:
        return np.full(4, n / 1000)

    judge = benchmark.Judge("loudness", [[sounding(n)] * 2 for n in range(3)], [sounding(3)], RATE)
    samples = [sounding(n) for n in (0, 0, 1, 2, 2, 3)]
    converted = benchmark.Conversions(samples, np.array([0, 0, 1, 1, 2, 2]), np.zeros(6, int))
    found = judge.figures(converted, {"all": [0, 1, 2], "first": [0], "others": [1, 2]}, seed=0)
    assert found["first"]["similarity"] == 1 and found["first"]["named_percent"] == 100
    assert found["others"]["per_person"] == [0.5, 0.5] and found["others"]["named_percent"] == 50
    assert found["all"]["similarity"] == pytest.approx(4 / 6) and found["all"]["to_source"] == pytest.approx(1 / 6)
    assert judge.natural([1, 2]) == {"similarity": 1.0, "named_percent": 100.0}


def test_people_of_several_folders_are_enrolled_and_reported_by_folder(
    benchmark, monkeypatch, speechlike, tmp_path, capsys
):
    pytest.importorskip("jiwer")
    model = tmp_path / "model.safetensors"
    model_file.write(model, model_with_mel(), SPEAKERS, {"steps": 0})
    monkeypatch.setattr(speaker_encoders, "make_speaker_encoder", lambda spec: Loudness())
    monkeypatch.setattr(recognisers, "make_recogniser", lambda spec: Counting())
    for seed, person in enumerate(("a/ann", "b/bob")):
        (tmp_path / person).mkdir(parents=True)
        for n, seconds in enumerate((12.0, 1.0, 1.0)):
            soundfile.write(tmp_path / person / f"{n}.wav", speechlike(seconds, seed=seed), RATE)
    (tmp_path / "src").mkdir()
    soundfile.write(tmp_path / "src" / "s.wav", speechlike(0.4, seed=9), RATE)
    folders = [str(tmp_path / name) for name in "ab"]
    arguments = ["--model", model, "--people", *folders, "--src", tmp_path / "src", "--recogniser", "counting",
                 "--seconds", "12", "--sentences", "1", "--speaker-encoder", "x", "--json", tmp_path / "x.json"]  # fmt: skip
    args = benchmark.make_parser().parse_args([str(one) for one in arguments])
    benchmark.work(args)
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["people"] == ["ann", "bob"] and found["groups"] == {"all": [0, 1], folders[0]: [0], folders[1]: [1]}
    assert set(found["figures"]) == {"natural", "12 s", "nearest"}
    enrolled = found["figures"]["12 s"]
    assert enrolled["words"]["all"]["words"] == 8 and enrolled["words"][folders[0]]["words"] == 4
    assert enrolled["words"]["all"]["over_nearest"] == 0  # a conversion is as long as its source, whoever the target
    assert set(enrolled["f0_semitones"]) == set(found["groups"]) and 0 < enrolled["cpu_s"]
    printed = capsys.readouterr().out
    assert "all: 2 people, 1 sentences" in printed and f"{folders[1]}: 1 people" in printed
    (tmp_path / "b/bob/1.wav").unlink()
    with pytest.raises(AudioError, match="bob: holds fewer than two recordings after the first 12 s"):
        benchmark.work(args)
