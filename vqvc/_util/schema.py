"""What a JSON file should look like, as small functions that check a value and name the place where it differs.

A check takes a value and its place, and raises ``Mismatch`` ("figures.test.codes.value: should be a number, not 'x'").
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path

from vqvc.errors import VqvcError

Check = Callable[[object, str], None]
LONGEST_SHOWN = 40  # characters of a wrong value in a message


class Mismatch(ValueError):
    """A value of the wrong type or range; the message names its place."""


def _refuse(value: object, where: str, wants: str) -> None:
    try:
        shown = repr(value)
    except ValueError:  # a number of more digits than Python prints
        shown = type(value).__name__
    if len(shown) > LONGEST_SHOWN:
        shown = f"{shown[:LONGEST_SHOWN]}..."
    raise Mismatch(f"{where or 'the file'}: should be {wants}, not {shown}")


def text(value: object, where: str) -> None:
    """Text."""
    if not isinstance(value, str):
        _refuse(value, where, "text")


def number(value: object, where: str) -> None:
    """A finite number."""
    try:
        good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(float(value))
    except OverflowError:
        good = False
    if not good:
        _refuse(value, where, "a number")


def whole(value: object, where: str) -> None:
    """A whole number from 0 to 2**31."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 1 << 31:
        _refuse(value, where, "a whole number")


def boolean(value: object, where: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        _refuse(value, where, "true or false")


def anything(value: object, where: str) -> None:
    """No demands."""


def optional(check: Check) -> Check:
    """Null, or what ``check`` wants."""
    return lambda value, where: None if value is None else check(value, where)


def many(check: Check) -> Check:
    """A list of what ``check`` wants."""

    def checked(value: object, where: str) -> None:
        if not isinstance(value, list):
            _refuse(value, where, "a list")
        for place, item in enumerate(value):
            check(item, f"{where}[{place}]")

    return checked


def row(*checks: Check) -> Check:
    """A list with one item for each of ``checks``."""

    def checked(value: object, where: str) -> None:
        if not isinstance(value, list) or len(value) != len(checks):
            _refuse(value, where, f"a list of {len(checks)}")
        for place, (item, check) in enumerate(zip(value, checks)):
            check(item, f"{where}[{place}]")

    return checked


def mapping(check: Check) -> Check:
    """A section whose values are what ``check`` wants, whatever their names."""

    def checked(value: object, where: str) -> None:
        if not isinstance(value, dict):
            _refuse(value, where, "a section")
        for name, item in value.items():
            check(item, f"{where}.{name}" if where else name)

    return checked


def record(required: Mapping[str, Check], more: Mapping[str, Check] | None = None) -> Check:
    """A section with these keys, and perhaps those in ``more``; other keys may hold anything."""

    def checked(value: object, where: str) -> None:
        if not isinstance(value, dict):
            _refuse(value, where, "a section")
        prefix = f"{where}." if where else ""
        for name, check in required.items():
            if name not in value:
                raise Mismatch(f"{prefix}{name}: is missing")
            check(value[name], prefix + name)
        for name, check in (more or {}).items():
            if name in value:
                check(value[name], prefix + name)

    return checked


def read_json(path: str | Path, check: Check, remedy: str) -> dict | None:
    """The JSON file at ``path``, as ``check`` wants it; None when there is none.

    Raises VqvcError with path, place and ``remedy`` for a file that is damaged or holds something else.
    """
    path = Path(path)
    try:
        value = json.loads(path.read_bytes().decode("utf-8"), parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # halves of characters cannot be written again
        check(value, "")
    except FileNotFoundError:
        return None
    except Mismatch as error:
        raise VqvcError(f"{path}: {error}; {remedy}") from None
    except (ValueError, RecursionError):
        raise VqvcError(f"{path}: is not valid JSON; {remedy}") from None
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
