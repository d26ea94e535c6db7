"""The report of a run: one self-contained HTML file."""

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

PAGE_HZ = 16000  # sample rate of the recordings on the page
MOST_UTTERANCES = 6  # number of utterances that can be played on the page
CURVES = (  # (title, ((label, event of the log, key), ...))
    ("Bits per sample", (("training", "train", "loss_bits"), ("unseen sentences", "valid", "bits_per_sample"))),
    (
        "Do the codes matter? Bits per sample",
        (
            ("with another utterance's codes", "valid", "bits_shuffled_codes"),
            ("with its own codes", "valid", "bits_per_sample"),
        ),
    ),
    (
        "Perplexity of the codes",
        (("training batch", "train", "perplexity"), ("unseen sentences", "valid", "perplexity")),
    ),
    ("Share of the codebook in use", (("per epoch", "epoch", "usage"), ("unseen sentences", "valid", "usage"))),
    ("Learning rate", (("", "train", "learning_rate"),)),
)
GRADES = {"good": "good", "fair": "middling", "bad": "poor"}  # grades of verdicts as words on the page
SECTIONS = {  # of the page, with their headings
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
    """Render the page. Sections whose files are missing are left out. title: "vqvc: <tag>" when empty."""
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
    """The clips of each utterance, source first. Utterances of known and unseen speakers alternate."""
    groups: dict[str, list[dict]] = defaultdict(list)
    for clip in (run.evaluation or {}).get("clips") or []:
        if run.audio(clip["file"]):
            groups[clip["utt_id"]].append(clip)
    with_source = [group for group in groups.values() if group[0]["kind"] == "source"]
    seen = [group for group in with_source if group[0].get("seen_speaker")]
    unseen = [group for group in with_source if not group[0].get("seen_speaker")]
    alternating = [group for pair in zip(seen, unseen, strict=False) for group in pair]
    return alternating + [group for group in with_source if group not in alternating]


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
    """``make(*args)``, which draws a picture with matplotlib; None if it is not installed."""
    try:
        return make(*args)
    except MissingExtraError as error:
        logger.warning("pictures left out: %s", error)
        return None


def _listen(run: RunFolder) -> list[dict]:
    """The utterances to play, each with its source and what was made of it."""
    return [
        {
            "utt_id": group[0]["utt_id"],
            "text": group[0].get("text"),
            "clips": [_clip(*_read(run, clip), _caption(clip), _facts(clip)) for clip in group],
        }
        for group in _utterances(run)[:MOST_UTTERANCES]
    ]


def _conversions(run: RunFolder) -> list[dict]:
    """The recordings of vqvc-convert to play, for a run without an evaluation."""
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
    """Sources with a picture of their codes over the waveform."""
    pictures = []
    for group in _utterances(run)[:3]:
        clip = group[0]
        if not clip.get("codes"):
            continue
        samples, rate = _read(run, clip)
        image = _drawn(plots.code_picture, samples, rate, clip["codes"], clip["hop_length"], clip.get("phones", []))
        if image:
            pictures.append({**clip, "picture": render.picture_url(image)})
    return pictures


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
    """A table for each section of the evaluation; cells are (text, sort key)."""
    if not run.evaluation:
        return {}
    section_tables = []
    for pivot in tables.pivots(run.evaluation):
        rows: list[list] = []
        definitions = []
        for name, cells in pivot.cells.items():
            values = [(tables.number(cells.get(kind)), _key(cells.get(kind))) for kind in pivot.kinds]
            rows.append([tables.named(name, cells), *values])
            definitions.append(
                (name.replace("_", " "), list(dict.fromkeys(item.definition for item in cells.values())))
            )
        label = tables.SECTIONS.get(pivot.section, pivot.section)
        head = ["figure", *tables.labels(pivot)]
        section_tables.append({"label": label, "head": head, "rows": rows, "definitions": definitions})
    return {"tables": section_tables, "left_out": tables.left_out(run.evaluation)}


def _key(item: Metric | None) -> object:
    """The sort key of a cell."""
    return "" if item is None or item.value is None else item.value


def _confusions(run: RunFolder) -> list[dict]:
    groups = ((run.evaluation or {}).get("figures") or {}).get("speaker") or {}
    return [
        {**group["confusion"], "label": tables.KIND_NAMES.get(kind, kind)}
        for kind, group in groups.items()
        if isinstance(group, dict) and group.get("confusion")
    ]


def _training(run: RunFolder) -> list[Chart]:
    charts = []
    for title, lines in CURVES:
        series = [(label, run.series(event, key)) for label, event, key in lines]
        charts.append(line_chart(title, series, "minutes of training"))
    return [chart for chart in charts if chart]


def _clips(run: RunFolder) -> list[list]:
    """A row for each recording of the evaluation."""
    rows = []
    for clip in (run.evaluation or {}).get("clips") or []:
        names = [clip[key] for key in ("utt_id", "kind", "speaker", "voice")]
        texts = [clip.get(key, "") for key in ("named", "text", "transcript")]
        rows.append([*names, *texts, (f"{clip['seconds']:.1f}", clip["seconds"])])
    return rows


def _provenance(run: RunFolder) -> list[list]:
    """Rows of (name, value) on the model, its training and the evaluation."""
    facts: list[tuple[str, object]] = [("run", run.tag)]
    if run.model.get("checksum"):
        facts.append(("model checksum", run.model["checksum"]))
    speakers = run.model.get("speakers")
    if isinstance(speakers, list):
        facts.append(("speakers", len(speakers)))
    evaluation = run.evaluation or {}
    sections = {
        "training": run.model.get("training"),
        "evaluation": evaluation.get("settings"),
        "made with": evaluation.get("provenance"),
        "codes": (run.probe or {}).get("codes"),
    }
    for name, section in sections.items():
        if isinstance(section, dict):
            facts += [(f"{name}: {key}", value) for key, value in section.items()]
    return [[name, str(value)] for name, value in facts]


def summary_picture(run: RunFolder, path: Path) -> bool:
    """Write a PNG with spectrograms, learning curves and the heat map. Returns False if there is nothing to draw."""
    rows: list[Sequence] = []
    for group in _utterances(run)[:2]:
        rows.append([(_caption(clip), *_read(run, clip)) for clip in group[:4]])
    if not rows and run.conversions():
        rows = [[(path.stem, *_samples(path)) for path in run.conversions()[:4]]]
    curves = []
    for title, lines in CURVES[:2]:
        series = [(label, run.series(event, key)) for label, event, key in lines]
        if any(points for _, points in series):
            curves.append((title, series))
    joint = run.joint_counts(len(CLASSES))
    if not rows and not curves and joint is None:
        return False
    plots.summary(path, f"vqvc: {run.tag}", rows, curves, joint, CLASSES)
    return True
