"""FAULTS row 83: whatever stands in a file of ours, a command does its work or fails with one sentence; nothing is a traceback."""

import io
import json
import os
import shutil
import tarfile
import zipfile

import numpy as np
import pytest

from vqvc._util import archive, schema
from vqvc.cli import encode, prior, probe, report, train
from vqvc.corpus.codes import CodeArchive
from vqvc.errors import CorpusError, VqvcError
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


def _one_sentence(capsys, status: int, name: str) -> None:
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == (status != 0), errors
    assert not errors or (status in (1, 2) and name in errors[0]), errors


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
        _one_sentence(capsys, status, name)
    assert refused > 20


def test_row_83_odd_lines_of_a_log_are_left_out(run, capsys):
    rng = np.random.default_rng(1)
    for _ in range(20):
        lines = [json.dumps(changed(line, rng)) for line in LOG for _ in range(3)]
        (run / "log.jsonl").write_bytes("\n".join(lines).encode() + b'\n\xff\xfe{"event": "va\n[' + b"[" * 5000)
        status = _report(run)
        assert status == 0
        _one_sentence(capsys, status, "log.jsonl")


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
    _one_sentence(capsys, status, name)


def test_row_83_a_results_file_that_is_no_text_is_named_and_left_alone(run, capsys):
    (run / "RESULTS.md").write_bytes(b"# caf\xe9\n")
    assert _report(run) == 1
    _one_sentence(capsys, 1, "RESULTS.md: is not UTF-8 text, and is left as it is")
    assert (run / "RESULTS.md").read_bytes() == b"# caf\xe9\n"


def _npy(array, version=None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version, allow_pickle=True)
    return buffer.getvalue()


def test_row_83_crafted_counts_are_left_out_of_the_report(run):
    path = run / "probe" / "joint_counts.npy"
    good = _npy(np.ones((8, 41), np.int64))
    path.write_bytes(good)
    assert RunFolder.read(run).joint_counts(41).shape == (8, 41)
    header = good.replace(b"(8, 41)", b"(8000000000000, 41)")
    bad = [b"", good[:50], good[:-1], header, _npy(np.ones((8, 40), np.int64)), _npy(np.full((8, 41), np.nan)), _npy(np.full((8, 41), -1)),
           _npy(np.array([[object()]], object)), _npy(np.zeros((8, 41), np.int64)), b"PK\x03\x04", good.replace(b"'<i8'", b"(((((")]  # fmt: skip
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


# --- code archives


@pytest.fixture(scope="module")
def codes_bytes(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("codes") / "codes.npz"
    rows = [(f"p{n}_001", f"p{n}", "train", 6400, np.arange(10) % 4) for n in range(3)]
    CodeArchive.build(rows, hop_length=640, sample_rate=16000, codebook_size=4).save(path)
    return path.read_bytes()


def test_row_83_changed_bytes_of_a_code_archive_are_one_sentence(codes_bytes, tmp_path):
    rng, path, refused = np.random.default_rng(3), tmp_path / "codes.npz", 0
    for n in range(400):
        data = bytearray(codes_bytes if n % 4 else codes_bytes[: int(rng.integers(len(codes_bytes)))])
        for place in rng.integers(0, max(1, len(data)), int(rng.integers(1, 4))):
            if len(data):
                data[place] = rng.integers(256)
        path.write_bytes(bytes(data))
        try:
            CodeArchive.load(path)
        except CorpusError as error:
            refused += 1
            assert str(error).startswith(str(path)) and "\n" not in str(error)
    assert refused > 200


CRAFTED = {
    "codes": [
        np.array(["a"]),
        np.zeros((2, 2), np.int16),
        np.array([object()]),
        np.full(30, 9, np.int16),
        np.zeros(30),
    ],
    "offsets": [
        np.array([0, 20, 10, 30]),
        np.array([0.0, 10, 20, 30]),
        np.array([0, 10, 20, 31]),
        np.array([0, 10, 20, 30], np.uint64),
        np.array(3),
    ],
    "lengths_samples": [np.array(["x", "y", "z"]), np.array([1])],
    "utt_ids": [np.array([b"a", b"b", b"c"]), np.array(["a", "a", "b"]), np.array([1, 2, 3]), np.array("abc")],
    "hop_length": [np.array([1, 2]), np.array("x"), np.array(0), np.array(-5), np.array(float("nan")), np.array(None)],
    "sample_rate": [np.array(0), np.array(1e300)],
    "codebook_size": [np.array(1 << 40), np.array(3)],
}


@pytest.mark.parametrize(
    ("name", "number"), [(name, n) for name, arrays in CRAFTED.items() for n in range(len(arrays))]
)
def test_row_83_crafted_arrays_of_a_code_archive_are_one_sentence(codes_bytes, tmp_path, name, number):
    path = tmp_path / "codes.npz"
    with np.load(io.BytesIO(codes_bytes)) as file:
        arrays = {key: file[key] for key in file.files}
    np.savez(path, **arrays | {name: CRAFTED[name][number]})
    with pytest.raises(CorpusError, match=r"codes\.npz: .*; make it again with vqvc-encode$"):
        CodeArchive.load(path)
    arrays.pop(name)
    np.savez(path, **arrays)
    with pytest.raises(CorpusError, match="is not a readable code archive"):
        CodeArchive.load(path)


def test_row_83_what_is_no_code_archive_costs_nothing(codes_bytes, tmp_path):
    path = tmp_path / "codes.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:  # a bomb
        opened.writestr("codes.npy", bytes(300 << 20))
    with pytest.raises(CorpusError, match="is not a readable code archive"):
        CodeArchive.load(path)
    for data in (_npy(np.zeros(3)), b"text", b""):
        path.write_bytes(data)
        with pytest.raises(CorpusError, match="is not a readable code archive"):
            CodeArchive.load(path)
    with zipfile.ZipFile(path, "w") as opened:
        for name in (
            "codes",
            "offsets",
            "lengths_samples",
            "utt_ids",
            "speakers",
            "subsets",
            "hop_length",
            "sample_rate",
            "codebook_size",
            "model",
        ):
            opened.writestr(name, b"not an array")
    with pytest.raises(CorpusError, match="is not a readable code archive"):
        CodeArchive.load(path)


@pytest.mark.parametrize(
    "line",
    [
        b"p0_001 0.0 0.1 \xff\xfe\n",
        b"p0_001 0.0\n",
        b"p0_001 nan 0.1 aa\n",
        b"p0_001 0.0 0.1 qq\n",
        b"p0_001 0 1e999 aa\n",
    ],
)
def test_row_83_a_damaged_alignment_is_one_sentence(codes_bytes, tmp_path, capsys, line):
    (tmp_path / "codes.npz").write_bytes(codes_bytes)
    (tmp_path / "phones.ctm").write_bytes(line)
    given = ["--codes", tmp_path / "codes.npz", "--align", tmp_path / "phones.ctm", "--out", tmp_path / "out"]
    assert probe.main([str(word) for word in given]) == 1
    _one_sentence(capsys, 1, "phones.ctm")


# --- downloaded archives


def _archives(folder):
    rng = np.random.default_rng(4)
    members = {f"wav/{n}.wav": rng.bytes(3000) for n in range(3)}
    with zipfile.ZipFile(folder / "a.zip", "w", zipfile.ZIP_DEFLATED) as opened:
        for name, data in members.items():
            opened.writestr(name, data)
    for mode in ("gz", "bz2", "xz"):
        with tarfile.open(folder / f"a.tar.{mode}", f"w:{mode}") as opened:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                opened.addfile(info, io.BytesIO(data))
    return [path.name for path in sorted(folder.iterdir())]


def test_row_83_damaged_archives_are_one_sentence_and_write_nothing_outside(tmp_path):
    rng = np.random.default_rng(5)
    (tmp_path / "good").mkdir()
    for name in _archives(tmp_path / "good"):
        whole, refused = (tmp_path / "good" / name).read_bytes(), 0
        for n in range(60):
            data = bytearray(whole if n % 3 else whole[: int(rng.integers(len(whole)))])
            for place in rng.integers(0, max(1, len(data)), 3):
                if len(data):
                    data[place] = rng.integers(256)
            path = tmp_path / name
            path.write_bytes(bytes(data))
            try:
                archive.unpack(path, tmp_path / "out")
            except VqvcError as error:
                refused += 1
                assert name in str(error) and "\n" not in str(error)
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
            assert set(os.listdir(tmp_path)) == {"good", name}
            path.unlink()
        assert refused > 20, name


# --- words


@pytest.mark.parametrize(
    ("command", "words"),
    [
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
