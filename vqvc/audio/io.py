"""Sound files in and out: any format of libsndfile, mono float32 inside, nothing wrong passed on silently."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile

from vqvc.audio import channels, mpeg
from vqvc.audio import resample as _resample
from vqvc.audio.formats import FOREIGN_SUFFIXES, READABLE_SUFFIXES, format_of, is_foreign, remedy
from vqvc.audio.headers import declared_bytes
from vqvc.audio.output import native_name, write, write_blocks
from vqvc.errors import AudioError, explained

__all__ = [
    "FOREIGN_SUFFIXES", "READABLE_SUFFIXES", "Info", "Recording", "format_of", "info", "read", "stream", "write", "write_blocks",
]  # fmt: skip

BLOCK_S = 30.0
WHOLE_FRAMES = 1 << 23  # files that claim more frames are read by the block: a header may be wrong
RATES_HZ = (1000, 768000)
NAMED = (".au", ".snd")  # without a header libsndfile takes these for µ-law by their names


@dataclass(frozen=True)
class Info:
    """The facts of a file's header."""

    sample_rate: int  # Hz
    channels: int
    length_samples: int  # per channel; an estimate where ``is_lossy``
    encoding: str  # as "FLAC PCM_16"

    @property
    def duration_s(self) -> float:
        return self.length_samples / self.sample_rate

    @property
    def is_lossy(self) -> bool:
        """Whether the length is what the decoder delivers, whatever the header claims."""
        return self.encoding.startswith(("MP3", "OGG")) or "MPEG" in self.encoding


@dataclass(frozen=True)
class Recording:
    """One recording as the toolkit holds it."""

    samples: np.ndarray  # (T,) float32, finite, full scale 1
    sample_rate: int  # Hz
    notes: tuple[str, ...] = ()  # what was converted on the way in
    source_rate: int = 0  # Hz, of the file
    source_length_samples: int = 0  # of what was read of it, at that rate


def info(path: str | Path) -> Info:
    """The header of a sound file, checked against the file's size. Raises AudioError."""
    with _opened(path) as sound:
        return _info(path, sound)


def read(
    path: str | Path, sample_rate: int | None = None, *, start_s: float = 0.0, end_s: float | None = None
) -> Recording:
    """The recording (or its part from ``start_s`` to ``end_s``), mixed to mono and, when asked, resampled.

    Raises AudioError for a file that is missing, unreadable, cut short, empty or not finite, and for a part that
    ends beyond it. Of formats whose headers estimate the length, it is what the decoder delivers.
    """
    with _opened(path) as sound:
        facts = _info(path, sound)
        first = round(start_s * facts.sample_rate)
        last = facts.length_samples if end_s is None else round(end_s * facts.sample_rate)
        if not 0 <= first < last <= facts.length_samples:
            raise AudioError(
                f"{path}: {start_s:g} s to {last / facts.sample_rate:g} s is no part of its {facts.duration_s:.3f} s"
            )
        try:
            if first:
                sound.seek(first)
            samples = _read_frames(path, sound, last - first)
        except (soundfile.LibsndfileError, MemoryError) as error:
            raise AudioError(f"{path}: damaged: {_reason(error)}; get the file again") from None
    counted = channels.Channels()
    counted.add(samples)
    mono = _checked(path, samples, first, counted.cancel)
    _require_whole(path, first + len(mono), last, facts)
    length, notes = len(mono), _notes(facts, sample_rate, counted.cancel)
    if sample_rate is not None and sample_rate != facts.sample_rate:
        mono = _resample.resample(mono, facts.sample_rate, sample_rate)
    return Recording(mono, sample_rate or facts.sample_rate, notes, facts.sample_rate, length)


def stream(path: str | Path, block_s: float = BLOCK_S) -> Iterator[np.ndarray]:
    """The recording as float32 mono blocks of ``block_s`` seconds at the file's own rate; memory holds one block.

    Raises AudioError as ``read`` does, for a cut file after the last block that it holds.
    """
    cancel = channels_cancel(path, block_s)
    with _opened(path) as sound:
        facts = _info(path, sound)
        done = 0
        for block in _blocks(path, sound, max(int(block_s * facts.sample_rate), 1)):
            mono = _checked(path, block, done, cancel)
            done += len(mono)
            yield mono
    _require_whole(path, done, facts.length_samples, facts)


def channels_cancel(path: str | Path, block_s: float = BLOCK_S) -> bool:
    """Whether the mean of the recording's channels throws its speech away; read once through where there are several."""
    with _opened(path) as sound:
        if sound.channels == 1:
            return False
        return channels.cancels(_blocks(path, sound, max(int(block_s * sound.samplerate), 1)))


def notes_on(path: str | Path, sample_rate: int | None = None) -> tuple[str, ...]:
    """The notes that ``read`` would make, without the recording in memory."""
    return _notes(info(path), sample_rate, channels_cancel(path))


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    """A sound file, opened once: its header is compared with its size before libsndfile reads on."""
    path = Path(path)
    with ExitStack() as opened:
        try:
            if not path.exists():
                raise AudioError(f"{path}: no such file")
            if not path.is_file():
                raise AudioError(f"{path}: not a file; name one recording")
            file = opened.enter_context(open(path, "rb"))
            declared = declared_bytes(file)
            checked = opened.enter_context(mpeg.with_length(file))
        except OSError as error:
            raise explained(error, path) from None
        try:
            sound = opened.enter_context(
                _by_descriptor(path, file) if checked is file else soundfile.SoundFile(checked)
            )
        except (soundfile.LibsndfileError, TypeError, ValueError) as error:
            if is_foreign(path):
                raise AudioError(f"{path}: not a readable audio file; convert it first: {remedy(path)}") from None
            raise AudioError(f"{path}: not a readable audio file ({_reason(error)})") from None
        low, high = RATES_HZ
        if not low <= sound.samplerate <= high or sound.channels < 1:
            raise AudioError(
                f"{path}: the header says {sound.samplerate} Hz, {sound.channels} channels; get the file again"
            )
        if declared is not None and declared.missing > 0:
            claimed_s = declared.data_bytes / declared.bytes_per_second if declared.bytes_per_second else 0.0
            held_s = declared.held_bytes / declared.bytes_per_second if declared.bytes_per_second else 0.0
            raise AudioError(f"{path}: header says {claimed_s:.2f} s, file holds {held_s:.2f} s; get the file again")
        yield sound


def _by_descriptor(path: Path, file: BinaryIO) -> soundfile.SoundFile:
    """The file for libsndfile, which reads on without Python, by its descriptor where that is possible."""
    if os.name == "nt" or path.suffix.lower() in NAMED:  # a descriptor of Windows is the C library's that made it
        return soundfile.SoundFile(native_name(path))
    os.lseek(file.fileno(), 0, os.SEEK_SET)  # the file object may have read ahead
    return soundfile.SoundFile(file.fileno(), closefd=False)


def _info(path: str | Path, sound: soundfile.SoundFile) -> Info:
    if sound.frames <= 0:
        raise AudioError(f"{path}: not a readable audio file (it holds no samples)")
    return Info(sound.samplerate, sound.channels, sound.frames, f"{sound.format} {sound.subtype}")


def _blocks(path: str | Path, sound: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
    try:
        while len(block := sound.read(frames, dtype="float32", always_2d=True)):
            yield block
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: damaged: {_reason(error)}; get the file again") from None


def _read_frames(path: str | Path, sound: soundfile.SoundFile, count: int) -> np.ndarray:
    """(count or fewer, channels): in blocks when the header claims much, so that a wrong header costs no memory."""
    if count <= WHOLE_FRAMES:
        return sound.read(count, dtype="float32", always_2d=True)
    parts, left = [], count
    for block in _blocks(path, sound, int(BLOCK_S * sound.samplerate)):
        parts.append(block[:left])
        left -= len(parts[-1])
        if left <= 0:
            break
    return np.concatenate(parts) if parts else np.zeros((0, sound.channels), np.float32)


def _checked(path: str | Path, samples: np.ndarray, done: int, cancel: bool) -> np.ndarray:
    """(T, channels) to finite (T,)."""
    mono = channels.mix(samples, False)
    if len(mono) and not np.isfinite(mono.sum(dtype=np.float64)):
        where = done + int(np.argmin(np.isfinite(mono)))
        raise AudioError(f"{path}: non-finite at sample {where}; write the file again without it")
    return channels.mix(samples, True) if cancel else mono


def _require_whole(path: str | Path, held: int, declared: int, facts: Info) -> None:
    if facts.is_lossy and held:
        return
    if held < declared:
        claimed_s, held_s = declared / facts.sample_rate, held / facts.sample_rate
        raise AudioError(f"{path}: header says {claimed_s:.2f} s, file holds {held_s:.2f} s; get the file again")


def _notes(facts: Info, sample_rate: int | None, cancel: bool) -> tuple[str, ...]:
    notes = [channels.note(facts.channels, cancel)] if facts.channels > 1 else []
    if sample_rate is not None and sample_rate != facts.sample_rate:
        notes.append(f"{facts.sample_rate} Hz resampled to {sample_rate} Hz")
    if "PCM_16" not in facts.encoding:
        notes.append(f"{facts.encoding} read as float")
    return tuple(notes)


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return text.strip().rstrip(".")
