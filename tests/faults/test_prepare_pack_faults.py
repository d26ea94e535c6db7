"""FAULTS rows 40, 54, 69, 70, 81 and 86 through vqvc-prepare and vqvc-pack."""

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vqvc._util import lock, unfinished
from vqvc.cli import pack, prepare, synth_corpus
from vqvc.corpus import ids, kaldi_dir
from vqvc.corpus.codes import CodeArchive
from vqvc.corpus.store import PackedStore
from vqvc.corpus.store_writer import StoreWriter
from vqvc.errors import CorpusError, FileError, UsageError


@pytest.fixture
def speakers(tmp_path, speechlike):
    """A folder each for amy and bob, with two recordings each."""
    for name in ("amy", "bob"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for n in range(2):
            soundfile.write(tmp_path / "own" / name / f"{n}.wav", speechlike(0.5, seed=n), 16000)
    return tmp_path / "own"


def _prepare(source, out, *more):
    return prepare.main(["--source", str(source), "--out", str(out), *more])


def _pack(data, out, *more):
    return pack.main(["--data", str(data), "--out", str(out), *more])


def _contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_row_54_a_corpus_of_which_nothing_is_held_out_is_warned_of(tmp_path, speechlike, capsys):
    """Thirty speakers with one recording each all stay in train; recordings enough of one speaker are split."""
    for n in range(30):
        (tmp_path / f"own/s{n:02d}").mkdir(parents=True)
        soundfile.write(tmp_path / f"own/s{n:02d}/only.wav", speechlike(0.4, seed=n), 16000)
    for fraction in ("0", "0.2"):
        assert _prepare(tmp_path / "own", tmp_path / f"data{fraction}", "--held-out-sentences", fraction) == 0
        output = capsys.readouterr().err
        assert "nothing is held out" in output and "--held-out-sentences" in output
        assert json.loads((tmp_path / f"data{fraction}/prepare.json").read_text())["subsets"]["train"]["speakers"] == 30
    for n in range(20):
        soundfile.write(tmp_path / f"own/s00/{n}.wav", speechlike(0.4, seed=n), 16000)
    assert _prepare(tmp_path / "own", tmp_path / "other", "--held-out-sentences", "0.2") == 0
    assert "nothing is held out" not in capsys.readouterr().err


def test_row_69_a_source_called_like_unfinished_work_stays(speakers, tmp_path, capsys):
    source = speakers.rename(tmp_path / "my.partial")
    before = _contents(source)
    assert _prepare(source, tmp_path / "my") == 2
    assert "was not made by vqvc" in capsys.readouterr().err
    assert _contents(source) == before and not (tmp_path / "my").exists()


@pytest.mark.parametrize("foreign", ["a file inside", "a file", "a link"])
def test_row_69_a_foreign_folder_is_neither_removed_nor_taken_up(speakers, tmp_path, capsys, foreign):
    pytest.importorskip("espeakng_loader")
    assert _prepare(speakers, tmp_path / "data") == 0
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/words.txt").write_text("years of work")
    for out in ("store", "prepared", "synthesized"):
        partial = tmp_path / f"{out}.partial"
        if foreign == "a file":
            partial.write_text("years of work")
        elif foreign == "a link":
            partial.symlink_to(tmp_path / "thesis", target_is_directory=True)
        else:
            partial.mkdir()
            (partial / "words.txt").write_text("years of work")
    assert _pack(tmp_path / "data", tmp_path / "store") == 2
    assert _prepare(speakers, tmp_path / "prepared") == 2
    assert synth_corpus.main(["--out", str(tmp_path / "synthesized"), "--speakers", "1", "--sentences", "1"]) == 2
    output = capsys.readouterr().err
    assert output.count("was not made by vqvc") == 3 and "Traceback" not in output
    for path in (tmp_path / f"{out}.partial" for out in ("store", "prepared", "synthesized")):
        text = path if foreign == "a file" else path / "words.txt"
        assert text.read_text() == "years of work"
    assert os.listdir(tmp_path / "thesis") == ["words.txt"]


def test_row_69_what_we_left_ourselves_is_removed_or_taken_up(tmp_path):
    partial = unfinished.take(tmp_path / "x")
    (partial / "old").write_text("old")
    assert unfinished.take(tmp_path / "x") == partial and (partial / "old").exists()
    assert unfinished.begin(tmp_path / "x") == partial and not (partial / "old").exists()
    unfinished.finish(partial, tmp_path / "x", overwrite=False)
    assert list(tmp_path.iterdir()) == [tmp_path / "x"] and not list((tmp_path / "x").iterdir())


@pytest.mark.parametrize("moment", range(8))
def test_row_69_a_kill_while_a_result_is_replaced_leaves_nothing_that_stays(tmp_path, monkeypatch, moment):
    """Whatever call was the last, the same again ends with the new result alone."""
    for name, content in (("x", "old"), ("x.partial", "new")):
        partial = unfinished.take(tmp_path / "x")
        (partial / "value").write_text(content)
        (partial / "items").write_text("")
        if name == "x":
            unfinished.finish(partial, tmp_path / "x", overwrite=False, notes=("items",))
    calls = []

    class Killed(BaseException):
        pass

    def counted(real):
        def call(*args, **options):
            calls.append(real)
            if len(calls) > moment:
                raise Killed
            return real(*args, **options)

        return call

    with monkeypatch.context() as patch:
        for owner, name in ((os, "rename"), (Path, "unlink"), (unfinished.shutil, "rmtree")):
            patch.setattr(owner, name, counted(getattr(owner, name)))
        try:
            unfinished.finish(partial, tmp_path / "x", overwrite=True, notes=("items",))
        except Killed:
            pass
    assert unfinished.take(tmp_path / "x") == partial
    (partial / "value").write_text("new")
    unfinished.finish(partial, tmp_path / "x", overwrite=True, notes=("items",))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["value"] and (
        tmp_path / "x/value"
    ).read_text() == "new"


def test_row_69_a_result_that_somebody_added_to_is_not_replaced(speakers, tmp_path, capsys):
    assert _prepare(speakers, tmp_path / "data") == 0 and _pack(tmp_path / "data", tmp_path / "dump") == 0
    (tmp_path / "data/notes.md").write_text("mine")
    (tmp_path / "dump/notes.md").write_text("mine")
    assert _prepare(speakers, tmp_path / "data", "--unseen-speakers", "0", "--mic", "mic1", "--overwrite") == 2
    assert _pack(tmp_path / "data", tmp_path / "dump", "--level-rms", "0.05", "--overwrite") == 2
    assert capsys.readouterr().err.count("holds notes.md") == 2
    assert (tmp_path / "data/notes.md").exists() and (tmp_path / "dump/notes.md").exists()


@pytest.mark.parametrize(
    ("utt_id", "speaker"),
    [("../../x", "amy"), ("amy_1", "../x"), ("amy_1", ".."), ("a/b", "amy"), ("amy_1", "a\\b"), ("amy\x1b[2J", "amy"), ("a" * 300, "amy")],
)  # fmt: skip
def test_row_70_an_id_that_leads_elsewhere_is_refused_with_its_line(speakers, tmp_path, capsys, utt_id, speaker):
    kaldi = tmp_path / "kaldi"
    kaldi.mkdir()
    (kaldi / "wav.scp").write_text(f"amy_0 {speakers}/amy/0.wav\n{utt_id} {speakers}/amy/1.wav\n")
    (kaldi / "utt2spk").write_text(f"amy_0 amy\n{utt_id} {speaker}\n")
    before = _contents(tmp_path)
    assert _prepare(kaldi, tmp_path / "data") == 1
    output = capsys.readouterr().err
    assert ":2: id " in output and "Traceback" not in output and "\x1b" not in output
    assert _contents(tmp_path) == before


def test_row_70_pieces_of_a_long_recording_have_ids_too(tmp_path, speechlike):
    (tmp_path / "kaldi").mkdir()
    soundfile.write(tmp_path / "kaldi/x.wav", np.tile(speechlike(1.0, 8000), 41), 8000)
    longest = "x" * ids.MOST_BYTES
    (tmp_path / "kaldi/wav.scp").write_text(f"{longest} x.wav\n")
    (tmp_path / "kaldi/utt2spk").write_text(f"{longest} amy\n")
    assert _prepare(tmp_path / "kaldi", tmp_path / "data") == 0
    names = [item.utt_id for item in kaldi_dir.read(tmp_path / "data/train").items]
    assert len(set(names)) == 3 and not any(map(ids.problem, names))


def test_a_recording_and_an_utterance_of_one_name_are_listed(tmp_path, speakers):
    (tmp_path / "kaldi").mkdir()
    (tmp_path / "kaldi/wav.scp").write_text(f"amy_0 {speakers}/bob/0.wav\n")
    (tmp_path / "kaldi/utt2spk").write_text("cat_1 cat\n")
    (tmp_path / "kaldi/segments").write_text("cat_1 amy_0 0 0.4\n")
    words = [word for path in (tmp_path / "kaldi", speakers) for word in ("--source", str(path))]
    assert prepare.main([*words, "--out", str(tmp_path / "data"), "--held-out-sentences", "0"]) == 3
    assert "amy_0\tduplicate recording id\t" in (tmp_path / "data/left_out.tsv").read_text()


def test_row_70_ids_of_a_forged_store_are_refused(tmp_path):
    for number, (utt_id, speaker) in enumerate((("../x", "amy"), ("x", "../amy"))):
        with StoreWriter(tmp_path / f"{number}", sample_rate=16000, level_rms=0.06) as writer:
            writer.add(utt_id, [0.1] * 100, speaker=speaker, subset="train")
            writer.finish([])
        with pytest.raises(CorpusError, match="holds a slash"):
            PackedStore(tmp_path / f"{number}")


def test_row_70_ids_of_a_forged_code_archive_are_refused(tmp_path):
    settings = {"hop_length": 64, "sample_rate": 16000, "codebook_size": 8}
    for utt_id, speaker in (("../x", "amy"), ("x", "a/b"), ("", "amy"), ("x\x1b", "amy")):
        with pytest.raises(CorpusError, match="give it another name"):
            CodeArchive.build([(utt_id, speaker, "train", 64, [1])], **settings)


def test_row_81_a_pack_of_which_no_recording_can_be_read_fails(speakers, tmp_path, capsys):
    assert _prepare(speakers, tmp_path / "data") == 0
    for path in speakers.rglob("*.wav"):
        path.rename(path.with_suffix(".gone"))
    assert _pack(tmp_path / "data", tmp_path / "dump") == 1
    output = capsys.readouterr().err
    assert "none of its 4 recordings can be used; the first: " in output and "no such file" in output
    assert not list(tmp_path.glob("*dump*"))
    for path in speakers.rglob("*.gone"):
        path.rename(path.with_suffix(".wav"))
    assert _pack(tmp_path / "data", tmp_path / "dump") == 0


def test_row_81_paths_hold_from_every_folder(speakers, tmp_path, monkeypatch):
    monkeypatch.chdir(speakers.parent)
    assert _prepare("own", "data") == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert all(item.path.is_absolute() for item in kaldi_dir.read(tmp_path / "data/train").items)
    assert _pack("../data", "../dump") == 0


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
import soxr, tqdm, vqvc.corpus.pack  # once, rather than in each child
from vqvc.cli import pack as command

def counted(real, left):
    def call(*args, **options):
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **options)
    return call

def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

def in_a_child(moment=None):
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if moment is not None:
        left = [moment]
        for owner, names in ((os, ("replace", "rename")), (Path, ("unlink", "mkdir", "write_text"))):
            for name in names:
                setattr(owner, name, counted(getattr(owner, name), left))
    os._exit(command.main(["--data", "data", "--out", "dump", "--jobs", "1"]))

moment, killed = 0, -signal.SIGKILL
while killed == -signal.SIGKILL:
    killed = in_a_child(moment)
    assert killed in (0, -signal.SIGKILL) and in_a_child() == 0, moment
    assert contents(Path("dump")) == contents(Path("straight")), moment
    assert sorted(os.listdir()) == ["data", "dump", "own", "straight"], (moment, os.listdir())
    shutil.rmtree("dump")
    moment += 1
print(moment)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_row_40_a_pack_that_is_killed_at_any_change_of_a_name_ends_as_if_it_had_not_been(speakers, tmp_path):
    assert _prepare(speakers, tmp_path / "data") == 0 and _pack(tmp_path / "data", tmp_path / "straight") == 0
    environment = {**os.environ, "PYTHONPATH": str(Path(prepare.__file__).parents[2])}
    words = [sys.executable, "-c", KILLED]
    done = subprocess.run(
        words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) > 8  # moments


HOLDER = """
import sys
from vqvc._util import lock
with lock.Lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("command", ["prepare", "pack"])
def test_row_86_two_commands_in_one_folder_do_not_meet(speakers, tmp_path, capsys, command):
    assert _prepare(speakers, tmp_path / "data") == 0
    words = {"prepare": (_prepare, speakers), "pack": (_pack, tmp_path / "data")}[command]
    root = str(Path(prepare.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "out")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    ) as other:
        assert other.stdout.readline() == "held\n"
        assert words[0](words[1], tmp_path / "out") == 2
        assert f"out: in use by process {other.pid}" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
        other.kill()  # a kill leaves no lock
        other.wait()
    assert words[0](words[1], tmp_path / "out") == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out", "own"]


def test_row_86_a_lock_is_let_go_and_leaves_nothing(tmp_path):
    held = lock.Lock(tmp_path / "x")
    with pytest.raises(UsageError, match=f"in use by process {os.getpid()}"):
        lock.Lock(tmp_path / "x")
    held.close()
    held.close()
    with lock.Lock(tmp_path / "x"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_row_86_a_lock_that_cannot_be_written_names_its_folder_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    for held in (lambda: lock.Lock(tmp_path / "data"), lambda: lock.lock_folder(tmp_path)):
        with pytest.raises(FileError, match=f"{re.escape(str(tmp_path))}.*: disk full"):
            held()
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("--unseen-speakers", "2"), ("--keep-speakers", "nobody"), ()])
def test_row_69_a_prepare_that_fails_leaves_nothing_unfinished(tmp_path, speakers, words, capsys):
    if not words:
        for path in speakers.rglob("*.wav"):
            path.write_text("no sound")
    assert prepare.main(["--source", str(speakers), "--out", str(tmp_path / "data"), *words]) in (1, 2)
    assert "data.partial" not in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["own"]
