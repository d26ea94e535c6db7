"""FAULTS rows 45 to 47: several workers learn what one would, and a lost one is noticed."""

import json
import os
import signal
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import yaml
from tiny_training import before_step, start, status, tiny_config, tiny_store, trainer

from vqvc.corpus import perturbation
from vqvc.corpus.store import PackedStore
from vqvc.errors import TrainingError
from vqvc.training import checkpoint

HERE = Path(__file__).resolve().parent
TRAINING = {"steps": 6, "learning_rate": 1e-4, "gradient_clip": 0.5}
CONFIGS = {
    "plain": {
        "quantizer": {"restart_below": 0.0},
        "training": TRAINING | {"jitter": 0.0, "batch_size": 4},
    },
    "uneven": {
        "quantizer": {"restart_below": 0.0},
        "training": TRAINING | {"jitter": 0.0, "batch_size": 5},
    },
    "drawn": {
        "decoder": {"f0": True},
        "quantizer": {"restart_below": 0.5},  # so that codes are restarted
        "training": TRAINING | {"batch_size": 5, "input_noise": 2.0, "wavenet_fraction": 0.3, "optimizer": "muon_all"},
    },
    "part": {
        "decoder": {"f0": True},
        "quantizer": {"restart_below": 0.5},
        "training": TRAINING | {"jitter": 0.5, "batch_size": 3, "input_noise": 2.0, "decoder_crop_samples": 128},
    },
    "copies": {
        "quantizer": {"restart_below": 0.0},
        "training": TRAINING
        | {
            "batch_size": 5,
            "quantizer_start_step": 2,
            "perturbed_fraction": 0.7,
            "consistency_weight": 1.0,
            "adversary_weight": 1.0,
        },
    },
}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def worker(rank: int, workers: int, port: int, store: str, folder: str, config: str, dies_at: int | None = None) -> int:
    """What torchrun starts: one worker, of which one may be killed before a step."""
    os.environ.update(
        WORLD_SIZE=str(workers), RANK=str(rank), LOCAL_RANK=str(rank), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    from vqvc.cli._common import parser, run
    from vqvc.training import distributed, loop
    from vqvc.training.vqvae_task import VQVAETask

    distributed.TIMEOUT = timedelta(seconds=120)
    loop.LOG_EVERY = 1
    before_step(
        pytest.MonkeyPatch(),
        VQVAETask,
        lambda step: (step, rank) == (dies_at, 1) and os.kill(os.getpid(), signal.SIGKILL),
    )

    def work(args) -> int:
        with distributed.workers(torch.device("cpu")) as place:
            trainer(tiny_config(**CONFIGS[config]), PackedStore(store), folder, worker=place).run()
        return 0

    return run(lambda: parser("a worker"), work, [])


def _run(store, tmp_path, workers: int, config: str = "plain", dies_at: int | None = None) -> list[int]:
    shared = (workers, _free_port(), str(store.path), str(tmp_path / str(workers)), config, dies_at)
    processes = [start(worker, rank, *shared, log=tmp_path / f"log{workers}-{rank}") for rank in range(workers)]
    return [status(process) for process in processes]


def _losses(folder) -> list[float]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [line["loss_bits"] for line in lines if line["event"] == "train"]


def _two_learn_what_one_does(store, tmp_path, config: str) -> None:
    assert _run(store, tmp_path, 1, config) == [0] and _run(store, tmp_path, 2, config) == [0, 0]
    (_, one, _), (_, two, _) = (checkpoint.load_newest(tmp_path / name) for name in "12")
    for name in ("model.quantizer.codebook", "model.quantizer.counts", "model.quantizer.sums"):
        assert (one[name] - two[name]).abs().max() < 1e-6 * max(1, float(one[name].abs().max())), name
    assert torch.equal(one["epoch_counts"], two["epoch_counts"])
    assert (
        _losses(tmp_path / "2") == pytest.approx(_losses(tmp_path / "1"), abs=1e-5)
        and len(_losses(tmp_path / "1")) == 6
    )
    assert len(list((tmp_path / "2").glob("checkpoint-*"))) == 1  # one writer


@pytest.mark.timeout(600)
def test_row_45_two_workers_learn_what_one_does(store, tmp_path):
    _two_learn_what_one_does(store, tmp_path, "plain")


@pytest.mark.timeout(600)
def test_row_47_an_uneven_last_share_is_no_deadlock_and_counts_as_much(store, tmp_path):
    _two_learn_what_one_does(store, tmp_path, "uneven")


@pytest.mark.timeout(600)
def test_row_45_copies_and_an_adversary_teach_two_workers_what_they_teach_one(tmp_path):
    copied = tiny_store(tmp_path / "dump")
    list(perturbation.add_copies(copied, 1))
    _two_learn_what_one_does(copied, tmp_path, "copies")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("config", ["drawn", "part"])
def test_row_86_what_is_drawn_does_not_depend_on_the_number_of_workers(store, tmp_path, config):
    """Jitter, noise, hidden pitch, restarted codes, the decoder's part of a crop, the WaveNet's share of a batch."""
    _two_learn_what_one_does(store, tmp_path, config)


@pytest.mark.timeout(600)
def test_row_46_a_lost_worker_is_an_error_within_bounded_time(store, tmp_path):
    assert _run(store, tmp_path, 2, dies_at=3) == [1, -signal.SIGKILL]
    log = (tmp_path / "log2-0").read_text()
    assert "another worker is gone" in log and "goes on from the last checkpoint" in log and "Traceback" not in log


@pytest.mark.timeout(600)
def test_row_46_the_launcher_goes_on_from_the_last_checkpoint(store, tmp_path):
    """As ``egs/vctk/cmd.sh`` starts several workers: one of them is killed, and all are started again."""
    settings = tiny_config(training=TRAINING | {"checkpoint_minutes": 1e-9}).to_dict()  # a checkpoint after every step
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    done = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "3",
            HERE / "launched.py", tmp_path / "killed", "--conf", tmp_path / "tiny.yaml", "--store", store.path,
            "--out", tmp_path / "run", "--device", "cpu", "--threads", "1",
        ],
        capture_output=True, text=True, timeout=570, check=False,
        env=os.environ
        | {
            "PYTHONPATH": os.pathsep.join(map(str, (HERE.parent.parent, HERE.parent))),
            "OMP_NUM_THREADS": "1",
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "killed").exists()
    lines = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    first, second = (line["step"] for line in lines if line["event"] == "start")
    assert first == 0 and second in (3, 4)  # the first worker may still have been writing the fourth
    assert lines[-1]["event"] == "end" and lines[-1]["step"] == 6


def test_more_workers_than_crops_are_refused(store, tmp_path):
    with pytest.raises(TrainingError, match="batch_size: 4 crops are too few for 5 workers"):
        trainer(tiny_config(), store, tmp_path, worker=(0, 5))
