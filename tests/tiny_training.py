"""A model, a store and a run so small that a test may train several times, also in processes of their own."""

import multiprocessing
import os
import signal
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

from vqvc.config import Config, from_dict
from vqvc.corpus.store import PackedStore, Speaker
from vqvc.corpus.store_writer import StoreWriter

TINY = {
    "encoder": {"channels": [8, 8], "strides": [4, 4], "context_layers": 1},
    "quantizer": {"codebook_size": 8, "codebook_dim": 4, "ema_decay": 0.9},
    "decoder": {
        "layers": 2, "dilation_cycle": 2, "residual_channels": 8, "gate_channels": 8, "skip_channels": 8,
        "output": "mixture", "mixtures": 2, "lpc_order": 4, "speaker_dim": 4, "conditioning_channels": 8,
        "conditioning_layers": 1, "conditioning_hop": 8,
    },
    "training": {
        "steps": 8, "batch_size": 4, "crop_samples": 256, "context_samples": 32, "learning_rate": 2e-3, "warmup_steps": 2,
        "weight_average": 0.9, "n_mels": 8, "precision": "float32", "checkpoint_minutes": 60.0, "valid_minutes": 60.0,
    },
}  # fmt: skip


def tiny_config(**sections: dict) -> Config:
    """TINY with some settings changed: ``tiny_config(training={"steps": 3})``."""
    return from_dict({name: TINY.get(name, {}) | sections.get(name, {}) for name in TINY.keys() | sections.keys()})


def tiny_store(path: Path, speakers: int = 3, utterances: int = 4, length_samples: int = 1600) -> PackedStore:
    """Buzzes of some speakers; the last utterance of each is in ``dev``. Utterance n has n * 100 samples more."""
    rng = np.random.default_rng(0)
    with StoreWriter(path, sample_rate=16000, level_rms=0.06) as writer:
        names = [f"p{s}" for s in range(speakers)]
        for s, speaker in enumerate(names):
            for n in range(utterances):
                t = np.arange(length_samples + 100 * n) / 16000
                buzz = sum(np.sin(2 * np.pi * k * (100 + 40 * s + 10 * n) * t + rng.random()) / k for k in range(1, 9))
                wave = 0.06 * buzz / buzz.std() + 0.003 * rng.standard_normal(len(t))
                writer.add(f"{speaker}_{n:03d}", wave, speaker=speaker, subset="train" if n < utterances - 1 else "dev")
        writer.finish([Speaker(name) for name in names])
    return PackedStore(path)


def trainer(config: Config, store: PackedStore, folder: Path, *, minutes_limit: float | None = None, **options):
    """The Loop of a VQVAETask for all speakers of the store."""
    from vqvc.training.loop import Loop
    from vqvc.training.vqvae_task import VQVAETask

    task = VQVAETask(config, store, tuple(s.speaker for s in store.speakers), **options)
    return Loop(task, folder, minutes_limit=minutes_limit, worker=options.get("worker", (0, 1)))


def before_step(monkeypatch, kind: type, act) -> None:
    """Call ``act(step)`` before every training step of a kind of task."""
    plain = kind.train_step

    def train_step(self, batch, position, rate):
        act(position.step)
        return plain(self, batch, position, rate)

    monkeypatch.setattr(kind, "train_step", train_step)


# --- in processes of their own, forked from one server that has imported torch and computed nothing

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(
    ["pytest", "vqvc.training.loop", "vqvc.training.vqvae_task", "vqvc.conversion.model_file"]
)


def start(work, *args, log: Path) -> multiprocessing.Process:
    """Run ``work(*args)`` in a new process on one thread; its stderr goes to ``log``, its int result is its status."""
    process = _server.Process(target=_child, args=(work, args, str(log)), daemon=True)
    process.start()
    return process


def status(process: multiprocessing.Process, timeout_s: float = 280) -> int:
    """The exit status of a process that must end by itself (in seconds; the limit is for machines with much else to do)."""
    process.join(timeout_s)
    assert process.exitcode is not None, f"still running after {timeout_s} s"
    return process.exitcode


def _child(work, args: tuple, log: str) -> None:
    file = open(log, "a", buffering=1)
    os.dup2(file.fileno(), 2)
    os.dup2(file.fileno(), 1)
    sys.stdout = sys.stderr = file
    import torch

    from vqvc.training.tracker import Tracker

    Tracker._open_board = staticmethod(lambda folder: None)
    torch.set_num_threads(1)
    try:
        result = work(*args)
    except BaseException:
        traceback.print_exc()
        os._exit(99)
    file.flush()
    os._exit(result or 0)


def command(arguments: list[str], signal_at: tuple[int, ...] | None = None) -> int:
    """vqvc-train as a command; ``signal_at`` = (step, signal number[, times]) is sent to itself before that step."""
    from vqvc.cli import train
    from vqvc.training.vqvae_task import VQVAETask

    signal.signal(signal.SIGINT, signal.default_int_handler)

    def kill(step: int) -> None:
        if signal_at and step == signal_at[0]:
            for _ in range(signal_at[2] if len(signal_at) > 2 else 1):
                os.kill(os.getpid(), signal_at[1])

    before_step(pytest.MonkeyPatch(), VQVAETask, kill)
    try:
        return train.main(arguments)
    except SystemExit as leaving:
        return int(leaving.code or 0)
