"""The evaluation as JSON: sections of metrics by name for every kind of recording, and one row for each recording."""

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
    """(``make()``, ""), or (None, why) when the corpus or an absent package does not allow it."""
    logger.info("making: %s", name)
    try:
        return make(), ""
    except (CorpusError, MissingExtraError) as error:
        return None, str(error)


def section(name: str, make: Callable[[], dict]) -> dict:
    """``make()`` as JSON, or {"left_out": why} when the corpus or an absent package does not allow it."""
    logger.info("measuring: %s", name)
    try:
        return as_json(make())
    except (CorpusError, MissingExtraError) as error:
        logger.warning("%s left out: %s", name, error)
        return {"left_out": str(error)}


def as_json(found: Mapping) -> dict:
    """Metrics in any depth of names as the entries of evaluate.json; what else there is stays as it is."""
    return {
        name: item.as_figure() if isinstance(item, Metric) else as_json(item) if isinstance(item, dict) else item
        for name, item in found.items()
    }


def clip_rows(clips: Sequence[EvaluationClip], sample_rate: int) -> list[dict]:
    """One row per recording for the JSON: what it is, where it lies, what was found."""
    rows = []
    for clip in clips:
        row: Mapping = {
            "kind": clip.kind, "utt_id": clip.utt_id, "speaker": clip.speaker, "voice": clip.target, "seen_speaker": clip.seen,
            "text": clip.text, "file": clip.file, "seconds": len(clip.samples) / sample_rate,
        }  # fmt: skip
        found = {name: clip.measured.get(name) for name in ("transcript", "named", "codes", "hop_length", "phones")}
        if "f0_hz" in clip.measured:
            found["median_pitch_hz"] = pitch_summary(clip.measured["f0_hz"]).median_hz
        rows.append(tidy({**row, **{key: value for key, value in found.items() if value is not None}}))
    return rows
