"""Line charts of the page: where their lines and ticks lie. ``parts.html`` draws them as SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

SHARES = (0, 0.25, 0.5, 0.75, 1)  # of the axes, at which ticks stand
MOST_POINTS = 400


@dataclass(frozen=True)
class Tick:
    """A mark on an axis; text_place: of its label, where that differs."""

    place: str
    text: str
    text_place: str = ""


@dataclass(frozen=True)
class Line:
    """points: "x,y" pairs in the chart's units."""

    name: str
    points: str


@dataclass(frozen=True)
class Chart:
    """A chart of up to two lines, 430 by 232 units; it lies between left and right, top and bottom."""

    title: str
    x_name: str
    lines: tuple[Line, ...]
    rows: tuple[Tick, ...]
    columns: tuple[Tick, ...]
    left: int = 52
    right: int = 412
    top: int = 26
    bottom: int = 196


def line_chart(title: str, lines: Sequence[tuple[str, Sequence[tuple[float, float]]]], x_name: str) -> Chart | None:
    """A chart of lines (name, points); None where there are no two points."""
    drawn = [(name, [(float(x), float(y)) for x, y in points]) for name, points in lines if len(points) > 1]
    if not drawn:
        return None
    xs, ys = zip(*[point for _, points in drawn for point in points], strict=True)
    (x0, x1), (y0, y1) = (min(xs), max(xs)), (min(ys), max(ys))
    x1, y0, y1 = max(x1, x0 + 1e-9), y0 - 0.05 * (y1 - y0 or 1), y1 + 0.05 * (y1 - y0 or 1)
    left, right, top, bottom = Chart.left, Chart.right, Chart.top, Chart.bottom

    def at(x: float, y: float) -> tuple[float, float]:
        return left + (right - left) * (x - x0) / (x1 - x0), bottom - (bottom - top) * (y - y0) / (y1 - y0)

    rows, columns = [], []
    for share in SHARES:
        x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
        height = at(x0, y)[1]
        rows.append(Tick(f"{height:.1f}", f"{y:.3g}", f"{height + 4:.1f}"))
        columns.append(Tick(f"{at(x, y0)[0]:.1f}", f"{x:.3g}"))
    made = []
    for name, points in drawn[:2]:
        points = points[:: max(1, len(points) // MOST_POINTS)]
        made.append(Line(name, " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*point) for point in points))))
    return Chart(title, x_name, tuple(made), tuple(rows), tuple(columns))
