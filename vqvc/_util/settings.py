"""Frozen dataclasses from YAML: every key is known, has one type and one range, and is named with its line when it is wrong.

A field's annotation defines what it may hold::

    steps: Annotated[int, Range(1, 10**9)] = 1000
    decay: Annotated[float, Range(0, 1, below=True)] = 0.99         # at least 0 and below 1
    optimizer: Literal["adam", "muon"] = "adam"
    strides: tuple[Annotated[int, Range(1, 64)], ...] = (2, 2)

Text is read as YAML 1.2 does: ``no`` is a word, ``060`` and ``1:30`` are not numbers, ``1e-4`` is one.
"""

import dataclasses
import difflib
import math
import re
import reprlib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from vqvc._util import former_names
from vqvc.errors import ConfigError

MOST_ITEMS = 64  # of a list
MOST_DIGITS = 19  # of an integer
MOST_SHOWN = 80  # characters of a wrong value in a message


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``. above: ``low`` itself is not in it; below: ``high`` is not."""

    low: float
    high: float
    above: bool = False
    below: bool = False

    def __contains__(self, value: float) -> bool:
        after = value > self.low if self.above else value >= self.low
        return after and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        if not self.above and not self.below:
            return f"from {self.low:,} to {self.high:,}"
        return f"{'above' if self.above else 'at least'} {self.low:,} and {'below' if self.below else 'at most'} {self.high:,}"


def load(kind: type, path: str | Path, overrides: Sequence[str] = ()):
    """Read a YAML file as the dataclass ``kind`` and apply ``section.key=value`` overrides.

    Raises ConfigError with file, line and key for an unknown, duplicate, wrongly typed or out-of-range key, and for YAML tags.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a YAML file") from None
    try:
        return from_dict(kind, _parse(text) or {}, overrides)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def from_dict(kind: type, raw: object, overrides: Sequence[str] = ()):
    """Build ``kind`` from nested dicts; raises ConfigError for what does not fit."""
    if not isinstance(raw, dict):
        raise ConfigError("the file must hold sections such as 'training:', not a single value or a list")
    merged = _renamed(raw)
    for override in overrides:
        name, equals, value = override.partition("=")
        section, dot, key = former_names.setting(name).partition(".")
        if not equals or not dot:
            raise ConfigError(f"override {override!r}: write it as section.key=value")
        held = merged.get(section)
        if held is not None and not isinstance(held, dict):
            raise ConfigError(f"{section}: must be a section with keys, not {_shown(held)}")
        chosen = _Lines(held or {})
        chosen.lines = {k: line for k, line in getattr(held, "lines", {}).items() if k != key}
        try:
            chosen[key] = _parse(value)
        except ConfigError:
            raise ConfigError(f"override {override!r}: the value is not valid YAML") from None
        merged[section] = chosen
    return _build(kind, merged, "")


def _renamed(raw: dict) -> "_Lines":
    """A copy of nested settings in which keys of earlier versions have the names of this one."""
    result = _Lines(raw)
    result.lines = getattr(raw, "lines", {})
    for old, new in former_names.SETTINGS.items():
        (section, key), (target, name) = old.split("."), new.split(".")
        if not isinstance(result.get(section), dict) or key not in result[section]:
            continue
        if isinstance(result.get(target), dict) and name in result[target]:
            raise ConfigError(f"{old}: is the former name of {new}, which is given too; keep one of them")
        for part in {section, target}:
            held = result.get(part, {})
            if not isinstance(held, dict):
                raise ConfigError(f"{part}: must be a section with keys, not {_shown(held)}")
            result[part] = _Lines(held)
            result[part].lines = dict(getattr(held, "lines", {}))
        result[target][name] = result[section].pop(key)
        if key in result[section].lines:
            result[target].lines[name] = result[section].lines.pop(key)
    return result


def check(settings: object, prefix: str = "") -> None:
    """Raise ConfigError for the first field of a dataclass, or of those in it, that its annotation does not allow."""
    kinds = typing.get_type_hints(type(settings), include_extras=True)
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            check(value, f"{prefix}{field.name}.")
        else:
            _convert(f"{prefix}{field.name}", value, kinds[field.name])


# --- values


def _build(kind: type, raw: object, prefix: str):
    if not isinstance(raw, dict):
        raise ConfigError(f"{prefix.rstrip('.')}: must be a section with keys, not {_shown(raw)}")
    lines = getattr(raw, "lines", {})
    kinds = typing.get_type_hints(kind, include_extras=True)
    values = {}
    for key, value in raw.items():
        where = f"line {lines[key]}: {prefix}{key}" if key in lines else f"{prefix}{key}"
        if key not in kinds:
            near = difflib.get_close_matches(str(key), kinds, n=1)
            raise ConfigError(f"{where}: unknown key" + (f"; did you mean {prefix}{near[0]}?" if near else ""))
        if dataclasses.is_dataclass(kinds[key]):
            values[key] = _build(kinds[key], value, f"{prefix}{key}.")
        else:
            values[key] = _convert(where, value, kinds[key])
    return kind(**values)


def _convert(where: str, value: object, kind: object):
    """``value`` as ``kind``; raises ConfigError with what is allowed."""
    if isinstance(kind, types.GenericAlias):  # tuple[X, ...]
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where}: must be a list, not {_shown(value)}")
        if len(value) > MOST_ITEMS:
            raise ConfigError(f"{where}: must have at most {MOST_ITEMS} items, not {len(value)}")
        return tuple(_convert(where, item, typing.get_args(kind)[0]) for item in value)
    if typing.get_origin(kind) is typing.Literal:
        choices = typing.get_args(kind)
        if isinstance(value, str) and value in choices:
            return value
        raise ConfigError(f"{where}: {_shown(value)} is not one of {', '.join(choices)}")
    allowed = None
    if typing.get_origin(kind) is typing.Annotated:
        kind, allowed = typing.get_args(kind)
    number = _typed(value, kind)
    if number is None or (allowed is not None and number not in allowed):
        noun = {int: "an integer", float: "a number", bool: "true or false", str: "text"}[kind]
        raise ConfigError(f"{where}: must be {noun}{f' {allowed}' if allowed else ''}, not {_shown(value)}")
    return number


def _typed(value: object, kind: type):
    """``value`` as an int, float, bool or str, or None when it is none. An integer will do for a float, and no bool for a number."""
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) else None
    if kind is int and isinstance(value, bool):
        return None
    return value if isinstance(value, kind) else None


def _shown(value: object) -> str:
    """A value in a message: short, whatever it is."""
    text = reprlib.repr(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]} ..."


# --- YAML


class _Lines(dict):
    """A dict that knows on which line of the file each key stood."""

    def __init__(self, *args):
        super().__init__(*args)
        self.lines: dict = {}


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2 that refuses duplicate keys and remembers the line of each."""

    yaml_implicit_resolvers: typing.ClassVar[dict] = {}

    def mapping(self, node: yaml.MappingNode) -> dict:
        """A mapping and the lines of its keys."""
        result = _Lines()
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ConfigError(f"line {line}: a key must be a name, not {_shown(key)}")
            if key in result:
                raise ConfigError(f"line {line}: {key}: given twice")
            result[key] = self.construct_object(value_node, deep=True)
            result.lines[key] = line
        return result

    def integer(self, node: yaml.ScalarNode) -> int:
        """An integer of so many digits at most."""
        if len(node.value) > MOST_DIGITS:
            raise ConfigError(f"line {node.start_mark.line + 1}: {_shown(node.value)} is too large a number")
        return int(node.value)

    def real(self, node: yaml.ScalarNode) -> float:
        """A float as in 0.1, .5, 1e-4, .inf and .nan."""
        return float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", node.value.lower()))


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _Loader.mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _Loader.real)
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
     "-+.0123456789"),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def _parse(text: str) -> object:
    """The value of a YAML text; raises ConfigError with its line."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{where}{getattr(error, 'problem', None) or 'is not YAML text'}") from None
    except RecursionError:
        raise ConfigError("is nested too deeply for a file of settings") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"is not YAML of settings ({error})") from None
