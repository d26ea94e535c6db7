"""Which sound files can be read and written: suffixes, libsndfile's formats, and what to do about the others."""

import io
import shlex
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from vqvc.errors import UsageError

# What libsndfile reads; the list of all commands that look for recordings in folders.
READABLE_SUFFIXES = (
    ".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aiff", ".aif", ".aifc", ".au", ".snd", ".w64",
    ".rf64", ".caf", ".nist", ".sph", ".voc", ".avr", ".pvf", ".paf", ".svx", ".8svx", ".ircam", ".sf", ".wve",
)  # fmt: skip
# Sound that libsndfile does not read: phones, telephone systems, chats and video.
FOREIGN_SUFFIXES = (
    ".m4a", ".m4b", ".m4r", ".mp4", ".m4v", ".mov", ".aac", ".webm", ".weba", ".mkv", ".mka", ".wma", ".wmv", ".asf", ".amr",
    ".awb", ".3gp", ".3gpp", ".3ga", ".3g2", ".ac3", ".ape", ".wv", ".tta", ".mpc", ".spx", ".shn", ".ra", ".rm", ".avi",
    ".flv", ".mpg", ".mpeg", ".dts", ".qcp", ".dss", ".slk", ".silk", ".g722", ".g729", ".gsm", ".sln",
)  # fmt: skip
FOREIGN_BEGINNINGS = ((4, b"ftyp"), (0, b"\x1aE\xdf\xa3"), (0, b"#!AMR"), (0, b"0&\xb2u"), (0, b"\x02#!SILK"))
ALIASES = {"OPUS": ("OGG", "OPUS"), "OGA": ("OGG", None), "AIF": ("AIFF", None), "AIFC": ("AIFF", None), "WAVE": ("WAV", None),
           "SND": ("AU", None), "SPH": ("NIST", None), "8SVX": ("SVX", None), "SF": ("IRCAM", None)}  # fmt: skip
UNWRITABLE = {"SD2"}  # half of it would lie in a second file
COMMON_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)


@dataclass(frozen=True)
class Format:
    """What a sound file is written as: libsndfile's names."""

    kind: str  # "WAV"
    subtype: str  # "PCM_16"

    @property
    def is_float(self) -> bool:
        """Whether samples above full scale are kept."""
        return self.subtype in ("FLOAT", "DOUBLE")


def remedy(path: str | Path) -> str:
    """The command that makes a readable file of ``path``."""
    path = Path(path)
    name, target = str(path), str(path.with_suffix(".wav"))
    if target == name:
        target = str(path.with_suffix(".new.wav"))
    name = f"./{name}" if name.startswith("-") else name
    target = f"./{target}" if target.startswith("-") else target
    return f"ffmpeg -i {shlex.quote(name)} {shlex.quote(target)}"


def is_foreign(path: str | Path) -> bool:
    """Whether the file is sound or video of a kind that libsndfile does not read, by its suffix or its first bytes."""
    if Path(path).suffix.lower() in FOREIGN_SUFFIXES:
        return True
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return any(head[at:].startswith(magic) for at, magic in FOREIGN_BEGINNINGS)


def format_of(path: str | Path, subtype: str | None = None) -> Format:
    """The format that the suffix of ``path`` names; 16 bits, or what the format has, unless ``subtype`` is given.

    Raises UsageError for an unknown suffix and for a subtype that the format lacks.
    """
    name = Path(path).suffix[1:].upper()
    kind, own = ALIASES.get(name, (name, None))
    if kind not in soundfile.available_formats() or kind in UNWRITABLE:
        raise UsageError(f"{path}: the suffix names no known sound format; use .wav or .flac")
    there = soundfile.available_subtypes(kind)
    if subtype is None:
        return Format(kind, own or ("PCM_16" if "PCM_16" in there else soundfile.default_subtype(kind)))
    if subtype not in there:
        raise UsageError(f"{path}: {kind} has no subtype {subtype}; it has {', '.join(there)}")
    return Format(kind, subtype)


def require_rate(path: str | Path, form: Format, sample_rate: int) -> None:
    """Raise UsageError when ``form`` cannot hold ``sample_rate`` Hz; ``path`` is what the sentence names."""
    if holds_rate(form, sample_rate):
        return
    there = [rate for rate in COMMON_RATES_HZ if holds_rate(form, rate)]
    name = form.kind if form.subtype.startswith("PCM") else f"{form.kind} {form.subtype}"
    lpc_input = f"; it has {', '.join(map(str, there))} Hz" if there else "; use .wav"
    raise UsageError(f"{path}: {name} cannot hold {sample_rate} Hz{lpc_input}")


@lru_cache
def holds_rate(form: Format, sample_rate: int) -> bool:
    """Whether the format can hold it. Tried in memory: libsndfile has no list of the rates of a format."""
    try:
        with soundfile.SoundFile(io.BytesIO(), "w", sample_rate, 1, form.subtype, format=form.kind) as sound:
            sound.write(np.zeros(16, np.float32))
    except (soundfile.LibsndfileError, ValueError, TypeError):
        return False
    return True
