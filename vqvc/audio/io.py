"""Sound files in and out: any format of libsndfile, mono float32 inside, nothing wrong passed on silently."""

import itertools
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from vqvc._util import atomic
from vqvc.audio import resample as _resample
from vqvc.audio.formats import FOREIGN_SUFFIXES, READABLE_SUFFIXES  # noqa: F401
from vqvc.audio.headers import promised_bytes
from vqvc.errors import AudioError, UsageError

logger = logging.getLogger("vqvc.audio")

BLOCK_S = 30.0
WHOLE_FRAMES = 1 << 23  # files that claim more frames are read by the block: a header may lie
LOSSY = {"MP3", "OGG"}  # their headers estimate the length
LOSSY_SLACK_FRAMES = 4 * 1152
RATES_HZ = (1000, 768000)


@dataclass(frozen=True)
class Info:
    """What a file's header says."""

    sample_rate: int  # Hz
    channels: int
    length_samples: int  # per channel
    encoding: str  # as "FLAC PCM_16"

    @property
    def duration_s(self) -> float:
        return self.length_samples / self.sample_rate


@dataclass(frozen=True)
class Recording:
    """One recording as the toolkit holds it."""

    samples: np.ndarray  # (T,) float32, finite, full scale 1
    sample_rate: int  # Hz
    notes: tuple[str, ...] = ()  # what was converted on the way in


def info(path: str | Path) -> Info:
    """The header of a sound file, checked against the file's size. Raises AudioError."""
    with _opened(path) as sound:
        return _info(sound)


def read(
    path: str | Path, sample_rate: int | None = None, *, start_s: float = 0.0, end_s: float | None = None
) -> Recording:
    """The recording (or its part from ``start_s`` to ``end_s``), mixed to mono and, when asked, resampled.

    Raises AudioError for a file that is missing, unreadable, cut short, empty or not finite, and for a part that
    ends beyond it.
    """
    with _opened(path) as sound:
        facts = _info(sound)
        first = round(start_s * facts.sample_rate)
        last = facts.length_samples if end_s is None else round(end_s * facts.sample_rate)
        if not 0 <= first < last <= facts.length_samples:
            raise AudioError(
                f"{path}: {start_s:g} s to {last / facts.sample_rate:g} s is no part of its {facts.duration_s:.3f} s"
            )
        try:
            if first:
                sound.seek(first)
            samples = _read_frames(sound, last - first)
        except (soundfile.LibsndfileError, MemoryError) as error:
            raise AudioError(f"{path}: damaged: {_reason(error)}; get the file again") from None
    samples = _checked(path, samples, first)
    _require_whole(path, first + len(samples), last, facts)
    notes = _notes(facts, sample_rate)
    if sample_rate is not None and sample_rate != facts.sample_rate:
        samples = _resample.resample(samples, facts.sample_rate, sample_rate)
    return Recording(samples, sample_rate or facts.sample_rate, notes)


def stream(path: str | Path, block_s: float = BLOCK_S) -> Iterator[np.ndarray]:
    """The recording as float32 mono blocks of ``block_s`` seconds at the file's own rate; memory holds one block.

    Raises AudioError as ``read`` does, for a cut file after the last block that it holds.
    """
    with _opened(path) as sound:
        facts = _info(sound)
        done = 0
        try:
            for block in _blocks(sound, max(int(block_s * facts.sample_rate), 1)):
                mono = _checked(path, block, done)
                done += len(mono)
                yield mono
        except soundfile.LibsndfileError as error:
            raise AudioError(f"{path}: damaged: {_reason(error)}; get the file again") from None
    _require_whole(path, done, facts.length_samples, facts)


def write(path: str | Path, samples: np.ndarray, sample_rate: int, subtype: str | None = None) -> int:
    """Write mono float ``samples`` atomically, in the format of the suffix (16-bit unless ``subtype`` says else).

    Returns how many samples were beyond full scale; they are limited, never wrapped, and a warning counts them.
    """
    samples = np.asarray(samples, dtype=np.float32)
    finite = np.isfinite(samples)
    if not finite.all():
        raise AudioError(f"{path}: not written: non-finite at sample {int(np.argmin(finite))}")
    kind = format_of(path)
    clipped = int(np.count_nonzero(np.abs(samples) > 1.0))
    if clipped:
        logger.warning(
            "%s: %d of %d samples were beyond full scale and are limited; lower the level", path, clipped, len(samples)
        )
    with atomic.atomic_path(path, needs_bytes=4 * len(samples)) as partial:
        soundfile.write(partial, samples.clip(-1.0, 1.0), sample_rate, format=kind, subtype=subtype or _subtype(kind))
    return clipped


def write_blocks(path: str | Path, blocks: Iterable[np.ndarray], sample_rate: int, length_samples: int) -> int:
    """``write`` for a recording that comes in blocks, cut or padded with silence to ``length_samples``; 16 bits.

    Memory holds one block. Returns how many samples were beyond full scale and are limited.
    """
    kind, clipped, left = format_of(path), 0, length_samples
    with atomic.atomic_path(path, needs_bytes=2 * length_samples) as partial:
        with soundfile.SoundFile(partial, "w", sample_rate, 1, _subtype(kind), format=kind) as sound:
            for block in itertools.chain(blocks, [np.zeros(0, np.float32)]):
                block = block[:left]
                clipped += int(np.count_nonzero(np.abs(block) > 1.0))
                sound.write(block.clip(-1.0, 1.0))
                left -= len(block)
            sound.write(np.zeros(left, np.float32))
    if clipped:
        logger.warning(
            "%s: %d of %d samples were beyond full scale and are limited; lower the level", path, clipped, length_samples
        )
    return clipped


def format_of(path: str | Path) -> str:
    """libsndfile's name of the format that ``write`` makes of the suffix; raises UsageError for an unknown one."""
    kind = Path(path).suffix[1:].upper()
    if kind not in soundfile.available_formats():
        raise UsageError(f"{path}: the suffix names no known sound format; use .wav or .flac")
    return kind


def _subtype(kind: str) -> str | None:
    return "PCM_16" if "PCM_16" in soundfile.available_subtypes(kind) else None


@contextmanager
def _opened(path: str | Path) -> Iterator[soundfile.SoundFile]:
    path = Path(path)
    if not path.exists():
        raise AudioError(f"{path}: no such file")
    if not path.is_file():
        raise AudioError(f"{path}: not a file; name one recording")
    try:
        sound = soundfile.SoundFile(path)
    except (soundfile.LibsndfileError, TypeError, ValueError) as error:
        raise AudioError(f"{path}: not a readable audio file ({_reason(error)})") from None
    with sound:
        low, high = RATES_HZ
        if not low <= sound.samplerate <= high or sound.channels < 1:
            raise AudioError(
                f"{path}: the header says {sound.samplerate} Hz, {sound.channels} channels; get the file again"
            )
        promise = promised_bytes(path)
        if promise is not None and promise.missing > 0:
            said = promise.data_bytes / promise.bytes_per_second if promise.bytes_per_second else 0.0
            held = promise.held_bytes / promise.bytes_per_second if promise.bytes_per_second else 0.0
            raise AudioError(f"{path}: header says {said:.2f} s, file holds {held:.2f} s; get the file again")
        yield sound


def _info(sound: soundfile.SoundFile) -> Info:
    if sound.frames <= 0:
        raise AudioError(f"{sound.name}: not a readable audio file (it holds no samples)")
    return Info(sound.samplerate, sound.channels, sound.frames, f"{sound.format} {sound.subtype}")


def _blocks(sound: soundfile.SoundFile, frames: int) -> Iterator[np.ndarray]:
    while len(block := sound.read(frames, dtype="float32", always_2d=True)):
        yield block


def _read_frames(sound: soundfile.SoundFile, count: int) -> np.ndarray:
    """(count or fewer, channels): in blocks when the header claims much, so that a lie costs no memory."""
    if count <= WHOLE_FRAMES:
        return sound.read(count, dtype="float32", always_2d=True)
    parts, left = [], count
    for block in _blocks(sound, int(BLOCK_S * sound.samplerate)):
        parts.append(block[:left])
        left -= len(parts[-1])
        if left <= 0:
            break
    return np.concatenate(parts) if parts else np.zeros((0, sound.channels), np.float32)


def _checked(path: str | Path, samples: np.ndarray, done: int) -> np.ndarray:
    """(T, channels) to finite (T,)."""
    mono = samples[:, 0] if samples.shape[1] == 1 else samples.mean(axis=1, dtype=np.float32)
    if len(mono) and not np.isfinite(mono.sum(dtype=np.float64)):
        where = done + int(np.argmin(np.isfinite(mono)))
        raise AudioError(f"{path}: non-finite at sample {where}; write the file again without it")
    return mono


def _require_whole(path: str | Path, held: int, promised: int, facts: Info) -> None:
    slack = LOSSY_SLACK_FRAMES if facts.encoding.split()[0] in LOSSY else 0
    if held < promised - slack:
        said_s, held_s = promised / facts.sample_rate, held / facts.sample_rate
        raise AudioError(f"{path}: header says {said_s:.2f} s, file holds {held_s:.2f} s; get the file again")


def _notes(facts: Info, sample_rate: int | None) -> tuple[str, ...]:
    notes = []
    if facts.channels > 1:
        notes.append(f"{facts.channels} channels averaged")
    if sample_rate is not None and sample_rate != facts.sample_rate:
        notes.append(f"{facts.sample_rate} Hz resampled to {sample_rate} Hz")
    if "PCM_16" not in facts.encoding:
        notes.append(f"{facts.encoding} read as float")
    return tuple(notes)


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return text.strip().rstrip(".")
