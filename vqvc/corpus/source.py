"""What every corpus comes to when it is read: utterances, speakers, and a word on all that is not used."""

from dataclasses import dataclass, field
from pathlib import Path

from vqvc.corpus.store import Speaker
from vqvc.corpus.store_writer import LeftOut
from vqvc.errors import UsageError

__all__ = ["Item", "LeftOut", "Source", "Speaker", "clean_text", "gender_of", "name_problem"]

AUDIO_SUFFIXES = (
    ".wav",
    ".flac",
    ".ogg",
    ".opus",
    ".mp3",
    ".aiff",
    ".aif",
    ".au",
    ".w64",
    ".rf64",
    ".caf",
    ".nist",
    ".sph",
)


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
    origin: str = ""  # the line that says so, as "segments:12"


@dataclass
class Source:
    """A corpus as read."""

    path: Path
    kind: str  # vctk, kaldi or folders
    release: str = ""  # of VCTK
    mic: str = ""  # of VCTK 0.92
    items: list[Item] = field(default_factory=list)
    speakers: dict[str, Speaker] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # known faults of the release, each counted


def clean_text(text: str) -> str:
    """One line, single spaces, no byte order mark."""
    return " ".join(text.replace("\ufeff", "").split())


def read_text_file(path: Path) -> str:
    """The transcript in a file; old releases hold a few in Windows-1252."""
    data = path.read_bytes()
    try:
        return clean_text(data.decode("utf-8"))
    except UnicodeDecodeError:
        return clean_text(data.decode("cp1252", errors="replace"))


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
        raise UsageError(f"{path}: no such directory; --source names the corpus")
