"""What lies in an exp/<tag>/ folder, read for the report: whatever is absent is simply left out."""

import json
import struct
from dataclasses import dataclass
from pathlib import Path

from vqvc.errors import VqvcError


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
