"""The pieces of the report's page: escaped HTML, charts as SVG, sound and pictures as data URLs."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def text(value: object) -> str:
    """``value`` escaped for HTML text and attributes: no name or transcript can become markup."""
    return html.escape(str(value).encode("utf-8", "replace").decode("utf-8"), quote=True)


def document(title: str, body: Sequence[str]) -> str:
    """A whole page that loads nothing: style, script, sound and pictures are inside, and its policy forbids the rest."""
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + f"\n<script>\n{script}</script>\n</body>\n</html>\n"
    )


def data_url(data: bytes, kind: str) -> str:
    """``data`` as a URL that holds it; kind: its media type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def picture(data: bytes, alternative: str) -> str:
    """An <img> with a PNG inside."""
    return f'<img src="{data_url(data, "image/png")}" alt="{text(alternative)}" loading="lazy">'


def player(samples: np.ndarray, sample_rate: int, label: str) -> str:
    """An <audio> with lossless FLAC inside."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), sample_rate, format="FLAC", subtype="PCM_16")
    return f'<audio controls preload="metadata" src="{data_url(buffer.getvalue(), "audio/flac")}" aria-label="{text(label)}"></audio>'


def table(
    head: Sequence[str], rows: Sequence[Sequence[object]], *, sortable: bool = True, numeric: Sequence[int] = ()
) -> str:
    """A table. A cell may be a pair (text, number to sort by); columns in ``numeric`` are aligned right."""

    def cell(index: int, value: object) -> str:
        shown, key = value if isinstance(value, tuple) else (value, None)
        name = ' class="n"' if index in numeric else ""
        return f"<td{name}" + (f' data-v="{text(key)}"' if key is not None else "") + f">{text(shown)}</td>"

    heads = "".join(
        f'<th scope="col"{" class=n" if index in numeric else ""}>{text(name)}</th>' for index, name in enumerate(head)
    )
    lines = ["<tr>" + "".join(cell(index, value) for index, value in enumerate(row)) + "</tr>" for row in rows]
    kind = ' class="sortable"' if sortable else ""
    return (
        f'<div class="wide"><table{kind}><thead><tr>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    )


def confusion_table(names: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Rows: wanted; columns: named; the darker the more often."""
    lines = []
    for name, row in zip(names, counts, strict=True):
        total = max(1, sum(row))
        cells = "".join(
            f'<td style="background:color-mix(in srgb,var(--accent) {round(60 * value / total)}%,transparent)">{value or ""}</td>'
            for value in row
        )
        if sum(row):
            lines.append(f'<tr><th scope="row">{text(name)}</th>{cells}</tr>')
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in names)
    return f'<div class="wide"><table class="confusion"><thead><tr><th>wanted \\ named</th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def line_chart(title: str, lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], x_name: str) -> str:
    """An SVG of up to two lines that follows the page's colours; empty when there are no two points."""
    lines = [(name, [(float(x), float(y)) for x, y in points]) for name, points in lines if len(points) > 1]
    if not lines:
        return ""
    xs, ys = zip(*[point for _, points in lines for point in points], strict=True)
    (x0, x1), (y0, y1) = (min(xs), max(xs)), (min(ys), max(ys))
    x1, y0, y1 = max(x1, x0 + 1e-9), y0 - 0.05 * (y1 - y0 or 1), y1 + 0.05 * (y1 - y0 or 1)
    left, right, top, bottom = 52, 412, 26, 196

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * (x - x0) / (x1 - x0), bottom - (bottom - top) * (y - y0) / (y1 - y0)

    parts = [
        f'<svg viewBox="0 0 430 232" role="img" aria-label="{text(title)}"><text x="{left}" y="15">{text(title)}</text>'
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = y0 + share * (y1 - y0)
        height = at(x0, y)[1]
        parts.append(
            f'<line class="grid" x1="{left}" x2="{right}" y1="{height:.1f}" y2="{height:.1f}"/><text x="{left - 5}" y="{height + 4:.1f}" text-anchor="end">{y:.3g}</text>'
        )
        x = x0 + share * (x1 - x0)
        parts.append(f'<text x="{at(x, y0)[0]:.1f}" y="{bottom + 15}" text-anchor="middle">{x:.3g}</text>')
    parts.append(f'<text x="{(left + right) / 2}" y="{bottom + 30}" text-anchor="middle">{text(x_name)}</text>')
    for index, (name, points) in enumerate(lines[:2]):
        points = points[:: max(1, len(points) // 400)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))
        kind = "ab"[index]
        parts.append(f'<polyline class="{kind}" points="{path}" fill="none" stroke-width="1.8"/>')
        parts.append(
            f'<text class="t{kind}" x="{right}" y="{top + 12 + 14 * index}" text-anchor="end">{text(name)}</text>'
        )
    return "".join(parts) + "</svg>"
