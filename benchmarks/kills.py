"""Kills stages at random moments and runs them again: the end must be that of a run that was not killed.

    python benchmarks/kills.py [--stages train pack encode align convert] [--kills 20] [--seed 0] [--folder DIR]

A small corpus is synthesized with the built-in voices. Every stage is run once to its end; then, for each trial, in a folder of
its own: begun, its processes killed (SIGKILL) at a moment drawn evenly from the time that a whole run took last, and the
same command run again. How many were killed after they had begun to write is printed too. Compared are all tensors of
training's last checkpoint and of its model file, and for the other stages
every byte (of codes.npz every array) of every file; nothing half-written may be left. Exits 1 when a trial differs.
"""

import argparse
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MODULES = (
    "torch",
    "torch._dynamo",  # the optimizers import it, which takes longer than all of this training
    "numpy",
    "soundfile",
    "vqvc.training.loop",
    "vqvc.training.vqvae_task",
    "vqvc.conversion.model_file",
    "vqvc.api",
)
SETTINGS = """
encoder: {channels: [8, 8, 8], strides: [4, 4, 4], context_layers: 1}
quantizer: {codebook_size: 16, codebook_dim: 8}
decoder: {layers: 2, dilation_cycle: 2, residual_channels: 8, gate_channels: 16, skip_channels: 8, output: mixture, mixtures: 2,
  lpc_order: 8, speaker_dim: 8, conditioning_channels: 8, conditioning_layers: 1, conditioning_hop: 16, f0: true}
training: {steps: 16, quantizer_start_step: 4, batch_size: 2, crop_samples: 1024, context_samples: 128, warmup_steps: 4, weight_average: 0.9,
  decoder_warmup_fraction: 0.2, input_noise: 1.0, optimizer: muon_all, checkpoint_minutes: 0.0, valid_minutes: 60.0}
"""
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(list(MODULES))


@dataclass(frozen=True)
class Stage:
    """command: of vqvc.cli; arguments: for an output; suffix: of the output; different: names of what differs in two outputs."""

    command: str
    arguments: Callable[[Path], list[str]]
    suffix: str
    different: Callable[[Path, Path], list[str]]


@dataclass(frozen=True)
class Outcome:
    """Of one trial: killed after so many seconds (None: it had ended before), what was not as it should be, and whether
    something had been written when it was killed.
    """

    killed_s: float | None
    wrong: list[str]
    midway: bool = False
    took_s: float = 0.0


# --- processes


def _nothing() -> None:
    """What the first process does, so that no run is as long as the server takes to start."""


def _child(command: str, arguments: list[str], log: str) -> None:
    import importlib

    os.setsid()  # one group with all that it starts
    file = open(log, "a", buffering=1)
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    sys.stdout = sys.stderr = file
    import torch

    from vqvc.training.tracker import Tracker

    Tracker._open_board = staticmethod(lambda folder: None)
    torch.set_num_threads(1)
    status = importlib.import_module(f"vqvc.cli.{command}").main(arguments)
    file.flush()
    os._exit(status)


def run(stage: Stage, out: Path, kill_after_s: float | None = None) -> tuple[int, float]:
    """Run a stage; exit status and seconds. A process that was killed has status -9."""
    process = _server.Process(target=_child, args=(stage.command, stage.arguments(out), f"{out}.log"))
    begin = time.perf_counter()
    process.start()
    if kill_after_s is not None:
        process.join(max(0.0, kill_after_s - (time.perf_counter() - begin)))
        if process.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    process.join()
    return process.exitcode, time.perf_counter() - begin


def trial(stage: Stage, reference: Path, status: int, out: Path, kill_after_s: float) -> Outcome:
    """Kill a run of ``stage`` after so many seconds, run it again and compare with ``reference``, which ended with ``status``."""
    killed, took = run(stage, out, kill_after_s)
    if killed != -signal.SIGKILL:
        return Outcome(None, [] if killed == status else [f"ended by itself with status {killed}"], took_s=took)
    midway = any(path.is_file() and path.suffix != ".log" for path in out.parent.rglob("*"))
    ended, _ = run(stage, out)
    if ended != status:
        tail = Path(f"{out}.log").read_text(encoding="utf-8", errors="replace").splitlines()[-1:]
        return Outcome(took, [f"status {ended} when run again: {' '.join(tail)}"], midway)
    left = [path.name for path in out.parent.rglob("*") if ".partial" in path.name]
    return Outcome(took, stage.different(out, reference) + [f"left behind: {name}" for name in left], midway)


def trials(stage: Stage, reference: Path, kills: int, seed: int, folder: Path) -> list[Outcome]:
    """``kills`` trials that did kill; those that came too late are drawn again, so many times at most."""
    server = _server.Process(target=_nothing)
    server.start()
    server.join()
    status, whole_s = run(stage, reference)
    if status not in (0, 3):
        raise SystemExit(f"{stage.command}: status {status}, see {reference}.log")
    rng, found = random.Random(f"{seed} {stage.command}"), []
    for number in range(4 * kills):
        parent = folder / f"{stage.command}-{number}"
        parent.mkdir()
        outcome = trial(stage, reference, status, parent / f"out{stage.suffix}", rng.uniform(0, whole_s))
        if outcome.killed_s is not None or outcome.wrong:
            found.append(outcome)
        else:
            whole_s = outcome.took_s  # the machine is less busy than it was
        if len(found) == kills:
            break
    return found


# --- what is compared


def different_files(ours: Path, theirs: Path) -> list[str]:
    """Files (or the one file) that are not byte for byte in both, but for logs."""

    def held(path: Path) -> dict[str, bytes]:
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        return {
            str(f.relative_to(path)): f.read_bytes()
            for f in files
            if f.suffix != ".log" and not f.name.startswith(".lock")
        }

    a, b = held(ours), held(theirs)
    return [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]


def different_arrays(ours: Path, theirs: Path) -> list[str]:
    """Arrays of two .npz files that differ."""
    import numpy as np

    with np.load(ours) as a, np.load(theirs) as b:
        return [name for name in sorted(set(a.files) | set(b.files)) if not np.array_equal(a[name], b[name])]


def different_tensors(ours: Path, theirs: Path) -> list[str]:
    """Tensors of the last checkpoints and of the model files of two training folders that differ."""
    import torch
    from safetensors.torch import load_file

    from vqvc.training import checkpoint

    def held(folder: Path) -> dict:
        _, tensors, facts = checkpoint.load_newest(folder)
        weights = load_file(folder / "model.safetensors")
        return {
            "step": torch.tensor(facts["step"]),
            **tensors,
            **{f"model.safetensors {name}": w for name, w in weights.items()},
        }

    a, b = held(ours), held(theirs)
    return [
        name
        for name in sorted(a.keys() | b.keys())
        if name not in a or name not in b or not torch.equal(a[name], b[name])
    ]


# --- the stages


def training(store: Path, settings: Path) -> Stage:
    """vqvc-train, whose output is a folder."""
    given = ["--conf", str(settings), "--store", str(store), "--threads", "1"]
    return Stage("train", lambda out: [*given, "--out", str(out)], "", different_tensors)


def packing(data: Path) -> Stage:
    """vqvc-pack."""
    return Stage("pack", lambda out: ["--data", str(data), "--out", str(out), "--jobs", "2"], "", different_files)


def _stages(names: Sequence[str], folder: Path) -> dict[str, Stage]:
    """The stages by name, with what they need made in ``folder``."""
    from vqvc.cli import pack, prepare
    from vqvc.corpus import synthetic

    corpus, data, store, settings = (folder / name for name in ("corpus", "data", "store", "tiny.yaml"))
    synthetic.generate(corpus, speakers=4, count=12, jobs=2)
    settings.write_text(SETTINGS, encoding="utf-8")
    if prepare.main(["--source", str(corpus), "--out", str(data)]) or pack.main(
        ["--data", str(data), "--out", str(store)]
    ):
        raise SystemExit("the corpus could not be made")
    stages = {"train": training(store, settings), "pack": packing(data)}
    model = folder / "run" / "model.safetensors"
    if {"encode", "convert"} & set(names) and run(stages["train"], model.parent)[0]:
        raise SystemExit(f"no model could be trained, see {model.parent}.log")
    stages["encode"] = Stage(
        "encode",
        lambda out: ["--model", str(model), "--store", str(store), "--out", str(out)],
        ".npz",
        different_arrays,
    )
    stages["align"] = Stage(
        "align", lambda out: ["--store", str(store), "--out", str(out), "--jobs", "2"], "", different_files
    )
    recordings = folder / "recordings"
    recordings.mkdir()
    for path in sorted(corpus.rglob("*.wav"))[:6]:
        (recordings / path.name).write_bytes(path.read_bytes())
    speaker = sorted(
        row.split("\t")[0] for row in (store / "speakers.tsv").read_text(encoding="utf-8").splitlines()[1:]
    )[0]
    given = ["--model", str(model), "--src", str(recordings), "--speaker", speaker]
    stages["convert"] = Stage("convert", lambda out: [*given, "--out", str(out)], "", different_files)
    return {name: stages[name] for name in names}


def main(argv: Sequence[str] | None = None) -> int:
    """Run all trials and print a line for each stage."""
    names = ("train", "pack", "encode", "align", "convert")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=names, default=names, metavar="STAGE", help=" ".join(names))
    parser.add_argument("--kills", type=int, default=20, help="of each stage")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument(
        "--folder", type=Path, help="a new folder to work in, which is kept; a temporary one when not given"
    )
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        failed = 0
        for name, stage in _stages(args.stages, folder).items():
            found = trials(stage, folder / f"{name}-whole{stage.suffix}", args.kills, args.seed, folder)
            wrong = [outcome for outcome in found if outcome.wrong]
            moments = sorted(outcome.killed_s for outcome in found if outcome.killed_s is not None)
            span = f"{moments[0]:.2f} to {moments[-1]:.2f} s after the start" if moments else "never"
            print(
                f"{name:8} {len(found) - len(wrong)} of {len(found)} kills end as the uninterrupted run; killed {span}, "
                f"{sum(outcome.midway for outcome in found)} of them after something had been written",
                flush=True,
            )
            for outcome in wrong:
                print(f"         {outcome.killed_s}: {'; '.join(outcome.wrong[:5])}", flush=True)
            failed += len(wrong) + (args.kills - len(found))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
