"""The recordings of a folder: all that can be read, and by name what cannot."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from vqvc.audio.formats import FOREIGN_SUFFIXES, READABLE_SUFFIXES, remedy


@dataclass(frozen=True)
class Found:
    """What lies in a folder and the folders below it, in order of name."""

    recordings: list[Path] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)  # sound that libsndfile does not read
    replaced: list[Path] = field(default_factory=list)  # the same, with a readable file of the same stem beside it

    def remedies(self) -> list[str]:
        """A sentence for each foreign recording."""
        return [f"{path}: {path.suffix} cannot be read; convert it first: {remedy(path)}" for path in self.foreign]


def recordings_in(folder: str | Path, leave_out: Collection[Path] = ()) -> Found:
    """The recordings below ``folder``. Links to folders are followed, each real folder once.

    Hidden files and folders (a leading dot: what macOS and unfinished writes leave behind) are no recordings; neither
    are those below the folders ``leave_out``.
    """
    seen = {_identity(path) for path in leave_out if os.path.isdir(path)}
    found = Found()
    _walk(Path(folder), seen, found)
    for paths in (found.recordings, found.foreign, found.replaced):
        paths.sort(key=os.fsencode)
    return found


def _walk(folder: Path, seen: set[tuple[int, int]], found: Found) -> None:
    here = _identity(folder)
    if here in seen:
        return
    seen.add(here)
    with os.scandir(folder) as listing:  # real folders before links, so that a file goes by its own path
        entries = sorted(listing, key=lambda entry: (entry.is_symlink(), os.fsencode(entry.name)))
    readable = {Path(entry.name).stem for entry in entries if _has_suffix(entry, READABLE_SUFFIXES)}
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            _walk(folder / entry.name, seen, found)
        elif _has_suffix(entry, READABLE_SUFFIXES):
            found.recordings.append(folder / entry.name)
        elif _has_suffix(entry, FOREIGN_SUFFIXES):
            stands_in = Path(entry.name).stem in readable
            (found.replaced if stands_in else found.foreign).append(folder / entry.name)


def _has_suffix(entry: os.DirEntry, suffixes: tuple[str, ...]) -> bool:
    return entry.name.lower().endswith(suffixes) and not entry.name.startswith(".") and entry.is_file()


def _identity(folder: Path) -> tuple[int, int]:
    facts = os.stat(folder)
    return facts.st_dev, facts.st_ino
