"""FAULTS row 83: whatever stands in a file of ours, a command does its work or fails with one sentence; nothing is a traceback."""

import json
import os

import numpy as np
import pytest
from commands import npy, one_sentence

from vqvc._util import schema
from vqvc.cli import align, encode, pack, prepare, prior, report, synth_corpus, train
from vqvc.evaluation import run_folder
from vqvc.evaluation.run_folder import RunFolder

ODD = [
    None, True, -1, 0, 1e308, 10**400, "", "x", "\ud800", [], [None], [[1, 2], [3]], {}, {"value": None}, {"value": "x", "definition": 3}, {"left_out": 7},
    {"confusion": {"names": ["a"], "counts": [[1, 2]]}}, "../../../etc/passwd", "\0",
]  # fmt: skip


def places(value, path=()):
    """Every place of a JSON value, outermost first."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def changed(value, rng):
    """The value with one of its places replaced or removed."""
    found = list(places(value))
    path = found[int(rng.integers(len(found)))]
    odd = ODD[int(rng.integers(len(ODD)))]
    if not path:
        return odd
    result = json.loads(json.dumps(value))  # a deep copy would keep what is shared
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    if isinstance(inner, dict) and rng.random() < 0.3:
        del inner[path[-1]]
    else:
        inner[path[-1]] = odd
    return result


FIGURE = {"value": 41.5, "unit": "%", "interval_95": [40.0, 43.0], "definition": "what it is", "frames": 10}
KINDS = {"codes": FIGURE, "kmeans": FIGURE | {"value": None, "interval_95": [None, None]}, "codes_minus_kmeans": FIGURE}
PROBE = {
    "format_version": 1,
    "codes": {"file": "codes.npz", "rate_hz": 250.0},
    "figures": {
        "test": {"without_silence": KINDS, "with_silence": KINDS},
        "dev": {"without_silence": KINDS, "with_silence": {}},
    },
}
CLIP = {
    "kind": "source", "utt_id": "p1_001", "speaker": "p1", "voice": "p1", "seen_speaker": True, "text": "hello", "file": "wav/a.wav", "seconds": 1.5,
    "codes": [1, 2, 3], "hop_length": 64, "phones": [[0.0, 0.1, "aa"]], "heard": "yellow", "named": "p2",
}  # fmt: skip
ENCODER = ("named_target", "similarity_to_target", "similarity_to_source", "equal_error_against_natural")
EVALUATION = {
    "settings": {"limit": 1},
    "provenance": {"vqvc": "0"},
    "figures": {
        "content": {"source": {"word_error": FIGURE}, "conversion": {"word_error": FIGURE}},
        "speaker": {
            "conversion": {
                "named_target": FIGURE,
                "named_source": FIGURE,
                "confusion": {"names": ["a", "b"], "counts": [[1, 2], [3, 4]]},
            },
            "natural": {"named_rightly": FIGURE},
        },
        "prosody": {"conversion": {"pitch_correlation": FIGURE, "pitch_rmse": FIGURE}},
        "encoder": {
            "natural": {"similarity_to_target": FIGURE, "similarity_to_others": FIGURE | {"value": 30.0}},
            "conversion": dict.fromkeys(ENCODER, FIGURE),
        },
        "spectrum": {"left_out": "the package speechmos is not installed"},
        "codes": {
            "usage": {"perplexity": FIGURE},
            "abx": {"on": "dev", "codes": {"within": FIGURE}},
            "kmeans_speaker_probe": {"left_out": "no"},
        },
    },
    "clips": [CLIP, CLIP | {"kind": "conversion"}],
}
_BITS = {"prior": 3.5, "uniform": 9.0}
SCORE = {
    "sets": {
        "dev": {
            "what": "unseen", "seconds": 60.0, "bits_per_code": _BITS, "bits_per_second": _BITS, "saved_percent": _BITS,
            "files": {"plain_bits_per_second": 1.0, "coded_bits_per_second": 1.0, "coded_over_cross_entropy_percent": 0.1},
        }
    },
    "bound": {"bits_per_sample": _BITS, "decoder_bits_per_sample": 3.4},
}  # fmt: skip
LOG = [
    {"event": kind, "step": 10 * n, "minutes": float(n), "bits_per_sample": 4.0, "bits_shuffled_codes": 5.0, "usage": 0.9, "loss_bits": 4.0,
     "perplexity": 100.0, "bits_without_f0": 4.1}
    for n in range(1, 4) for kind in ("train", "valid", "epoch", "end")
]  # fmt: skip
FILES = {"probe/probe.json": PROBE, "eval/evaluate.json": EVALUATION, "prior/score.json": SCORE}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "exp"
    for name, value in FILES.items():
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(json.dumps(value))
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in LOG))
    return folder


def _report(folder) -> int:
    return report.main([str(folder), "--no-picture", "--overwrite", "--results", str(folder / "RESULTS.md")])


@pytest.mark.parametrize("name", FILES)
def test_row_83_three_hundred_replaced_values_are_reported_or_named(run, capsys, name):
    assert _report(run) == 0  # as it is
    capsys.readouterr()
    rng, refused = np.random.default_rng(0), 0
    for _ in range(300):
        value = changed(FILES[name], rng)
        (run / name).write_text(json.dumps(value))
        status = _report(run)
        refused += status != 0
        one_sentence(capsys, status, name)
    assert refused > 20


def test_row_83_odd_lines_of_a_log_are_left_out(run, capsys):
    rng = np.random.default_rng(1)
    for _ in range(20):
        lines = [json.dumps(changed(line, rng)) for line in LOG for _ in range(3)]
        (run / "log.jsonl").write_bytes("\n".join(lines).encode() + b'\n\xff\xfe{"event": "va\n[' + b"[" * 5000)
        status = _report(run)
        assert status == 0
        one_sentence(capsys, status, "log.jsonl")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe\x00",
        b"",
        b"[" * 100000,
        b'{"figures": NaN}',
        b'{"a": 1' + b"0" * 5000 + b"}",
        b"\xef\xbb\xbf{}",
        b"[]",
        b'"x"',
    ],
)
@pytest.mark.parametrize("name", FILES)
def test_row_83_bytes_that_are_no_json_are_named(run, capsys, name, data):
    (run / name).write_bytes(data)
    status = _report(run)
    assert status == 1 or data.startswith(b'{"a"')
    one_sentence(capsys, status, name)


def test_row_83_a_results_file_that_is_no_text_is_named_and_left_alone(run, capsys):
    (run / "RESULTS.md").write_bytes(b"# caf\xe9\n")
    assert _report(run) == 1
    one_sentence(capsys, 1, "RESULTS.md: is not UTF-8 text, and is left as it is")
    assert (run / "RESULTS.md").read_bytes() == b"# caf\xe9\n"


def test_row_83_crafted_counts_are_left_out_of_the_report(run):
    path = run / "probe" / "joint_counts.npy"
    good = npy(np.ones((8, 41), np.int64))
    path.write_bytes(good)
    assert RunFolder.read(run).joint_counts(41).shape == (8, 41)
    header = good.replace(b"(8, 41)", b"(8000000000000, 41)")
    bad = [b"", good[:50], good[:-1], header, npy(np.ones((8, 40), np.int64)), npy(np.full((8, 41), np.nan)), npy(np.full((8, 41), -1)),
           npy(np.array([[object()]], object)), npy(np.zeros((8, 41), np.int64)), b"PK\x03\x04", good.replace(b"'<i8'", b"(((((")]  # fmt: skip
    rng = np.random.default_rng(2)
    for _ in range(100):
        data = bytearray(good)
        for place in rng.integers(0, 128, 3):
            data[place] = rng.integers(256)
        bad.append(bytes(data))
    for data in bad:
        path.write_bytes(data)
        joint = RunFolder.read(run).joint_counts(41)
        assert joint is None or joint.shape[1] == 41


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (prepare, ["--source", ".", "--jobs", "0"]),
        (pack, ["--jobs", "100000"]),
        (align, ["--jobs", "0"]),
        (synth_corpus, ["--out", "out", "--jobs", "-1"]),
        (encode, ["a.wav", "--jobs", "-3"]),
        (encode, ["a.wav", "--jobs", "two"]),
        (prior, ["--codes", "c.npz", "--out", "out", "--threads", "-3"]),
        (prior, ["--codes", "c.npz", "--out", "out", "--threads", "0"]),
        (train, ["--conf", "a.yaml", "--store", "dump", "--out", "out", "--threads", "-3"]),
    ],
)
def test_row_83_impossible_numbers_of_threads_are_wrong_usage(command, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text("")
    try:
        status = command.main(words)
    except SystemExit as error:  # argparse's own way
        status = error.code
    assert status == 2 and "error: " in capsys.readouterr().err.splitlines()[-1]
    assert os.listdir(tmp_path) == ["a.yaml"]


def test_a_check_names_the_place():
    with pytest.raises(
        schema.Mismatch, match=r"figures\.dev\.without_silence\.codes\.value: should be a number, not 'x'"
    ):
        value = json.loads(json.dumps(PROBE))
        value["figures"]["dev"]["without_silence"]["codes"] = FIGURE | {"value": "x"}
        run_folder.PROBE(value, "")
