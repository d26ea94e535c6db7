"""What lies in an exp/<tag>/ folder, read for the report: whatever is absent is simply left out."""

import argparse
import json
import shlex
import struct
from dataclasses import dataclass
from pathlib import Path

from vqvc.errors import UsageError, VqvcError


@dataclass(frozen=True)
class RunPaths:
    """Where a run and what it was made from lie, as the recipes put them.

        work/data  work/dump/store.json  work/align/phones.ctm
        work/exp/<tag>/model.safetensors  codes.npz  probe/  eval/  prior/  report.html

    ``dump`` and ``align`` are looked for above ``exp``, then beside the run itself.
    """

    run: Path
    work: Path

    @classmethod
    def find(cls, run: str | Path) -> "RunPaths":
        """The paths of the run in the folder ``run``; raises UsageError when it is none."""
        run = Path(run)
        if not run.is_dir():
            raise UsageError(f"{run}: no such folder; give the folder of a training run, such as egs/vctk/exp/small")
        base = run.resolve() if ".." in run.parts or len(run.parts) < 3 else run
        above = base.parent.parent if base.parent.name == "exp" else base.parent
        found = [place for place in (above, base.parent, base.parent.parent) if (place / "dump" / "store.json").exists()]
        return cls(run, found[0] if found else above)

    @property
    def model(self) -> Path:
        return self.run / "model.safetensors"

    @property
    def codes(self) -> Path:
        return self.run / "codes.npz"

    @property
    def store(self) -> Path:
        return self.work / "dump"

    @property
    def existing_store(self) -> Path | None:
        """The store, if it is there."""
        return self.store if (self.store / "store.json").exists() else None

    @property
    def alignment(self) -> Path:
        return self.work / "align" / "phones.ctm"

    def require(self, *paths: Path) -> None:
        """Raise UsageError, which says the command that makes it, for the first of ``paths`` (properties) that is missing."""
        commands = {
            self.model: ("vqvc-train", "--conf", "small.yaml", "--store", self.store, "--out", self.run),
            self.codes: ("vqvc-encode", self.run),
            self.store: ("vqvc-pack", "--data", self.work / "data", "--out", self.store),
            self.alignment: ("vqvc-align", "--store", self.store, "--out", self.alignment.parent),
        }
        for path in paths:
            if not (path / "store.json" if path == self.store else path).exists():
                raise UsageError(f"{path}: no such file; make it with: {shlex.join(map(str, commands[path]))}")


def fill_in(args: argparse.Namespace, wanted: dict[str, str], out: str, command: str) -> None:
    """Fill in the options of a command from the folder of a run (``args.run``); what was given stays.

    wanted: from options to properties of ``RunPaths``; out: folder in the run for ``args.out``. Raises UsageError, which
    says what to type, for what was not given and is not there.
    """
    if args.run is not None:
        paths = RunPaths.find(args.run)
        absent = {name: getattr(paths, place) for name, place in wanted.items() if getattr(args, name) is None}
        paths.require(*absent.values())
        for name, path in absent.items():
            setattr(args, name, path)
        args.out = args.out or args.run / out
    missing = [f"--{name}" for name in (*wanted, "out") if getattr(args, name) is None]
    if missing:
        example = f"{command} egs/vctk/exp/small"
        raise UsageError(f"give the folder of a run, as in {example}, or give {' and '.join(missing)} too")


@dataclass(frozen=True)
class RunFolder:
    """A run: figures as the JSON files hold them; None or empty where a file is absent."""

    path: Path
    probe: dict | None
    evaluation: dict | None
    prior: dict | None  # what codes cost under the prior
    events: tuple[dict, ...]  # lines of log.jsonl
    config_text: str
    model: dict  # metadata of model.safetensors: config, speakers, training, checksum (parsed)

    @property
    def tag(self) -> str:
        return self.path.resolve().name

    @classmethod
    def read(cls, path: str | Path) -> "RunFolder":
        """Read ``path``; raises VqvcError when there is nothing to report or a file is damaged."""
        path = Path(path)
        if not path.is_dir():
            raise VqvcError(f"{path}: no such folder; give the folder of a training run, such as exp/small")
        config = path / "config.yaml"
        run = cls(
            path=path,
            probe=_json(path / "probe" / "probe.json"),
            evaluation=_json(path / "eval" / "evaluate.json"),
            prior=_json(path / "prior" / "score.json"),
            events=_lines(path / "log.jsonl"),
            config_text=config.read_text(encoding="utf-8", errors="replace") if config.exists() else "",
            model=_metadata(path / "model.safetensors"),
        )
        if not (run.probe or run.evaluation or run.events or run.model or run.conversions()):
            raise VqvcError(
                f"{path}: holds no log, probe, evaluation or model to report; run vqvc-train, -probe or -evaluate first"
            )
        return run

    def series(self, event: str, key: str) -> list[tuple[float, float]]:
        """(minutes, value) of every line of that kind that has the key."""
        return [
            (float(item.get("minutes", item.get("step", 0))), float(item[key]))
            for item in self.events
            if item.get("event") == event and isinstance(item.get(key), (int, float))
        ]

    def last(self, key: str, *events: str) -> float | None:
        """The latest value of ``key`` in lines of the given kinds."""
        for item in reversed(self.events):
            if item.get("event") in events and isinstance(item.get(key), (int, float)):
                return float(item[key])
        return None

    def audio(self, file: str) -> Path | None:
        """The recording of a clip, if it is still there."""
        path = self.path / "eval" / file
        return path if path.is_file() else None

    def conversions(self) -> list[Path]:
        """Recordings of vqvc-convert in wavs/ (or wav/), for a run without an evaluation."""
        return sorted(path for name in ("wavs", "wav") for path in (self.path / name).rglob("*.wav"))


def _json(path: Path) -> dict | None:
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):
        raise VqvcError(f"{path}: is not valid JSON; run the command that wrote it again") from None
    if not isinstance(value, dict):
        raise VqvcError(f"{path}: holds no figures; run the command that wrote it again")
    return value


def _lines(path: Path) -> tuple[dict, ...]:
    """Lines of a log; a damaged one (a run that was killed while writing) is left out."""
    result = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                item = json.loads(line)
            except ValueError:
                continue
            if isinstance(item, dict):
                result.append(item)
    return tuple(result)


def _metadata(path: Path) -> dict:
    """The text metadata of a safetensors file, JSON values parsed; {} when the file is absent or not readable."""
    try:
        with open(path, "rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            if length > 100_000_000:
                return {}
            header = json.loads(file.read(length)).get("__metadata__", {})
    except (OSError, ValueError, struct.error, UnicodeDecodeError, AttributeError):
        return {}
    result = {}
    for key, value in header.items():
        try:
            result[key] = json.loads(value)
        except ValueError:
            result[key] = value
    return result
