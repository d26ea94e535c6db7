"""vqvc-prepare and vqvc-pack together: same audio, same store, whatever the layout, the jobs, or a kill in between."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from vqvc.cli import pack, prepare
from vqvc.corpus import kaldi_dir
from vqvc.corpus.store import PackedStore

SPEAKERS = {f"p{225 + n}": 4 for n in range(8)}


def _prepare(source, out, *more):
    sources = [word for path in (source if isinstance(source, list) else [source]) for word in ("--source", str(path))]
    return prepare.main([*sources, "--out", str(out), *more])


def _pack(data, out, *more):
    return pack.main(["--data", str(data), "--out", str(out), *more])


def _made(source, base, *more):
    assert _prepare(source, base / "data") == 0 and _pack(base / "data", base / "dump", *more) == 0
    return PackedStore(base / "dump")


def _contents(directory):
    return {path.relative_to(directory): path.read_bytes() for path in sorted(directory.rglob("*")) if path.is_file()}


def test_layouts_and_jobs_make_the_same_audio(vctk_layout, tmp_path):
    stores = [
        _made(vctk_layout("0.80", SPEAKERS), tmp_path / "a", "--jobs", "1"),
        _made(vctk_layout("0.92", SPEAKERS), tmp_path / "b", "--jobs", "5"),
    ]
    assert stores[0].sha256 == stores[1].sha256 and stores[0].utterances == stores[1].utterances
    assert stores[0].speakers == stores[1].speakers and stores[0].speakers[0].gender == "f"
    for store in stores:
        store.verify()
        subsets = {subset: {u.speaker for u in store.subset(subset)} for subset in ("train", "dev", "test")}
        assert subsets["train"] and subsets["test"] and not subsets["test"] & (subsets["train"] | subsets["dev"])
        for utterance in store.utterances:
            assert np.sqrt(np.mean(store.waveform(utterance) ** 2)) == pytest.approx(0.06, rel=1e-3)


def test_real_speech_in_both_layouts_makes_the_same_audio(shared_speech, tmp_path):
    """A few utterances of the shared set, decoded once and laid out as WAV and as FLAC at 48 kHz."""
    packed = sorted(shared_speech.glob("vctk-mini/audio/p22[56]/*.opus"))[:6]
    assert packed
    for path in packed:
        samples, _ = soundfile.read(path, dtype="int16")
        for name in (
            f"old/wav48/{path.parent.name}/{path.stem}.wav",
            f"new/wav48_silence_trimmed/{path.parent.name}/{path.stem}_mic2.flac",
        ):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(tmp_path / name, np.repeat(samples, 3), 48000)
    stores = [_made(tmp_path / name, tmp_path / f"made-{name}") for name in ("old", "new")]
    assert stores[0].sha256 == stores[1].sha256
    assert (
        [u.utt_id for u in stores[0].utterances] == [u.utt_id for u in stores[1].utterances] == [p.stem for p in packed]
    )


def test_what_prepare_prints_is_what_it_wrote(vctk_layout, tmp_path, capsys):
    root = vctk_layout("0.92", {**SPEAKERS, "s5": 2}, {"p226_001_mic2", "p227_002.txt"})
    (root / "wav48_silence_trimmed/p225/p225_003_mic2.flac").write_bytes(b"fLaC")
    assert _prepare(root, tmp_path / "data", "--keep-speakers", "p225,p226") == 3
    facts = json.loads((tmp_path / "data/prepare.json").read_text())
    left_out = [line.split("\t") for line in (tmp_path / "data/left_out.tsv").read_text().splitlines()[1:]]
    assert facts["sources"][0]["release"] == "0.92" and len(facts["sources"][0]["notes"]) == 4
    assert [row[0] for row in left_out if row[1] == "unusable recording"] == ["p225_003"]
    assert sum(facts["left_out"].values()) == len(left_out) and left_out == sorted(left_out)
    written = sum(counts["utterances"] for counts in facts["subsets"].values())
    assert written + len(left_out) == 8 * 4 + 2
    assert not {"p225", "p226"} & set(facts["unseen_speakers"])
    for subset in ("train", "dev", "test"):
        assert kaldi_dir.validate(tmp_path / "data" / subset) == []
    assert f"train\t{facts['subsets']['train']['utterances']}\t" in capsys.readouterr().out


def test_sources_of_all_kinds_are_combined(vctk_layout, tmp_path, speechlike):
    own = tmp_path / "own"
    for name in ("amy", "bob"):
        (own / name).mkdir(parents=True)
        soundfile.write(own / name / "x.wav", speechlike(0.5), 16000)
    (tmp_path / "kaldi").mkdir()
    (tmp_path / "kaldi/wav.scp").write_text(f"r {own / 'amy/x.wav'}\n")
    (tmp_path / "kaldi/utt2spk").write_text("cat_1 cat\np225_001 p225\n")
    (tmp_path / "kaldi/segments").write_text("cat_1 r 0.1 0.6\np225_001 r 0.2 0.8\n")
    sources = [vctk_layout("0.80", SPEAKERS), own, tmp_path / "kaldi"]
    assert _prepare(sources, tmp_path / "data", "--unseen-speakers", "0") == 3  # p225_001 is there twice
    rows = [line.split("\t") for line in (tmp_path / "data/left_out.tsv").read_text().splitlines()[1:]]
    assert [row[:2] for row in rows] == [["p225_001", "duplicate utterance id"]]
    assert _pack(tmp_path / "data", tmp_path / "dump") == 0
    names = [u.utt_id for u in PackedStore(tmp_path / "dump").utterances]
    assert names == sorted(names) and {"amy_x", "bob_x", "cat_1", "p225_001"} <= set(names) and len(names) == 35


def test_long_recordings_are_taken_in_pieces(tmp_path, speechlike):
    (tmp_path / "own/amy").mkdir(parents=True)
    soundfile.write(tmp_path / "own/amy/book.wav", np.tile(speechlike(1.0, 8000, silence_s=0.0), 70), 8000)
    store = _made(tmp_path / "own", tmp_path)
    assert [u.utt_id for u in store.utterances] == ["amy_book_00000", "amy_book_00001", "amy_book_00002"]
    assert sum(u.length_samples for u in store.utterances) / 16000 == pytest.approx(70, abs=0.3)
    assert len({u.subset for u in store.utterances}) == 1


def test_a_second_run_does_nothing_and_other_inputs_need_a_word(vctk_layout, tmp_path, caplog):
    root = vctk_layout("0.92", SPEAKERS)
    _made(root, tmp_path)
    before = _contents(tmp_path / "data"), _contents(tmp_path / "dump")
    _made(root, tmp_path)
    assert (_contents(tmp_path / "data"), _contents(tmp_path / "dump")) == before
    (root / "txt/p225/p225_001.txt").write_text("Other words.")
    assert _prepare(root, tmp_path / "data") == 2
    assert _pack(tmp_path / "data", tmp_path / "dump", "--level-rms", "0.05") == 2
    assert (_contents(tmp_path / "data"), _contents(tmp_path / "dump")) == before
    assert _prepare(root, tmp_path / "data", "--overwrite") == 0
    assert _pack(tmp_path / "data", tmp_path / "dump", "--overwrite") == 0
    assert PackedStore(tmp_path / "dump").utterance("p225_001").text in ("Other words.",)
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob(".*"))


def test_foreign_folders_are_never_replaced(vctk_layout, tmp_path):
    root = vctk_layout("0.92", SPEAKERS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    assert _prepare(root, tmp_path / "mine", "--overwrite") == 2
    assert _prepare(root, root.parent, "--overwrite") == 2
    assert _prepare(root, tmp_path / "data") == 0
    assert _pack(tmp_path / "data", tmp_path / "mine", "--overwrite") == 2
    assert (tmp_path / "mine/thesis.txt").read_text() == "years of work"


KILLED = """
import os, signal, sys
from vqvc.cli import pack as command
from vqvc.corpus import store_writer
real, count = store_writer.StoreWriter.add, 0
def add(*args, **options):
    global count
    count += 1
    if count > 9:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*args, **options)
store_writer.StoreWriter.add = add
command.main(sys.argv[1:])
"""


def test_a_killed_pack_goes_on_and_reports_it(vctk_layout, tmp_path, capsys):
    straight = _made(vctk_layout("0.92", SPEAKERS), tmp_path)
    options = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "again")]
    killed = subprocess.run([sys.executable, "-c", KILLED, *options], capture_output=True, timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "again").exists()
    assert pack.main(options) == 0
    assert "going on after 9 of" in capsys.readouterr().err
    assert _contents(tmp_path / "again") == _contents(straight.path)


def test_validate_and_fix_are_two_verbs(vctk_layout, tmp_path, capsys):
    assert _prepare(vctk_layout("0.92", SPEAKERS), tmp_path / "data") == 0
    train = tmp_path / "data/train"
    assert prepare.main(["--validate", str(train)]) == 0
    (train / "utt2spk").write_text((train / "utt2spk").read_text().replace("\n", " x\n", 1))
    before = _contents(train)
    assert prepare.main(["--validate", str(train)]) == 1
    assert "utt2spk:1: has 3 fields, should have 2" in capsys.readouterr().out and _contents(train) == before
    assert prepare.main(["--fix", str(train)]) == 0
    assert prepare.main(["--validate", str(train)]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "x"], "--source is needed"),
        (["--source", "nowhere", "--out", "x"], "nowhere: no such directory"),
        (["--source", "ROOT", "--out", "x", "--keep-speakers", "p999"], "no speaker 'p999'"),
        (["--source", "ROOT", "--out", "x", "--held-out-sentences", "2"], "--held-out-sentences 2"),
    ],
)
def test_wrong_usage_is_one_sentence(vctk_layout, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    root = vctk_layout("0.92", {"p225": 1})
    assert prepare.main([word.replace("ROOT", str(root)) for word in options]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1] and not (tmp_path / "x").exists()
