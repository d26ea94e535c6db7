"""Reads the files of a run's folder, exp/<tag>/, for the report. Missing files are left out, damaged ones are named."""

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from vqvc._util import schema
from vqvc._util.archive import DAMAGED
from vqvc.errors import ModelError, VqvcError

logger = logging.getLogger("vqvc.report")


def _interval(value: object, where: str) -> None:
    """Two numbers, or two nulls if there were too few utterances."""
    schema.row(*2 * [schema.optional(schema.number)])(value, where)
    if (value[0] is None) != (value[1] is None):
        raise schema.Mismatch(f"{where}: should be two numbers or none, not {value}")


FORMER_KEYS = {"heard": "transcript"}  # of a clip, in evaluate.json of format version 1
FIGURE = schema.record(
    {"value": schema.optional(schema.number), "unit": schema.text, "definition": schema.text},
    {"interval_95": schema.optional(_interval)},
)


def _confusion(value: object, where: str) -> None:
    schema.record({"names": schema.many(schema.text), "counts": schema.many(schema.many(schema.whole))})(value, where)
    sizes = {len(value["names"]), len(value["counts"]), *map(len, value["counts"])}
    if len(sizes) > 1:
        raise schema.Mismatch(f"{where}.counts: should have a row and a column for each of names")


def _group(value: object, where: str) -> None:
    """A figure, or a section of figures, of further sections, or of a reason why there are none."""
    if isinstance(value, dict) and "value" in value:
        return FIGURE(value, where)
    if isinstance(value, dict):
        schema.record({}, {"left_out": schema.text, "confusion": _confusion})(value, where)
        for name, item in value.items():
            if isinstance(item, dict) and name != "confusion":
                _group(item, f"{where}.{name}")


def _section(value: object, where: str) -> None:
    schema.mapping(schema.anything)(value, where)
    _group(value, where)
    for name, item in value.items():
        if not isinstance(item, (dict, str)):
            raise schema.Mismatch(f"{where}.{name}: should be a section, not {type(item).__name__}")


def _inside(value: object, where: str) -> None:
    """A path below the folder of the evaluation."""
    schema.text(value, where)
    if PurePosixPath(value).is_absolute() or ".." in PurePosixPath(value).parts or "\0" in value:
        raise schema.Mismatch(f"{where}: should be a file below the run's eval/, not {value!r}")


def _hop(value: object, where: str) -> None:
    schema.whole(value, where)
    if not value:
        raise schema.Mismatch(f"{where}: should be at least 1 sample")


def _clip(value: object, where: str) -> None:
    texts = {name: schema.text for name in ("utt_id", "kind", "speaker", "voice")}
    found = {name: schema.optional(schema.text) for name in ("text", "transcript", "named", *FORMER_KEYS)}
    phone = schema.row(schema.number, schema.number, schema.text)
    more = {
        "seen_speaker": schema.optional(schema.boolean),
        "hop_length": _hop,
        "codes": schema.many(schema.whole),
        "phones": schema.many(phone),
    }
    schema.record(texts | {"file": _inside, "seconds": schema.number}, found | more)(value, where)
    if value.get("codes") and "hop_length" not in value:
        raise schema.Mismatch(f"{where}.hop_length: is missing")


_NUMBERS = schema.mapping(schema.number)


def _score_set(value: object, where: str) -> None:
    kinds = ("bits_per_code", "bits_per_second", "saved_percent")
    files = ("plain_bits_per_second", "coded_bits_per_second", "coded_over_cross_entropy_percent")
    facts = {"what": schema.text, "seconds": schema.number, "files": schema.record(dict.fromkeys(files, schema.number))}
    schema.record(facts | dict.fromkeys(kinds, _NUMBERS))(value, where)
    for kind in kinds[1:]:
        for model in value["bits_per_code"]:
            if model not in value[kind]:
                raise schema.Mismatch(f"{where}.{kind}.{model}: is missing")


PROBE = schema.record(
    {}, {"figures": schema.optional(schema.mapping(schema.mapping(schema.mapping(FIGURE)))), "codes": schema.anything}
)
EVALUATION = schema.record(
    {}, {"figures": schema.optional(schema.mapping(_section)), "clips": schema.optional(schema.many(_clip))}
)
SCORE = schema.record(
    {},
    {
        "sets": schema.mapping(_score_set),
        "bound": schema.optional(
            schema.record({"bits_per_sample": _NUMBERS, "decoder_bits_per_sample": schema.number})
        ),
    },
)


@dataclass(frozen=True)
class RunFolder:
    """The contents of a run's folder. A field is None or empty if its file is missing."""

    path: Path
    probe: dict | None
    evaluation: dict | None
    prior: dict | None  # the cost of codes under the prior
    events: tuple[dict, ...]  # lines of log.jsonl
    config_text: str
    model: dict  # metadata of model.safetensors: config, speakers, training, checksum (parsed)

    @property
    def tag(self) -> str:
        return self.path.resolve().name

    @classmethod
    def read(cls, path: str | Path) -> "RunFolder":
        """Read the folder ``path``. Raises VqvcError if there is nothing to report or a file is damaged."""
        path = Path(path)
        if not path.is_dir():
            raise VqvcError(f"{path}: no such folder; give the folder of a training run, such as exp/small")
        config = path / "config.yaml"
        run = cls(
            path=path,
            probe=schema.read_json(path / "probe" / "probe.json", PROBE, "run vqvc-probe again"),
            evaluation=_renamed(
                schema.read_json(path / "eval" / "evaluate.json", EVALUATION, "run vqvc-evaluate again")
            ),
            prior=schema.read_json(path / "prior" / "score.json", SCORE, "run vqvc-prior --score again"),
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
        """(minutes, value) of every event of the log that has the key."""
        return [
            (float(item.get("minutes", item.get("step", 0))), float(item[key]))
            for item in self.events
            if item.get("event") == event and isinstance(item.get(key), (int, float))
        ]

    def last(self, key: str, *events: str) -> float | None:
        """The latest value of ``key`` in the given kinds of events."""
        for item in reversed(self.events):
            if item.get("event") in events and isinstance(item.get(key), (int, float)):
                return float(item[key])
        return None

    def audio(self, file: str) -> Path | None:
        """The path of a clip's recording, or None if it does not exist."""
        path = self.path / "eval" / file
        return path if path.is_file() else None

    def joint_counts(self, classes: int) -> np.ndarray | None:
        """The probe's counts of codes and phones (codes, classes), or None if the file is missing or damaged."""
        try:
            joint = np.load(self.path / "probe" / "joint_counts.npy", mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            return None
        except (*DAMAGED, TypeError, AttributeError):
            logger.warning(
                "%s: is damaged and left out; run vqvc-probe again", self.path / "probe" / "joint_counts.npy"
            )
            return None
        if (
            not isinstance(joint, np.ndarray)
            or joint.ndim != 2
            or joint.shape[1] != classes
            or joint.dtype.kind not in "iu"
        ):
            return None
        joint = np.array(joint, np.int64)
        return joint if joint.min(initial=0) >= 0 and 0 < joint.sum(dtype=np.float64) < 2**53 else None

    def conversions(self) -> list[Path]:
        """The recordings of vqvc-convert in wavs/ or wav/, without hidden files, which are unfinished."""
        return sorted(path for name in ("wavs", "wav") for path in (self.path / name).rglob("[!.]*.wav"))


def _renamed(evaluation: dict | None) -> dict | None:
    """Rename the keys of clips from format version 1."""
    for clip in (evaluation or {}).get("clips") or []:
        for former, present in FORMER_KEYS.items():
            if former in clip:
                clip.setdefault(present, clip.pop(former))
    return evaluation


def _lines(path: Path) -> tuple[dict, ...]:
    """The events of a log. Damaged lines, which a killed run may leave, and values that are not finite are left out."""
    result = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                item = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(item, dict) and isinstance(item.get("event"), str):
                result.append({key: value for key, value in item.items() if not _is_odd(key, value)})
    return tuple(result)


def _is_odd(key: str, value: object) -> bool:
    """Whether a value of an event cannot be plotted, that is, a time or a figure is not a finite number."""
    if key in ("minutes", "step", "bits_per_sample", "bits_shuffled_codes", "bits_without_f0", "usage"):
        try:
            schema.number(value, key)
        except schema.Mismatch:
            return True
    try:
        return isinstance(value, (int, float)) and not math.isfinite(float(value))
    except OverflowError:
        return True


def _metadata(path: Path) -> dict:
    """The metadata of a model file with parsed JSON values; {} if it is missing, or damaged, which is logged."""
    from vqvc._util import tensorfile
    from vqvc.conversion.model_file import KIND

    if not path.exists():
        return {}
    try:
        header = tensorfile.read_header(path, KIND).metadata
    except ModelError as error:
        logger.warning("%s; the report leaves it out", error)
        return {}
    result: dict = {}
    for key, value in header.items():
        try:
            result[key] = value if key == tensorfile.CHECKSUM else json.loads(value)
        except (ValueError, RecursionError):
            result[key] = value
    return result
