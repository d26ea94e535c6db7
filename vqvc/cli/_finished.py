"""Which outputs of a batch are done, so that one that was stopped goes on where it was.

Each folder of outputs has a hidden list: a line for every output that was written, with its checksum, put there before the
output takes its name. An output is finished when its line is there, its settings and its source are those of now, and the
file is as it was written.
"""

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path

from vqvc._util.checksum import sha256_of_file

LIST = ".vqvc-convert.jsonl"

logger = logging.getLogger("vqvc.convert")


class Finished:
    """The lists of all folders that a batch writes into. settings: what the outputs depend on beside their sources."""

    def __init__(self, settings: Mapping[str, object]):
        self.settings = dict(settings)
        self._lines: dict[Path, dict[str, dict]] = {}

    def has(self, out: Path, source: Path, **more: object) -> bool:
        """Whether ``out`` is what this batch would make of ``source``; more: further settings, of this output alone."""
        line = self._list(out.parent).get(os.fsencode(out.name).hex())
        if line is None or not out.is_file() or line.get("made") != self._key(more):
            return False
        return line.get("source") == sha256_of_file(source) and line.get("output") == sha256_of_file(out)

    def add(self, partial: Path, out: Path, source: Path, **more: object) -> None:
        """Note that ``partial`` holds all of ``out``; called before it takes that name."""
        line = {
            "name": os.fsencode(out.name).hex(), "shown": out.name.encode(errors="replace").decode(), "made": self._key(more),
            "source": sha256_of_file(source), "output": sha256_of_file(partial),
        }  # fmt: skip
        self._list(out.parent)[line["name"]] = line
        with open(out.parent / LIST, "ab") as file:  # a line that a kill cut is closed first: readers pass it over
            file.write(b"\n" + json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _key(self, more: Mapping[str, object]) -> str:
        return hashlib.sha256(json.dumps(self.settings | dict(more), sort_keys=True, default=str).encode()).hexdigest()

    def _list(self, folder: Path) -> dict[str, dict]:
        if folder not in self._lines:
            self._lines[folder] = _read(folder / LIST)
        return self._lines[folder]


def _read(path: Path) -> dict[str, dict]:
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return {}
    lines = {}
    for line in text.splitlines():
        try:
            value = json.loads(line)
        except ValueError:
            continue
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            lines[value["name"]] = value
    return lines
