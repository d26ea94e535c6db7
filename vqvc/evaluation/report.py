"""The report: one HTML file that holds all of a run, opens from disk, and loads nothing."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vqvc.corpus.phones import CLASSES
from vqvc.errors import MissingExtraError
from vqvc.evaluation import plots, tables
from vqvc.evaluation.page import parts as page
from vqvc.evaluation.page.parts import text
from vqvc.evaluation.probe_baselines import COUNTS, SETS
from vqvc.evaluation.run_folder import RunFolder

logger = logging.getLogger("vqvc.report")

LISTENING_HZ = 16000  # rate at which recordings go into the page
MOST_UTTERANCES = 6  # that can be listened to on the page
CURVES = (
    ("Bits per sample", (("training", "train", "loss_bits"), ("unseen sentences", "valid", "bits_per_sample"))),
    ("Do the codes matter? Bits per sample", (("with another utterance's codes", "valid", "bits_shuffled_codes"), ("with its own codes", "valid", "bits_per_sample"))),
    ("Perplexity of the codes", (("training batch", "train", "perplexity"), ("unseen sentences", "valid", "perplexity"))),
    ("Share of the codebook in use", (("per epoch", "epoch", "usage"), ("unseen sentences", "valid", "usage"))),
    ("Learning rate", (("", "train", "learning_rate"),)),
)  # fmt: skip
GRADES = {"good": "good", "fair": "middling", "bad": "poor"}


def html_report(run: RunFolder, title: str = "") -> str:
    """The whole page. Sections whose files are absent are left out."""
    sections = [
        ("listen", "Listen", _listen(run)),
        ("codes", "Codes over the waveform", _codes(run)),
        ("probe", "What the codes know of phones", _probe(run)),
        ("figures", "All figures", _figures(run)),
        ("confusion", "Who is heard", _confusion(run)),
        ("training", "Training", _training(run)),
        ("clips", "Recordings", _clips(run)),
        ("provenance", "Settings and provenance", _provenance(run)),
    ]
    sections = [item for item in sections if item[2]]
    title = title or f"vqvc: {run.tag}"
    body = [
        f"<header><h1>{text(title)}</h1>",
        '<p class="soft">Voice conversion through discrete codes: what this run does well and badly.</p>',
    ]
    body.append(
        "<nav>" + "".join(f'<a href="#{name}">{text(label)}</a>' for name, label, _ in sections) + "</nav></header>"
    )
    body.append("<main>" + _verdicts(run))
    body += [f'<section id="{name}"><h2>{text(label)}</h2>{content}</section>' for name, label, content in sections]
    return page.document(title, [*body, "</main>"])


def _verdicts(run: RunFolder) -> str:
    items = [
        f'<li class="{item.grade}"><span class="grade">{GRADES[item.grade]}</span><b>{text(item.what)}</b>{text(item.answer)}</li>'
        for item in tables.verdicts(run)
    ]
    return f'<ul class="verdicts">{"".join(items)}</ul>' if items else ""


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

    recording = io.read(path, LISTENING_HZ)
    return recording.samples, recording.sample_rate


def _caption(clip: dict) -> str:
    if clip["kind"] == "source":
        return f"source, {clip['speaker']}" + ("" if clip.get("seen_speaker") else " (speaker never heard in training)")
    return f"{clip['kind']} as {clip['voice']}"


def _drawn(make, *args) -> bytes | None:
    """A picture, or None when matplotlib is absent."""
    try:
        return make(*args)
    except MissingExtraError as error:
        logger.warning("pictures left out: %s", error)
        return None


def _listen(run: RunFolder) -> str:
    blocks = []
    for group in _utterances(run)[:MOST_UTTERANCES]:
        cells = []
        for clip in group:
            samples, rate = _read(run, clip)
            image = _drawn(plots.clip_picture, samples, rate)
            facts = [
                f"named as {clip['named']}" if clip.get("named") else "",
                f"heard: “{clip['heard']}”" if "heard" in clip else "",
            ]
            caption = _caption(clip)
            cells.append(
                f'<figure class="clip"><b>{text(caption)}</b>{page.player(samples, rate, caption)}'
                + (page.picture(image, f"spectrogram and pitch of {caption}") if image else "")
                + f"<figcaption>{'<br>'.join(text(fact) for fact in facts if fact)}</figcaption></figure>"
            )
        said = f"<p>“{text(group[0]['text'])}”</p>" if group[0].get("text") else ""
        blocks.append(
            f'<div class="utterance"><h3>{text(group[0]["utt_id"])}</h3>{said}<div class="clips">{"".join(cells)}</div></div>'
        )
    return "".join(blocks) or _conversions(run)


def _conversions(run: RunFolder) -> str:
    """What vqvc-convert made, where there is no evaluation."""
    cells = []
    for path in run.conversions()[: 2 * MOST_UTTERANCES]:
        samples, rate = _samples(path)
        image = _drawn(plots.clip_picture, samples, rate)
        name = str(path.relative_to(run.path))
        shown = page.picture(image, f"spectrogram and pitch of {name}") if image else ""
        cells.append(f'<figure class="clip"><b>{text(name)}</b>{page.player(samples, rate, name)}{shown}</figure>')
    return f'<div class="utterance"><div class="clips">{"".join(cells)}</div></div>' if cells else ""


def _codes(run: RunFolder) -> str:
    blocks = []
    for group in _utterances(run)[:3]:
        clip = group[0]
        if not clip.get("codes"):
            continue
        samples, rate = _read(run, clip)
        image = _drawn(plots.code_picture, samples, rate, clip["codes"], clip["hop_length"], clip.get("phones", []))
        if image:
            picture = page.picture(image, f"waveform, phones and codes of {clip['utt_id']}")
            blocks.append(
                f"<figure>{picture}<figcaption>{text(clip['utt_id'])}, {text(clip['speaker'])}</figcaption></figure>"
            )
    return "".join(blocks)


def _probe(run: RunFolder) -> str:
    if not run.probe:
        return ""
    blocks = []
    for name, kinds in (run.probe.get("figures") or {}).items():
        rows = []
        for key, label in tables.PROBE_NAMES.items():
            items = [kinds.get(kind, {}).get(key) for kind in COUNTS]
            if any(items):
                rows.append([label] + [(tables.number(item), (item or {}).get("value") or 0) for item in items])
        blocks.append(f"<h3>{text(name)}: {text(SETS.get(name, name))}</h3>")
        blocks.append(page.table(["codes and map", "silence left out, %", "silence counted, %"], rows, numeric=(1, 2)))
    blocks.append(
        '<p class="soft">Share of frames whose phone (of 41 classes) is named; the map is fitted on training utterances. '
        "In brackets the 95 % interval over utterances.</p>"
    )
    image = run.path / "probe" / "heatmap.png"
    if image.is_file():
        blocks.append(f"<figure>{page.picture(image.read_bytes(), 'heat map of phones and codes')}</figure>")
    joint = run.joint_counts(len(CLASSES))
    if joint is not None:
        share = np.sort(joint.sum(axis=1))[::-1] / max(1, joint.sum())
        chart = page.line_chart(
            "How often each code is used (%), commonest first",
            [("", list(enumerate(100 * share, 1)))],
            "rank of the code",
        )
        blocks.append(f'<div class="charts">{chart}</div>')
    return "".join(blocks)


def _figures(run: RunFolder) -> str:
    if not run.evaluation:
        return ""
    blocks = []
    for pivot in tables.pivots(run.evaluation):
        shown = [
            [tables.named(name, cells)]
            + [(tables.number(cells.get(kind)), _key(cells.get(kind))) for kind in pivot.kinds]
            for name, cells in pivot.cells.items()
        ]
        blocks.append(f"<h3>{text(tables.SECTIONS.get(pivot.section, pivot.section))}</h3>")
        blocks.append(page.table(["figure", *tables.labels(pivot)], shown, numeric=range(1, len(pivot.kinds) + 1)))
        meanings = {
            name.replace("_", " "): [item["definition"] for item in cells.values()]
            for name, cells in pivot.cells.items()
        }
        lines = [
            f"<dt>{text(name)}</dt>" + "".join(f"<dd>{text(item)}</dd>" for item in dict.fromkeys(found))
            for name, found in meanings.items()
        ]
        blocks.append(f'<details class="soft"><summary>Definitions</summary><dl>{"".join(lines)}</dl></details>')
    left = "".join(f"<li>{text(name)}: {text(why)}</li>" for name, why in tables.left_out(run.evaluation))
    blocks.append(f'<p class="soft">Left out:</p><ul class="soft">{left}</ul>' if left else "")
    return '<p class="soft">In brackets the 95 % interval over utterances.</p>' + "".join(blocks)


def _key(item: dict | None) -> object:
    return "" if item is None or item["value"] is None else item["value"]


def _confusion(run: RunFolder) -> str:
    groups = ((run.evaluation or {}).get("figures") or {}).get("speaker") or {}
    blocks = []
    for kind, group in groups.items():
        found = group.get("confusion") if isinstance(group, dict) else None
        if found:
            blocks.append(
                f"<h3>{text(tables.KIND_NAMES.get(kind, kind))}</h3>{page.confusion_table(found['names'], found['counts'])}"
            )
    return "".join(blocks)


def _training(run: RunFolder) -> str:
    charts = [
        page.line_chart(title, [(label, run.series(event, key)) for label, event, key in lines], "minutes of training")
        for title, lines in CURVES
    ]
    return f'<div class="charts">{"".join(charts)}</div>' if any(charts) else ""


def _clips(run: RunFolder) -> str:
    rows = [
        [
            clip["utt_id"], clip["kind"], clip["speaker"], clip["voice"], clip.get("named", ""), clip.get("text", ""), clip.get("heard", ""),
            (f"{clip['seconds']:.1f}", clip["seconds"]),
        ]
        for clip in (run.evaluation or {}).get("clips") or []
    ]  # fmt: skip
    head = ["utterance", "kind", "speaker", "wanted voice", "named as", "said", "heard by the recogniser", "s"]
    return page.table(head, rows, numeric=(7,)) if rows else ""


def _provenance(run: RunFolder) -> str:
    facts: list[tuple[str, object]] = [("run", run.tag)]
    facts += [("model checksum", run.model["checksum"])] if run.model.get("checksum") else []
    speakers = run.model.get("speakers")
    facts += [("voices", len(speakers))] if isinstance(speakers, list) else []
    for name, source in (("training", run.model.get("training")), ("evaluation", (run.evaluation or {}).get("settings")),
                         ("made with", (run.evaluation or {}).get("provenance")), ("codes", (run.probe or {}).get("codes"))):  # fmt: skip
        if isinstance(source, dict):
            facts += [(f"{name}: {key}", value) for key, value in source.items()]
    blocks = [page.table(["what", "value"], [[name, value] for name, value in facts], sortable=False)]
    if run.config_text:
        blocks.append(f"<details><summary>config.yaml</summary><pre>{text(run.config_text)}</pre></details>")
    return "".join(blocks)


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
