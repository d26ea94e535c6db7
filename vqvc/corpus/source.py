"""What every corpus comes to when it is read: utterances, speakers, and a word on all that is not used."""

import os
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vqvc._util import log, textfile
from vqvc.audio.folder import Found
from vqvc.corpus.store import Speaker
from vqvc.corpus.store_writer import LeftOut
from vqvc.errors import UsageError

__all__ = ["Item", "LeftOut", "Source", "Speaker", "clean_text", "gender_of", "name_problem"]
FOREIGN, OUTSIDE = "sound of a format that cannot be read", "recording outside the layout"  # reasons


@dataclass(frozen=True)
class Item:
    """One utterance of a corpus on disk."""

    utt_id: str
    speaker: str
    path: Path  # of the recording
    text: str = ""  # empty when unknown
    start_s: float | None = None  # within the recording; None for the whole of it
    end_s: float | None = None
    recording_id: str = ""  # name of the recording when it holds several utterances
    origin: str = ""  # the line it comes from, as "segments:12"


@dataclass
class Source:
    """A corpus as read."""

    path: Path
    kind: str  # name of the layout
    release: str = ""  # of VCTK
    mic: str = ""  # of VCTK 0.92
    items: list[Item] = field(default_factory=list)
    speakers: dict[str, Speaker] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # known faults of the release, each counted

    def add(self, utt_id: str, speaker: str, path: Path, text: str) -> None:
        """One utterance, unless its path cannot stand in wav.scp; ``leave_out_rest`` lists that one."""
        if not name_problem(path):
            self.items.append(Item(utt_id, speaker, path, text))

    def leave_out_texts(self, utt_ids: Iterable[str], where: str) -> None:
        """List transcripts that no recording has, with the file in which they stand."""
        self.left_out += [LeftOut(utt_id, "transcript without audio", where) for utt_id in sorted(utt_ids)]

    def leave_out_rest(self, found: Found, used: Collection[Path] | None = None) -> None:
        """List the recordings that are not ``used`` (not of ``items`` when None), and those that cannot be read with their remedy."""
        used = {item.path for item in self.items} if used is None else used
        for path in sorted(set(found.recordings) - set(used), key=os.fsencode):
            problem = name_problem(path)
            reason = "file name cannot be listed" if problem else OUTSIDE
            self.left_out.append(LeftOut(self._relative(path), reason, problem or printable(path)))
        for path, remedy in zip(found.foreign, found.remedies(), strict=True):
            self.left_out.append(LeftOut(self._relative(path), FOREIGN, printable(remedy)))

    def _relative(self, path: Path) -> str:
        return "_".join(printable(path.relative_to(self.path) if path.is_relative_to(self.path) else path).split())


def clean_text(text: str) -> str:
    """One line, single spaces, no byte order mark."""
    return " ".join(text.replace("\ufeff", "").split())


def read_text_file(path: Path) -> str:
    """The transcript in a file; old releases hold a few in Windows-1252."""
    return clean_text(textfile.read(path, fallback="cp1252"))


def gender_of(word: str) -> str:
    """``f``, ``m`` or nothing, from however a corpus writes it."""
    return {"f": "f", "female": "f", "m": "m", "male": "m"}.get(word.strip().lower(), "")


def name_problem(path: Path) -> str:
    """Why a path cannot stand in wav.scp, or nothing."""
    text = str(path)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "the file name is not UTF-8"
    if "\n" in text or "\r" in text:
        return "the file name holds a line break"
    if text != text.strip() or text.endswith("|"):
        return "the file name begins or ends with a space, or ends with a pipe sign"
    return ""


def require_directory(path: Path) -> None:
    """Raise UsageError unless ``path`` is a directory."""
    if not path.is_dir():
        raise UsageError(f"{path}: no such directory; give the folder of a corpus, or a Kaldi data directory")


def subfolders(path: Path) -> list[Path]:
    """The folders in a folder, hidden ones left out, in order of name."""
    if not path.is_dir():
        return []
    return sorted(entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def find_root(source: Path, is_root: Callable[[Path], bool]) -> Path | None:
    """The first of ``source`` and the folders in it that ``is_root``; None when none is."""
    return next((folder for folder in (source, *subfolders(source)) if is_root(folder)), None)


def require_root(source: Path, root: Path | None, corpus: str, picture: str) -> Path:
    """``root``, the folder where a layout was found; raises UsageError, with a picture of the layout, where it was not."""
    if root is None:
        raise UsageError(f"{source}: is not laid out as {corpus} ({picture})")
    return root


def printable(text: object) -> str:
    """A name for lists: control characters escaped, bytes that are not UTF-8 as question marks."""
    return log.printable(str(text).encode(errors="replace").decode())
