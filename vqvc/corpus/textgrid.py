"""Praat TextGrids: long and short text form, UTF-8 or UTF-16, read and written.

Praat's rule makes both forms one: in the file only numbers and strings in quotes that stand free count, and flags
such as <exists>; everything else (``xmin =``, ``intervals [1]:``) is decoration, and ``!`` begins a comment.
Gaps between intervals are kept as they are; intervals that overlap, run backwards or leave their tier are errors.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vqvc._util import atomic, textfile
from vqvc.errors import CorpusError, VqvcError

TOLERANCE_S = 1e-6  # boundaries nearer than this are equal
_TOKEN = re.compile(r'"(?:[^"]|"")*"|!.*|[^\s"]+')
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$")
_FLAG = re.compile(r"<\w+>$")


@dataclass(frozen=True)
class Interval:
    """A stretch of time with its label."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Point:
    """A moment with its label."""

    time_s: float
    text: str


@dataclass(frozen=True)
class Tier:
    """Intervals (an IntervalTier) or points (a TextTier), in order of time."""

    name: str
    start_s: float
    end_s: float
    items: tuple[Interval, ...] | tuple[Point, ...] = ()
    points: bool = False  # True for a TextTier


@dataclass(frozen=True)
class TextGrid:
    """A file: tiers over one stretch of time."""

    start_s: float
    end_s: float
    tiers: tuple[Tier, ...] = ()

    def tier(self, *names: str) -> Tier:
        """The first interval tier of one of these names (in any case), else the only one; CorpusError when neither."""
        tiers = [tier for tier in self.tiers if not tier.points]
        for name in names:
            for tier in tiers:
                if tier.name.strip().lower() == name.lower():
                    return tier
        if len(tiers) == 1:
            return tiers[0]
        found = ", ".join(repr(tier.name) for tier in tiers) or "none"
        raise CorpusError(f"no tier named {' or '.join(names)}; interval tiers here: {found}")


def read(path: str | Path) -> TextGrid:
    """Read a TextGrid; raises CorpusError with the path and the line."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file") from None
    try:
        return parse(decode(data))
    except CorpusError as error:
        raise CorpusError(f"{path}:{error}") from None


def decode(data: bytes) -> str:
    """Bytes of a TextGrid as text; raises CorpusError beginning with the line number."""
    if data.startswith(b"ooBinaryFile"):
        raise CorpusError("1: a binary TextGrid; save it from Praat as a text file")
    try:
        return textfile.decode(data)
    except VqvcError as error:
        raise CorpusError(str(error)) from None


class _Tokens:
    """The free-standing strings, numbers and flags of a file, each with its line."""

    def __init__(self, text: str):
        self.line = 1
        self._tokens = self._scan(text.replace("\r\n", "\n").replace("\r", "\n"))

    def _scan(self, text: str) -> Iterator[tuple[str, int]]:
        line, position = 1, 0
        for match in _TOKEN.finditer(text):
            line += text.count("\n", position, match.start())
            position = match.start()
            token = match.group()
            if token[0] == '"' or _NUMBER.match(token) or _FLAG.match(token):
                yield token, line
        self.line = line
        yield "", line  # the end

    def _next(self, wanted: str) -> str:
        token, self.line = next(self._tokens, ("", self.line))
        if not token:
            raise CorpusError(f"{self.line}: the file ends where {wanted} should be")
        return token

    def string(self, wanted: str) -> str:
        token = self._next(wanted)
        if token[0] != '"':
            raise CorpusError(f"{self.line}: {token} where {wanted} should be")
        return token[1:-1].replace('""', '"')

    def number(self, wanted: str) -> float:
        token = self._next(wanted)
        if not _NUMBER.match(token):
            raise CorpusError(f"{self.line}: {token} where {wanted} should be")
        return float(token)

    def count(self, wanted: str) -> int:
        value = self.number(wanted)
        if value != int(value) or value < 0:
            raise CorpusError(f"{self.line}: {value} where {wanted} should be")
        return int(value)

    def flag(self) -> str:
        return self._next("<exists> or <absent>")


def parse(text: str) -> TextGrid:
    """The TextGrid in a text; raises CorpusError beginning with the line number."""
    tokens = _Tokens(text)
    if not tokens.string('"ooTextFile"').startswith("ooTextFile") or tokens.string('"TextGrid"') != "TextGrid":
        raise CorpusError(f'{tokens.line}: not a TextGrid (it should begin with "ooTextFile" and "TextGrid")')
    start_s, end_s = _span(tokens, "the file")
    flag = tokens.flag()
    if flag == "<absent>":
        return TextGrid(start_s, end_s)
    if flag != "<exists>":
        raise CorpusError(f"{tokens.line}: {flag} where <exists> or <absent> should be")
    size = tokens.count("the number of tiers")
    return TextGrid(start_s, end_s, tuple(_tier(tokens) for _ in range(size)))


def _span(tokens: _Tokens, what: str) -> tuple[float, float]:
    start_s, end_s = tokens.number(f"the start of {what}"), tokens.number(f"the end of {what}")
    if end_s < start_s:
        raise CorpusError(f"{tokens.line}: {what} ends ({end_s:g} s) before it starts ({start_s:g} s)")
    return start_s, end_s


def _tier(tokens: _Tokens) -> Tier:
    kind = tokens.string("the class of a tier")
    if kind not in ("IntervalTier", "TextTier"):
        raise CorpusError(f"{tokens.line}: a tier of class {kind!r}; IntervalTier and TextTier are known")
    name = tokens.string("the name of a tier")
    start_s, end_s = _span(tokens, f"tier {name!r}")
    size = tokens.count(f"the size of tier {name!r}")
    items: list = []
    for _ in range(size):
        item = _interval(tokens) if kind == "IntervalTier" else Point(tokens.number("a time"), tokens.string("a label"))
        first = item.start_s if kind == "IntervalTier" else item.time_s
        last = item.end_s if kind == "IntervalTier" else item.time_s
        before = (items[-1].end_s if kind == "IntervalTier" else items[-1].time_s) if items else start_s
        if first < before - TOLERANCE_S:
            what = (
                f"overlaps the one before, which ends at {before:g} s"
                if items
                else f"begins before its tier, at {start_s:g} s"
            )
            raise CorpusError(f"{tokens.line}: {item.text!r} at {first:g} s {what}")
        if last > end_s + TOLERANCE_S:
            raise CorpusError(f"{tokens.line}: {item.text!r} ends at {last:g} s, after its tier, at {end_s:g} s")
        items.append(item)
    return Tier(name, start_s, end_s, tuple(items), kind == "TextTier")


def _interval(tokens: _Tokens) -> Interval:
    start_s, end_s = _span(tokens, "an interval")
    return Interval(start_s, end_s, tokens.string("a label"))


def format_long(grid: TextGrid) -> str:
    """The long text form."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", *_long_span(grid, "")]
    lines += ["tiers? <exists>", f"size = {len(grid.tiers)}", "item []:"]
    for number, tier in enumerate(grid.tiers, 1):
        kind, items = ("TextTier", "points") if tier.points else ("IntervalTier", "intervals")
        lines += [f"    item [{number}]:", f'        class = "{kind}"', f"        name = {_quote(tier.name)}"]
        lines += [*_long_span(tier, " " * 8), f"        {items}: size = {len(tier.items)}"]
        for place, item in enumerate(tier.items, 1):
            lines.append(f"        {items} [{place}]:")
            if tier.points:
                lines += [f"            number = {_number(item.time_s)}", f"            mark = {_quote(item.text)}"]
            else:
                lines += [*_long_span(item, " " * 12), f"            text = {_quote(item.text)}"]
    return "\n".join(lines) + "\n"


def write(path: str | Path, grid: TextGrid) -> None:
    """Write the long form as UTF-8, atomically."""
    atomic.write_text(path, format_long(grid))


def _long_span(thing: TextGrid | Tier | Interval, indent: str) -> list[str]:
    return [f"{indent}xmin = {_number(thing.start_s)}", f"{indent}xmax = {_number(thing.end_s)}"]


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _number(value: float) -> str:
    return repr(float(value))
