"""The evaluation as JSON: sections of metrics, and one row for each recording."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from vqvc.errors import CorpusError, MissingExtraError
from vqvc.evaluation.evaluation_set import EvaluationClip
from vqvc.evaluation.figures import tidy
from vqvc.evaluation.metric import Metric
from vqvc.evaluation.metrics.pitch import pitch_summary

Result = TypeVar("Result")
logger = logging.getLogger("vqvc.evaluate")


def attempt(name: str, make: Callable[[], Result]) -> tuple[Result | None, str]:
    """Return (make(), ""), or (None, reason) if the corpus does not allow it or a package is missing."""
    logger.info("making: %s", name)
    try:
        return make(), ""
    except (CorpusError, MissingExtraError) as error:
        return None, str(error)


def section(name: str, make: Callable[[], dict]) -> dict:
    """Return ``make()`` as JSON, or {"left_out": reason} if the corpus does not allow it or a package is missing."""
    logger.info("measuring: %s", name)
    try:
        return as_json(make())
    except (CorpusError, MissingExtraError) as error:
        logger.warning("%s left out: %s", name, error)
        return {"left_out": str(error)}


def as_json(section: Mapping) -> dict:
    """Convert metrics in nested dicts to the entries of evaluate.json; other values stay as they are."""
    result: dict = {}
    for name, item in section.items():
        if isinstance(item, Metric):
            result[name] = item.as_figure()
        elif isinstance(item, dict):
            result[name] = as_json(item)
        else:
            result[name] = item
    return result


def clip_rows(clips: Sequence[EvaluationClip], sample_rate: int) -> list[dict]:
    """One JSON row per recording: what it is, its file, and what was measured on it."""
    rows = []
    for clip in clips:
        row = {
            "kind": clip.kind,
            "utt_id": clip.utt_id,
            "speaker": clip.speaker,
            "voice": clip.target,
            "seen_speaker": clip.seen,
            "text": clip.text,
            "file": clip.file,
            "seconds": len(clip.samples) / sample_rate,
        }
        measured = {name: clip.measured.get(name) for name in ("transcript", "named", "codes", "hop_length", "phones")}
        if "f0_hz" in clip.measured:
            measured["median_pitch_hz"] = pitch_summary(clip.measured["f0_hz"]).median_hz
        rows.append(tidy(row | {key: value for key, value in measured.items() if value is not None}))
    return rows
