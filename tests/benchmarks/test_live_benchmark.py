"""benchmarks/live.py measures what it says it does, of whatever model."""

import importlib.util
import json
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "benchmarks" / "live.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("live_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("options", [("--clock", "cpu", "--rate", "44100"), ("--realtime",)], ids=["cpu", "realtime"])
def test_the_figures_are_those_of_a_stream(benchmark, model_file, tmp_path, capsys, options):
    arguments = [
        "--model",
        str(model_file),
        "--seconds",
        "0.5",
        "--rounds",
        "1",
        "--json",
        str(tmp_path / "x.json"),
        *options,
    ]
    benchmark.work(benchmark.make_parser().parse_args(arguments))
    found = json.loads((tmp_path / "x.json").read_text())
    assert 0 < found["decoder_rtf"] and 0 < found["rtf"]
    assert 0 < found["median_ms"] <= found["p99_ms"] <= found["longest_ms"]
    assert sum(found["latency_parts_ms"].values()) == pytest.approx(found["latency_ms"], abs=0.1)
    assert (found["dropouts"] is None) == ("--realtime" not in options)
    printed = capsys.readouterr().out
    assert f"latency {found['latency_ms']:.1f} ms" in printed and ("dropouts" in printed) == ("--realtime" in options)
