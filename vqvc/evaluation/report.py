"""The report: one HTML file that holds all of a run, opens from disk, and loads nothing."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vqvc.corpus.phones import CLASSES
from vqvc.errors import MissingExtraError
from vqvc.evaluation import plots, tables
from vqvc.evaluation.metric import Metric
from vqvc.evaluation.page import render
from vqvc.evaluation.page.charts import Chart, line_chart
from vqvc.evaluation.probe_baselines import COUNTS, SETS
from vqvc.evaluation.run_folder import RunFolder

logger = logging.getLogger("vqvc.report")

PAGE_HZ = 16000  # rate at which recordings go into the page
MOST_UTTERANCES = 6  # that can be played on the page
CURVES = (
    ("Bits per sample", (("training", "train", "loss_bits"), ("unseen sentences", "valid", "bits_per_sample"))),
    ("Do the codes matter? Bits per sample", (("with another utterance's codes", "valid", "bits_shuffled_codes"), ("with its own codes", "valid", "bits_per_sample"))),
    ("Perplexity of the codes", (("training batch", "train", "perplexity"), ("unseen sentences", "valid", "perplexity"))),
    ("Share of the codebook in use", (("per epoch", "epoch", "usage"), ("unseen sentences", "valid", "usage"))),
    ("Learning rate", (("", "train", "learning_rate"),)),
)  # fmt: skip
GRADES = {"good": "good", "fair": "middling", "bad": "poor"}


SECTIONS = {
    "listen": "Listen",
    "codes": "Codes over the waveform",
    "probe": "What the codes know of phones",
    "figures": "All figures",
    "confusion": "Who is named",
    "training": "Training",
    "clips": "Recordings",
    "provenance": "Settings and provenance",
}


def html_report(run: RunFolder, title: str = "") -> str:
    """The whole page. Sections whose files are absent are left out."""
    context = {
        "listen": _listen(run) or _conversions(run),
        "codes": _codes(run),
        "probe": _probe(run),
        "figures": _figures(run),
        "confusions": _confusions(run),
        "training": _training(run),
        "clips": _clips(run),
        "provenance": _provenance(run),
    }
    contents = dict(zip(SECTIONS, context.values(), strict=True))
    shown = [(name, label) for name, label in SECTIONS.items() if contents[name]]
    title = title or f"vqvc: {run.tag}"
    verdicts = tables.verdicts(run)
    facts = {"title": title, "sections": shown, "verdicts": verdicts, "grades": GRADES, "config_text": run.config_text}
    return render.page(context | facts)


def _utterances(run: RunFolder) -> list[list[dict]]:
    """Clips of the evaluation by utterance, source first; known and unseen speakers in turn."""
    groups: dict[str, list[dict]] = defaultdict(list)
    for clip in (run.evaluation or {}).get("clips") or []:
        if run.audio(clip["file"]):
            groups[clip["utt_id"]].append(clip)
    found = [group for group in groups.values() if group[0]["kind"] == "source"]
    seen, unseen = (
        [group for group in found if bool(group[0].get("seen_speaker")) == known] for known in (True, False)
    )
    mixed = [item for pair in zip(seen, unseen, strict=False) for item in pair]
    return mixed + [group for group in found if group not in mixed]


def _read(run: RunFolder, clip: dict) -> tuple[np.ndarray, int]:
    return _samples(run.audio(clip["file"]))


def _samples(path: Path) -> tuple[np.ndarray, int]:
    from vqvc.audio import io

    recording = io.read(path, PAGE_HZ)
    return recording.samples, recording.sample_rate


def _caption(clip: dict) -> str:
    if clip["kind"] == "source":
        return f"source, {clip['speaker']}" + ("" if clip.get("seen_speaker") else " (speaker not in training)")
    return f"{clip['kind']} as {clip['voice']}"


def _drawn(make, *args) -> bytes | None:
    """A picture, or None when matplotlib is absent."""
    try:
        return make(*args)
    except MissingExtraError as error:
        logger.warning("pictures left out: %s", error)
        return None


def _listen(run: RunFolder) -> list[dict]:
    """Utterances with what was made of each."""
    return [
        {
            "utt_id": group[0]["utt_id"],
            "text": group[0].get("text"),
            "clips": [_clip(*_read(run, clip), _caption(clip), _facts(clip)) for clip in group],
        }
        for group in _utterances(run)[:MOST_UTTERANCES]
    ]


def _conversions(run: RunFolder) -> list[dict]:
    """What vqvc-convert made, where there is no evaluation."""
    paths = run.conversions()[: 2 * MOST_UTTERANCES]
    cells = [_clip(*_samples(path), str(path.relative_to(run.path)), None) for path in paths]
    return [{"utt_id": "", "text": "", "clips": cells}] if cells else []


def _clip(samples: np.ndarray, rate: int, caption: str, facts: list[str] | None) -> dict:
    image = _drawn(plots.clip_picture, samples, rate)
    shown = render.picture_url(image) if image else ""
    return {"caption": caption, "sound": render.sound_url(samples, rate), "picture": shown, "facts": facts}


def _facts(clip: dict) -> list[str]:
    named = [f"named as {clip['named']}"] if clip.get("named") else []
    return named + ([f"transcript: “{clip['transcript']}”"] if "transcript" in clip else [])


def _codes(run: RunFolder) -> list[dict]:
    found = []
    for group in _utterances(run)[:3]:
        clip = group[0]
        if not clip.get("codes"):
            continue
        samples, rate = _read(run, clip)
        image = _drawn(plots.code_picture, samples, rate, clip["codes"], clip["hop_length"], clip.get("phones", []))
        if image:
            found.append({**clip, "picture": render.picture_url(image)})
    return found


def _probe(run: RunFolder) -> dict:
    if not run.probe:
        return {}
    sets = []
    for name, kinds in (run.probe.get("figures") or {}).items():
        rows = []
        for key, label in tables.PROBE_NAMES.items():
            items = [tables.probe_metric(kinds, kind, key) for kind in COUNTS]
            if any(items):
                rows.append([label] + [(tables.number(item), item.value or 0 if item else 0) for item in items])
        sets.append({"name": name, "label": SETS.get(name, name), "rows": rows})
    image = run.path / "probe" / "heatmap.png"
    heatmap = render.picture_url(image.read_bytes()) if image.is_file() else ""
    return {"sets": sets, "heatmap": heatmap, "chart": _usage_chart(run)}


def _usage_chart(run: RunFolder) -> Chart | None:
    joint = run.joint_counts(len(CLASSES))
    if joint is None:
        return None
    share = np.sort(joint.sum(axis=1))[::-1] / max(1, joint.sum())
    title = "How often each code is used (%), commonest first"
    return line_chart(title, [("", list(enumerate(100 * share, 1)))], "rank of the code")


def _figures(run: RunFolder) -> dict:
    if not run.evaluation:
        return {}
    found = []
    for pivot in tables.pivots(run.evaluation):
        rows = [
            [tables.named(name, cells)]
            + [(tables.number(cells.get(kind)), _key(cells.get(kind))) for kind in pivot.kinds]
            for name, cells in pivot.cells.items()
        ]
        definitions = [
            (name.replace("_", " "), list(dict.fromkeys(item.definition for item in cells.values())))
            for name, cells in pivot.cells.items()
        ]
        label = tables.SECTIONS.get(pivot.section, pivot.section)
        head = ["figure", *tables.labels(pivot)]
        found.append({"label": label, "head": head, "rows": rows, "definitions": definitions})
    return {"tables": found, "left_out": tables.left_out(run.evaluation)}


def _key(item: Metric | None) -> object:
    return "" if item is None or item.value is None else item.value


def _confusions(run: RunFolder) -> list[dict]:
    groups = ((run.evaluation or {}).get("figures") or {}).get("speaker") or {}
    return [
        {**group["confusion"], "label": tables.KIND_NAMES.get(kind, kind)}
        for kind, group in groups.items()
        if isinstance(group, dict) and group.get("confusion")
    ]


def _training(run: RunFolder) -> list[Chart]:
    charts = [
        line_chart(title, [(label, run.series(event, key)) for label, event, key in lines], "minutes of training")
        for title, lines in CURVES
    ]
    return [chart for chart in charts if chart]


def _clips(run: RunFolder) -> list[list]:
    return [
        [
            clip["utt_id"], clip["kind"], clip["speaker"], clip["voice"], clip.get("named", ""), clip.get("text", ""),
            clip.get("transcript", ""), (f"{clip['seconds']:.1f}", clip["seconds"]),
        ]
        for clip in (run.evaluation or {}).get("clips") or []
    ]  # fmt: skip


def _provenance(run: RunFolder) -> list[list]:
    facts: list[tuple[str, object]] = [("run", run.tag)]
    facts += [("model checksum", run.model["checksum"])] if run.model.get("checksum") else []
    speakers = run.model.get("speakers")
    facts += [("speakers", len(speakers))] if isinstance(speakers, list) else []
    evaluation = run.evaluation or {}
    for name, source in (("training", run.model.get("training")), ("evaluation", evaluation.get("settings")),
                         ("made with", evaluation.get("provenance")), ("codes", (run.probe or {}).get("codes"))):  # fmt: skip
        if isinstance(source, dict):
            facts += [(f"{name}: {key}", value) for key, value in source.items()]
    return [[name, str(value)] for name, value in facts]


def summary_picture(run: RunFolder, path: Path) -> bool:
    """One PNG with spectrograms, learning curves and the heat map; False when there is nothing to draw."""
    rows: list[Sequence] = []
    for group in _utterances(run)[:2]:
        rows.append([(_caption(clip), *_read(run, clip)) for clip in group[:4]])
    if not rows and run.conversions():
        rows = [[(path.stem, *_samples(path)) for path in run.conversions()[:4]]]
    curves = []
    for title, lines in CURVES[:2]:
        found = [(label, run.series(event, key)) for label, event, key in lines]
        if any(points for _, points in found):
            curves.append((title, found))
    joint = run.joint_counts(len(CLASSES))
    if not rows and not curves and joint is None:
        return False
    plots.summary(path, f"vqvc: {run.tag}", rows, curves, joint, CLASSES)
    return True
