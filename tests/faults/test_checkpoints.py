"""FAULTS rows 31 to 37 and 39: whatever happens to a checkpoint, the last good one is found or the error has the reason."""

import errno
import logging
import os
import pickle
import signal
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from tiny_training import tiny_config, tiny_store, trainer

from vqvc._util.lock import lock_folder
from vqvc.errors import ModelError, TrainingError, VqvcError
from vqvc.training import checkpoint
from vqvc.training.tracker import Tracker


def _tensors(step: int) -> dict:
    return {"model.a": torch.full((3, 2), float(step)), "model.n": torch.tensor(step), "empty": torch.zeros(0)}


def _save(folder: Path, step: int) -> Path:
    return checkpoint.save(folder, step, _tensors(step), {"step": step, "note": "é"})


def _assert_good(folder: Path, step: int):
    _, tensors, facts = checkpoint.load_newest(folder)
    assert facts == {"step": step, "note": "é"}
    assert all(torch.equal(tensors[name], tensor) for name, tensor in _tensors(step).items())


@contextmanager
def _logged():
    """The lines of the training logger meanwhile."""
    lines, logger = [], logging.getLogger("vqvc.training")
    handler, level = logging.Handler(), logger.level
    handler.emit = lambda record: lines.append(record.getMessage())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def _interrupt_disk(monkeypatch, at: int, act) -> list:
    """Call ``act`` instead of the disk operation number ``at``; a write has then written a half. Returns their names."""
    seen = []

    def wrap(owner, name, half=None):
        plain = getattr(owner, name)

        def operation(*given, **named):
            seen.append(name)
            if len(seen) - 1 == at:
                if half:
                    half(plain, *given)
                act()
            return plain(*given, **named)

        monkeypatch.setattr(owner, name, operation)

    wrap(Path, "write_bytes", lambda plain, path, data: plain(path, data[: len(data) // 2]))
    wrap(os, "fsync")
    wrap(os, "replace")
    wrap(Path, "unlink")
    return seen


OPERATIONS = ["write_bytes", "fsync", "replace", "fsync", "unlink", "unlink"]  # of one save: see the test below


def test_a_save_is_these_operations_and_keeps_two(tmp_path, monkeypatch):
    for step in (1, 2):
        _save(tmp_path, step)
    with monkeypatch.context() as patch:
        assert (_interrupt_disk(patch, -1, None), _save(tmp_path, 3))[0] == OPERATIONS
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "checkpoint-00000002.safetensors",
        "checkpoint-00000003.safetensors",
    ]
    _assert_good(tmp_path, 3)


@pytest.mark.parametrize("at", range(len(OPERATIONS)))
def test_row_31_a_kill_at_any_moment_of_saving_leaves_a_good_one(tmp_path, monkeypatch, at):
    for step in (1, 2):
        _save(tmp_path, step)
    child = os.fork()
    if not child:
        _interrupt_disk(monkeypatch, at, lambda: os.kill(os.getpid(), signal.SIGKILL))
        _save(tmp_path, 3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    _assert_good(tmp_path, 2 if at <= OPERATIONS.index("replace") else 3)
    checkpoint.sweep(tmp_path)  # as the next run does
    assert not list(tmp_path.glob(".partial*"))
    _save(tmp_path, 4)
    _assert_good(tmp_path, 4)


def _fail_and_look(tmp_path, monkeypatch, at: int, number: int, expected: type, message: str) -> None:
    for step in (1, 2):
        _save(tmp_path, step)

    def fail():
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        _interrupt_disk(patch, at, fail)
        with pytest.raises(expected, match=message):
            _save(tmp_path, 3)
    _assert_good(tmp_path, 2 if at <= OPERATIONS.index("replace") else 3)
    assert not list(tmp_path.glob(".partial*"))


@pytest.mark.parametrize("at", range(4))
def test_row_32_a_failure_of_each_disk_operation_leaves_the_last_good_one(tmp_path, monkeypatch, at):
    _fail_and_look(tmp_path, monkeypatch, at, errno.EIO, (OSError, VqvcError), "Input/output")


@pytest.mark.parametrize("at", range(4))
def test_row_33_a_full_disk_at_each_operation_leaves_the_last_good_one(tmp_path, monkeypatch, at):
    _fail_and_look(tmp_path, monkeypatch, at, errno.ENOSPC, VqvcError, r"disk full, needs about \d+ kB")


def test_row_35_a_cut_file_falls_back_one(tmp_path):
    _save(tmp_path, 1)
    path = _save(tmp_path, 2)
    whole = path.read_bytes()
    for kept in (0, 5, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with _logged() as lines:
            _assert_good(tmp_path, 1)
        assert len(lines) == 1 and str(path) in lines[0] and "using the checkpoint before it" in lines[0]


def test_row_35_every_flipped_byte_falls_back_one(tmp_path):
    _save(tmp_path, 1)
    path = _save(tmp_path, 2)
    whole = path.read_bytes()
    version = whole.index(b'"format_version":"1"') + len('"format_version":"')
    padding = range(len(whole[: whole.index(b"}}") + 2]), whole.rindex(b"}") + 1)
    unseen = 0
    for position in range(len(whole)):
        if position == version:  # becomes another format: row 37
            continue
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with _logged() as lines:
            _, tensors, facts = checkpoint.load_newest(tmp_path)
        if facts["step"] == 2:  # a blank of the header's padding, or what means the same
            assert all(torch.equal(tensors[name], tensor) for name, tensor in _tensors(2).items())
            unseen += 1
        else:
            assert facts["step"] == 1 and len(lines) == 1, position
    assert unseen <= 8 + len(padding)


def test_row_35_when_all_are_damaged_nothing_is_begun_again_in_silence(tmp_path):
    for step in (1, 2):
        _save(tmp_path, step).write_bytes(b"x" * 100)
    with pytest.raises(ModelError, match="no checkpoint here is sound; remove them"):
        checkpoint.load_newest(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_row_36_a_pickle_is_refused_without_falling_back_and_never_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    _save(tmp_path, 1)
    path = tmp_path / "checkpoint-00000009.safetensors"
    for write in (lambda: torch.save(Evil(), path), lambda: path.write_bytes(pickle.dumps(Evil()))):
        write()
        with pytest.raises(ModelError, match="00000009.safetensors: is a pickle, which can run code, and is refused"):
            checkpoint.load_newest(tmp_path)
    assert not (tmp_path / "ran").exists()


def test_a_header_whose_length_begins_like_a_pickle_is_none(tmp_path):
    """0x0280 bytes of header: a file as good as any."""
    plain = checkpoint.save(tmp_path, 1, _tensors(1), {"step": 1, "note": ""})
    note = "x" * ((0x0280 - int.from_bytes(plain.read_bytes()[:8], "little")) % 0x10000)
    path = checkpoint.save(tmp_path, 1, _tensors(1), {"step": 1, "note": note})
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert checkpoint.load_newest(tmp_path)[2]["note"] == note


def test_row_37_another_format_is_named_and_left_alone(tmp_path, monkeypatch):
    _save(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT_VERSION", 7)
        path = _save(tmp_path, 2)
    before = path.read_bytes()
    with pytest.raises(ModelError, match="00000002.safetensors: format_version is 7, this version reads 1"):
        checkpoint.load_newest(tmp_path)
    assert path.read_bytes() == before


def test_other_files_are_no_checkpoints(tmp_path):
    assert checkpoint.load_newest(tmp_path) is None
    for name in ("checkpoint-1.txt", ".partial-0-checkpoint-00000001.safetensors", "checkpoint-x.safetensors"):
        (tmp_path / name).write_bytes(b"")
    assert checkpoint.load_newest(tmp_path) is None


# --- the folder of a run


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(Tracker, "_open_board", staticmethod(lambda folder: None))
    return tiny_store(tmp_path / "dump", speakers=2, utterances=3)


def _bytes(folder: Path) -> dict:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"quantizer": {"codebook_size": 16}}, "made with quantizer.codebook_size = 8, not 16"),
        ({"encoder": {"channels": [8, 16]}}, r"made with encoder.channels = \[8, 8\], not \[8, 16\]"),
        ({"decoder": {"output": "categorical"}}, "made with decoder.output = mixture, not categorical"),
    ],
)
def test_row_37_a_model_of_other_settings_is_refused_by_name(store, tmp_path, change, message):
    trainer(tiny_config(training={"steps": 1}), store, tmp_path / "run").run()
    before = _bytes(tmp_path / "run")
    with pytest.raises(ModelError, match=f"{message}; train in another folder"):
        trainer(tiny_config(training={"steps": 2}, **change), store, tmp_path / "run").run()
    assert _bytes(tmp_path / "run") == before  # its config.yaml too


@pytest.mark.parametrize("before, now", [(0, 1), (1, 0)])
def test_row_37_a_loss_with_layers_of_its_own_is_turned_neither_on_nor_off(store, tmp_path, before, now):
    trainer(tiny_config(training={"steps": 1, "adversary_weight": before}), store, tmp_path / "run").run()
    message = f"trained with training.adversary_weight = {before}, not {now}.* train in another folder"
    with pytest.raises(ModelError, match=message):
        trainer(tiny_config(training={"steps": 2, "adversary_weight": now}), store, tmp_path / "run").run()


def test_row_37_other_speakers_are_another_model(store, tmp_path):
    trainer(tiny_config(training={"steps": 1}), store, tmp_path / "run").run()
    other = tiny_store(tmp_path / "more", speakers=3, utterances=3)
    with pytest.raises(ModelError, match="made for other speakers"):
        trainer(tiny_config(training={"steps": 2}), other, tmp_path / "run").run()


def test_row_39_a_second_run_in_a_folder_is_refused(store, tmp_path):
    run = trainer(tiny_config(training={"steps": 1}), store, tmp_path / "run")
    run.run()
    before = _bytes(tmp_path / "run")
    with (
        lock_folder(run.folder),
        pytest.raises(TrainingError, match=f"run: in use by process {os.getpid()}; wait for it or stop it"),
    ):
        trainer(tiny_config(training={"steps": 2}), store, tmp_path / "run").run()
    assert _bytes(tmp_path / "run") == before
    assert trainer(tiny_config(training={"steps": 2}), store, tmp_path / "run").run().step == 2  # free again


def test_row_33_a_full_disk_ends_the_command_with_one_sentence(store, tmp_path, monkeypatch, capsys):
    import yaml

    from vqvc.cli import train

    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny_config(training={"checkpoint_minutes": 0.0}).to_dict()))
    given = ["--conf", str(path), "--store", str(store.path), "--out", str(tmp_path / "run"), "--threads", "1"]
    plain, written = Path.write_bytes, []

    def write_bytes(self, data):
        if "checkpoint-" in self.name:
            written.append(self)
            if len(written) == 4:
                raise OSError(errno.ENOSPC, "No space left on device")
        return plain(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        assert train.main(given) == 1
    err = capsys.readouterr().err
    assert "disk full, needs about" in err and "Traceback" not in err
    assert checkpoint.load_newest(tmp_path / "run")[2]["step"] == 3
    assert train.main(given) == 0
    assert "resuming at step 3 " in capsys.readouterr().err
