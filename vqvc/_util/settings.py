"""Frozen dataclasses from YAML: every key is known, has one type and one range, and is named with its line when it is wrong.

A field's annotation defines what it may hold::

    steps: Annotated[int, Range(1, 10**9)] = 1000
    decay: Annotated[float, Range(0, 1, below=True)] = 0.99         # at least 0 and below 1
    optimizer: Literal["adam", "muon"] = "adam"
    strides: tuple[Annotated[int, Range(1, 64)], ...] = (2, 2)

Text is read as YAML 1.2 does: ``no`` is a word, ``060`` and ``1:30`` are not numbers, ``1e-4`` is one. A file may begin with
``base: small.yaml``, a path relative to the file, or ``base: small``, the name of a shipped configuration: it then holds only
what differs.
"""

import dataclasses
import difflib
import json
import math
import os
import re
import reprlib
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from vqvc._util import configurations, former_names, textfile
from vqvc.errors import ConfigError

MOST_ITEMS = 64  # of a list
MOST_DIGITS = 19  # of an integer
MOST_SHOWN = 80  # characters of a wrong value in a message
MOST_BASES = 16  # files based on each other


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
    """Read a YAML file, over the file or shipped configuration that its key ``base`` names, as the dataclass ``kind``, and
    apply ``section.key=value`` overrides.

    Raises ConfigError with file, line and key for an unknown, duplicate, wrongly typed or out-of-range key, for YAML tags, and
    for a base that is missing or leads back to the file itself.
    """
    return from_dict(kind, _read(Path(path)), overrides)


def from_dict(kind: type, raw: object, overrides: Sequence[str] = ()):
    """Build ``kind`` from nested dicts; raises ConfigError for what does not fit."""
    if not isinstance(raw, dict):
        raise ConfigError("settings must hold sections such as 'training:', not a single value or a list")
    merged = _renamed(raw)
    for override in overrides:
        name, equals, value = override.partition("=")
        section, dot, key = former_names.setting(name).partition(".")
        if not equals or not dot:
            raise ConfigError(f"override {override!r}: write it as section.key=value")
        held = merged.get(section)
        if held is not None and not isinstance(held, dict):
            raise ConfigError(f"{merged.place(section)}{section}: must be a section with keys, not {_shown(held)}")
        chosen = _Lines.copy(held or {})
        chosen.lines.pop(key, None)
        chosen.file = merged.file
        try:
            chosen[key] = _parse(value)
        except ConfigError:
            raise ConfigError(f"override {override!r}: the value is not valid YAML") from None
        merged[section] = chosen
    return _build(kind, merged, "")


def to_yaml(settings: dict) -> str:
    """Nested settings (``Config.to_dict()``) as a YAML text that ``load`` reads: sections of one key a line."""
    lines = []
    for section, values in settings.items():
        lines += ["", f"{section}:"]
        lines += [f"  {key}: {value if isinstance(value, str) else json.dumps(value)}" for key, value in values.items()]
    return "\n".join(lines[1:]) + "\n"


def _read(path: Path, above: tuple[Path, ...] = ()) -> "_Lines":
    """The settings in a YAML file and in its bases, each key with its file and line. ``above``: the files based on this one."""
    try:
        text = textfile.read(path, error=ConfigError)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a YAML file") from None
    raw = _parse(text, path)
    if raw is None:
        raw = _Lines()
        raw.file = str(path)
    if not isinstance(raw, _Lines):
        raise ConfigError(f"{path}: the file must hold sections such as 'training:', not a single value or a list")
    own = _renamed(raw)
    if "base" not in own:
        return own
    place, base = own.place("base"), own.pop("base")
    if not isinstance(base, str) or not base:
        raise ConfigError(f"{place}base: must be a YAML file or the name of a configuration, not {_shown(base)}")
    try:
        found = configurations.find(base, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{place}base: {error}") from None
    if not found.is_file():
        raise ConfigError(f"{place}base: {found}: no such file; paths are relative to the file that names them")
    family = (*above, path.resolve())
    if found.resolve() in family:
        raise ConfigError(f"{place}base: {base} leads back to {found}; a configuration cannot be based on itself")
    if len(family) > MOST_BASES:
        raise ConfigError(f"{place}base: more than {MOST_BASES} configurations based on each other")
    return _over(_read(found, family), own)


def _over(base: "_Lines", own: "_Lines") -> "_Lines":
    """The keys of ``own``, and those of ``base`` that it lacks."""
    result = _Lines.copy(base)
    result.file = own.file
    for key, value in own.items():
        held = result.get(key)
        result[key] = _over(held, value) if isinstance(held, _Lines) and isinstance(value, _Lines) else value
        result.lines[key] = own.lines[key]
    return result


def _renamed(raw: dict) -> "_Lines":
    """A copy of nested settings in which keys of earlier versions have the names of this one."""
    result = _Lines.copy(raw)
    for old, new in former_names.SETTINGS.items():
        (section, key), (target, name) = old.split("."), new.split(".")
        if not isinstance(result.get(section), dict) or key not in result[section]:
            continue
        place = _Lines.copy(result[section]).place(key)
        if isinstance(result.get(target), dict) and name in result[target]:
            raise ConfigError(f"{place}{old}: is the former name of {new}, which is given too; keep one of them")
        for part in {section, target}:
            held = result.get(part, {})
            if not isinstance(held, dict):
                raise ConfigError(f"{result.place(part)}{part}: must be a section with keys, not {_shown(held)}")
            result[part] = _Lines.copy(held)
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


def _build(kind: type, raw: object, prefix: str, place: str = ""):
    """``raw`` as the dataclass ``kind``. ``prefix``: names of the sections around it; ``place``: its file and line."""
    if not isinstance(raw, dict):
        raise ConfigError(f"{place}{prefix.rstrip('.')}: must be a section with keys, not {_shown(raw)}")
    raw = _Lines.copy(raw)
    kinds = typing.get_type_hints(kind, include_extras=True)
    values = {}
    for key, value in raw.items():
        where = f"{raw.place(key)}{prefix}{key}"
        if key not in kinds:
            near = difflib.get_close_matches(str(key), kinds, n=1)
            raise ConfigError(f"{where}: unknown key" + (f"; did you mean {prefix}{near[0]}?" if near else ""))
        if dataclasses.is_dataclass(kinds[key]):
            values[key] = _build(kinds[key], value, f"{prefix}{key}.", raw.place(key))
        else:
            values[key] = _convert(where, value, kinds[key])
    try:
        return kind(**values)
    except ConfigError as error:  # settings that do not go together; the sentence begins with one of them
        section, _, key = str(error).partition(":")[0].partition(".")
        part = raw.get(section)
        raise ConfigError(f"{(part if isinstance(part, _Lines) else raw).place(key)}{error}") from None


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
    """A dict that knows in which file and on which line each key stood."""

    def __init__(self, *args):
        super().__init__(*args)
        self.lines: dict[str, str] = {}  # of a key: "model.yaml: line 3"
        self.file = ""  # where keys without a line belong

    @classmethod
    def copy(cls, other: dict) -> "_Lines":
        """The keys of any dict, and their lines where it knows them."""
        result = cls(other)
        result.lines, result.file = dict(getattr(other, "lines", {})), getattr(other, "file", "")
        return result

    def place(self, key: str) -> str:
        """Where ``key`` stood, as the beginning of an error message; empty when it came from no file."""
        place = self.lines.get(key, self.file)
        return f"{place}: " if place else ""


class _Loader(yaml.SafeLoader):
    """SafeLoader with the scalars of YAML 1.2 that refuses duplicate keys and remembers the line of each."""

    yaml_implicit_resolvers: typing.ClassVar[dict] = {}

    def mapping(self, node: yaml.MappingNode) -> dict:
        """A mapping and the lines of its keys."""
        result = _Lines()
        result.file = node.start_mark.name
        for key_node, value_node in node.value:
            line = _place(key_node.start_mark)
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise ConfigError(f"{line}: a key must be a name, not {_shown(key)}")
            if key in result:
                raise ConfigError(f"{line}: {key}: given twice")
            result[key] = self.construct_object(value_node, deep=True)
            result.lines[key] = line
        return result

    def integer(self, node: yaml.ScalarNode) -> int:
        """An integer of so many digits at most."""
        if len(node.value) > MOST_DIGITS:
            raise ConfigError(f"{_place(node.start_mark)}: {_shown(node.value)} is too large a number")
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


def _place(mark: yaml.Mark) -> str:
    """File and line of a mark: ``model.yaml: line 3``."""
    return f"{mark.name}: line {mark.line + 1}" if mark.name else f"line {mark.line + 1}"


def _parse(text: str, path: str | Path = "") -> object:
    """The value of a YAML text; raises ConfigError with ``path`` and line."""
    name = f"{path}: " if path else ""
    try:
        loader = _Loader(text)
        loader.name = os.fspath(path)  # which the marks of its nodes carry
        return loader.get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{name}line {mark.line + 1}: " if mark else name
        raise ConfigError(f"{where}{getattr(error, 'problem', None) or 'is not YAML text'}") from None
    except RecursionError:
        raise ConfigError(f"{name}is nested too deeply for a file of settings") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise ConfigError(f"{name}is not YAML of settings ({error})") from None
