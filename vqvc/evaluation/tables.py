"""Figures as text: the table that vqvc-evaluate prints, the verdict of the page, and a section of RESULTS.md."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from vqvc.evaluation.metric import Metric
from vqvc.evaluation.probe_baselines import COUNTS, SETS
from vqvc.evaluation.verdicts import verdicts

ByKindOfOne: TypeAlias = dict[str, Metric]  # kind of recording -> the metric
PROBE_NAMES = {
    "codes": "codes, one at a time",
    "kmeans": "k-means on MFCC",
    "random": "random codes",
    "constant": "constant guess",
    "codes_bigram": "codes, pairs",
    "kmeans_bigram": "k-means, pairs",
    "codes_window": "codes, window (linear)",
    "kmeans_window": "k-means, window (linear)",
    "codes_minus_kmeans": "codes minus k-means",
}
KIND_NAMES = {
    "natural": "natural speech",
    "source": "source",
    "copy": "copy of the source",
    "reconstruction": "reconstruction",
    "conversion": "conversion",
    "conversion_of_seen": "known speakers",
    "conversion_of_unseen": "unseen speakers",
    "conversion_into_few": "into voices of few sentences",
    "source_of_seen": "source, known",
    "source_of_unseen": "source, unseen",
    "natural_of_few": "natural, few sentences",
    "contour_of_source": "source's contour",
    "contour_of_target": "target's contour",
    "contour_flat": "flat contour",
    "contour_none": "no contour",
    "codes": "codes",
    "kmeans": "k-means on MFCC",
    "random": "random codes",
    "mfcc": "MFCC, no codes",
}
SECTIONS = {
    "content": "Words",
    "encoder": "Voice (speaker encoder)",
    "contour": "Voice in codes and contour",
    "encoder_ge2e": "Voice (GE2E)",
    "contour_ge2e": "Voice in codes and contour (GE2E)",
    "encoder_campplus": "Voice (CAM++)",
    "contour_campplus": "Voice in codes and contour (CAM++)",
    "speaker": "Voice (baseline on MFCC)",
    "prosody": "Pitch and pace",
    "spectrum": "Spectrum",
    "quality": "Quality",
    "codes": "Codes",
}


@dataclass(frozen=True)
class Row:
    """A metric with its section and kind of recording."""

    section: str
    kind: str
    metric: Metric


def is_figure(item: object) -> bool:
    """Whether ``item`` is the entry of a metric."""
    return isinstance(item, dict) and "value" in item and "definition" in item


def rows(evaluation: dict) -> Iterator[Row]:
    """Yield every figure of evaluate.json in the order of the file. In the section on codes, the kind is the system."""
    for section, groups in (evaluation.get("figures") or {}).items():
        for kind, group in groups.items():
            if is_figure(group):
                system, _, name = kind.partition("_")
                yield Row(section, system, Metric.of_figure(name, group))
            elif isinstance(group, dict):
                for name, item in group.items():
                    if is_figure(item):
                        yield Row(section, "codes" if kind == "usage" else kind, Metric.of_figure(name, item))
                    elif isinstance(item, dict):
                        for key, value in item.items():
                            if is_figure(value):
                                yield Row(section, name, Metric.of_figure(f"{kind}_{key}", value))


@dataclass(frozen=True)
class Pivot:
    """A section as a table: cells[name][kind], with names and kinds in the order of the file."""

    section: str
    kinds: tuple[str, ...]
    cells: dict[str, ByKindOfOne]


def pivots(evaluation: dict) -> list[Pivot]:
    """One table for each section that has figures."""
    by_section: dict[str, list[Row]] = {}
    for row in rows(evaluation):
        by_section.setdefault(row.section, []).append(row)
    result = []
    for section, section_rows in by_section.items():
        cells: dict[str, ByKindOfOne] = {}
        for row in section_rows:
            cells.setdefault(row.metric.name, {})[row.kind] = row.metric
        result.append(Pivot(section, tuple(dict.fromkeys(row.kind for row in section_rows)), cells))
    return result


def labels(pivot: Pivot) -> list[str]:
    """The headings of its columns."""
    return [KIND_NAMES.get(kind, kind.replace("_", " ")) for kind in pivot.kinds]


def named(name: str, cells: ByKindOfOne) -> str:
    """A metric's name with its unit."""
    return f"{name.replace('_', ' ')}, {next(iter(cells.values())).unit}"


def probe_metric(kinds: Mapping, kind: str, key: str) -> Metric | None:
    """An entry of probe.json as a record; None where there is none."""
    entry = kinds.get(kind, {}).get(key)
    return Metric.of_figure(key, entry) if entry else None


def left_out(evaluation: dict) -> list[tuple[str, str]]:
    """The sections that could not be measured, with the reasons."""
    reasons = []
    for section, groups in (evaluation.get("figures") or {}).items():
        if "left_out" in groups:
            reasons.append((section, groups["left_out"]))
        for kind, item in groups.items():
            if isinstance(item, dict) and "left_out" in item:
                reasons.append((f"{section}: {kind}", item["left_out"]))
    return reasons


def number(item: Metric | None, digits: int = 1, interval: bool = True) -> str:
    """A value and its interval as text, such as ``24.1 [20.0, 28.3]``; a dash if there is no value."""
    if item is None or item.value is None:
        return "–"
    value = item.value
    is_whole = isinstance(value, int) or abs(value) >= 1000
    text = f"{value:,.0f}" if is_whole else f"{value:.{2 if abs(value) < 2 else digits}f}"
    if item.interval is None or not interval:
        return text
    low, high = item.interval
    return f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def evaluation_table(evaluation: dict) -> str:
    """The evaluation as plain text, a table for each section, without intervals."""
    lines = []
    for pivot in pivots(evaluation):
        heads = labels(pivot)
        widths = [max(len(head), 6) + 2 for head in heads]
        title = SECTIONS.get(pivot.section, pivot.section)
        lines.append(f"{title:<28}" + "".join(f"{head:>{width}}" for head, width in zip(heads, widths, strict=True)))
        for name, cells in pivot.cells.items():
            shown = [number(cells.get(kind), interval=False) for kind in pivot.kinds]
            row = "".join(f"{cell:>{width}}" for cell, width in zip(shown, widths, strict=True))
            lines.append(f"  {named(name, cells):<26}{row}")
    lines += [f"left out: {name}: {why}" for name, why in left_out(evaluation)]
    return "\n".join(lines)


def results_section(run, title: str, command: str = "") -> str:
    """A section of RESULTS.md for a RunFolder. It depends on the JSON files only, so that it can be reproduced."""
    lines = [f"## {title}", ""]
    if command:
        lines += ["```", command, "```", ""]
    lines += ["| question | answer |", "| --- | --- |"]
    lines += [f"| {_cell(item.what)} | {_cell(item.answer)} |" for item in verdicts(run)]
    for name, kinds in ((run.probe or {}).get("figures") or {}).items():
        lines += [
            "",
            f"Phone probe on {name} ({SETS.get(name, name)}), accuracy in % [95 % interval over utterances]:",
            "",
        ]
        lines += ["| codes and map | silence left out | silence counted |", "| --- | --- | --- |"]
        for key, label in PROBE_NAMES.items():
            cells = [number(probe_metric(kinds, kind, key)) for kind in COUNTS]
            if any(cell != "–" for cell in cells):
                lines.append(f"| {label} | {cells[0]} | {cells[1]} |")
    for pivot in pivots(run.evaluation or {}):
        heads = ["figure", *labels(pivot)]
        lines += ["", f"{SECTIONS.get(pivot.section, pivot.section)} [95 % interval]:", ""]
        lines += ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
        for name, cells in pivot.cells.items():
            shown = [named(name, cells), *(number(cells.get(kind)) for kind in pivot.kinds)]
            lines.append("| " + " | ".join(_cell(item) for item in shown) + " |")
    for name, why in left_out(run.evaluation or {}):
        lines += ["", f"Left out: {name}: {why}."]
    lines += [*_curve(run), *_code_costs(run.prior or {})]
    checksum = str(run.model.get("checksum", ""))[:12]
    lines += [
        "",
        f"Model {checksum or 'without a file here'}. Definitions of all figures: probe.json and evaluate.json of the run.",
    ]
    return "\n".join(lines) + "\n"


CURVE_ROWS = 12


def _curve(run) -> list[str]:
    """The learning curve as a table of at most CURVE_ROWS + 1 rows; the last row is the end of training."""
    columns = ("minutes", "step", "bits_per_sample", "bits_shuffled_codes", "usage")
    complete = [event for event in run.events if all(key in event for key in columns)]
    validations = [event for event in complete if event["event"] == "valid"]
    events = validations[:: -(-len(validations) // CURVE_ROWS)] if validations else []
    events += [event for event in complete if event["event"] == "end"][-1:]
    if not events:
        return []
    lines = [
        "",
        "Learning curve, held-out sentences (the decoder is skipped at first; the last row is on more speech):",
        "",
    ]
    lines += [
        "| minutes | steps | bits per sample | with another utterance's codes | codes in use |",
        "| --- " * 5 + "|",
    ]
    for item in events:
        skipped = " (decoder skipped)" if item.get("skip_decoder") else ""
        lines.append(
            f"| {item['minutes']:.0f} | {item['step']:,} | {item['bits_per_sample']:.3f}{skipped} "
            f"| {item['bits_shuffled_codes']:.2f} | {100 * item['usage']:.0f} % |"
        )
    return lines


def _code_costs(score: dict) -> list[str]:
    """Tables of the cost of codes under each model, and the bound on log p(x)."""
    lines = []
    for name, data in score.get("sets", {}).items():
        lines += ["", f"Bits for codes on {name} ({data['what']}, {data['seconds'] / 60:.1f} min):", ""]
        lines += ["| model | bits per code | bit/s | saved |", "| --- " * 4 + "|"]
        for model, bits in data["bits_per_code"].items():
            rate, saved = data["bits_per_second"][model], data["saved_percent"][model]
            lines.append(f"| {model} | {bits:.3f} | {rate:,.0f} | {saved:.1f} % |")
        files = data["files"]
        lines.append(f"| file, plain | – | {files['plain_bits_per_second']:,.0f} | – |")
        over = f"{files['coded_over_cross_entropy_percent']:+.2f} % of the prior's cross-entropy"
        lines.append(f"| file, under the prior ({over}) | – | {files['coded_bits_per_second']:,.0f} | – |")
    if bound := score.get("bound"):
        parts = ", ".join(f"{bits:.4f} ({model})" for model, bits in bound["bits_per_sample"].items())
        lines += [
            "",
            f"Bound on -log2 p(x) in bits per sample, decoder {bound['decoder_bits_per_sample']:.4f} and codes: {parts}.",
        ]
    return lines


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def put_section(document: str, tag: str, section: str) -> str:
    """Replace the section of ``tag`` in ``document``, or add it at the end."""
    begin, end = f"<!-- begin {tag} (written by vqvc-report) -->", f"<!-- end {tag} -->"
    block = f"{begin}\n{section}{end}\n"
    pattern = re.compile(re.escape(begin) + r"\n.*?" + re.escape(end) + r"\n", re.DOTALL)
    if pattern.search(document):
        return pattern.sub(lambda _: block, document)
    return (document.rstrip("\n") + "\n\n" if document.strip() else "# Results\n\n") + block


def command_of(document: str, tag: str) -> str:
    """The command in an earlier section of ``tag``; empty if there is none."""
    match = re.search(rf"<!-- begin {re.escape(tag)} \(.*?-->\n## [^\n]*\n\n```\n(.*?)\n```", document, re.DOTALL)
    return match.group(1) if match else ""
