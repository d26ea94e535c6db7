"""Sound files out: written in blocks, in any format that libsndfile writes, whole or not at all.

A recording that would pass full scale is made quieter as a whole, never limited sample by sample. For that its peak has to
be known before the first sample is written, so the samples are spooled to disk, beside the output, as they come.
"""

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import IO

import numpy as np
import soundfile

from vqvc._util import atomic, log
from vqvc.audio.formats import Format, format_of, require_rate
from vqvc.errors import AudioError, FileError, explained

logger = logging.getLogger("vqvc.audio")

BLOCK_FRAMES = 65_536  # libsndfile's Vorbis encoder overflows its stack on blocks of a minute
BELOW_FULL_SCALE = 10 ** (-0.1 / 20)  # peak of what was above it
NORMALISED_PEAK = 10 ** (-1 / 20)  # peak of what is normalised
NO_TAGS: Mapping[str, str] = MappingProxyType({})


def write(
    path: str | Path, samples: np.ndarray, sample_rate: int, subtype: str | None = None, *, normalise: bool = False
) -> int:
    """Write mono float ``samples`` (T,) atomically, in the format of the suffix (16-bit unless ``subtype`` is given).

    Returns the number of samples beyond full scale; where there are any, and the format holds no floats, the whole is
    made quieter and a warning gives the gain in dB. With ``normalise`` its peak comes to -1 dB in any case. Raises AudioError
    for samples that are not finite, UsageError for what the format cannot hold, FileError where the disk refuses.
    """
    samples = np.asarray(samples, dtype=np.float32)
    return write_blocks(path, [samples], sample_rate, len(samples), subtype, normalise=normalise)


def write_blocks(
    path: str | Path,
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    length_samples: int | None = None,
    subtype: str | None = None,
    *,
    normalise: bool = False,
    tags: Mapping[str, str] = NO_TAGS,
    finished: Callable[[Path], None] = lambda partial: None,
) -> int:
    """``write`` for a recording that comes in blocks, cut or padded with silence to ``length_samples`` if given.

    Memory holds one block. tags: libsndfile's strings by name, as {"comment": "..."}, kept by formats that
    have such metadata. finished: called with the whole file before it takes the place of ``path``.
    """
    form = format_of(path, subtype)
    require_rate(path, form, sample_rate)
    with atomic.atomic_path(path, needs_bytes=6 * length_samples if length_samples else None) as partial:
        with _spool(partial.parent, path) as spool:
            level = _collect(path, blocks, length_samples, spool)
            gain = level.gain(form, normalise)
            _encode(_replayed(spool, gain), partial, form, sample_rate, path, tags)
        finished(partial)
    if gain != 1.0 and not normalise:
        logger.warning(
            "%s: %d of %d samples were beyond full scale; the whole is %.1f dB quieter (the subtype FLOAT keeps its level)",
            path, level.above, level.length, -20 * np.log10(gain),
        )  # fmt: skip
    return level.above


def write_stream(
    file: IO[bytes], blocks: Iterable[np.ndarray], sample_rate: int, length_samples: int | None, form: Format,
    *, normalise: bool = False, tags: Mapping[str, str] = NO_TAGS,
) -> int:  # fmt: skip
    """``write_blocks`` into a pipe: the sound file is made in a temporary file first, for its header holds its length."""
    with tempfile.TemporaryDirectory(prefix="vqvc-") as folder:
        whole = Path(folder, f"sound.{form.kind.lower()}")
        above = write_blocks(whole, blocks, sample_rate, length_samples, form.subtype, normalise=normalise, tags=tags)
        with open(whole, "rb") as source:
            while data := source.read(1 << 20):
                file.write(data)
        file.flush()
    return above


def _spool(folder: Path, path: str | Path) -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise explained(error, path) from None


class _Level:
    """The peak and length of what was collected, and the number of samples above full scale."""

    def __init__(self) -> None:
        self.peak, self.above, self.length = 0.0, 0, 0

    def add(self, block: np.ndarray) -> None:
        size = np.abs(block)
        self.peak = max(self.peak, float(size.max(initial=0.0)))
        self.above += int(np.count_nonzero(size > 1.0))
        self.length += len(block)

    def gain(self, form: Format, normalise: bool) -> float:
        if normalise:
            return NORMALISED_PEAK / self.peak if self.peak else 1.0
        return BELOW_FULL_SCALE / self.peak if self.above and not form.is_float else 1.0


def _collect(path: str | Path, blocks: Iterable[np.ndarray], length: int | None, spool: IO[bytes]) -> _Level:
    level = _Level()
    for block in _fitted(blocks, length):
        finite = np.isfinite(block)
        if not finite.all():
            raise AudioError(f"{path}: not written: non-finite at sample {level.length + int(np.argmin(finite))}")
        level.add(block)
        spool.write(block.tobytes())
    return level


def _fitted(blocks: Iterable[np.ndarray], length: int | None) -> Iterator[np.ndarray]:
    """The blocks as blocks of at most ``BLOCK_FRAMES`` float32, together ``length`` samples long."""
    left = length
    for block in blocks:
        block = np.asarray(block, np.float32)[:left]
        left = None if left is None else left - len(block)
        for begin in range(0, len(block), BLOCK_FRAMES):
            yield block[begin : begin + BLOCK_FRAMES]
    while left:
        yield np.zeros(min(left, BLOCK_FRAMES), np.float32)
        left -= min(left, BLOCK_FRAMES)


def _replayed(spool: IO[bytes], gain: float) -> Iterator[np.ndarray]:
    spool.seek(0)
    while data := spool.read(4 * BLOCK_FRAMES):
        block = np.frombuffer(data, np.float32)
        yield block if gain == 1.0 else block * np.float32(gain)


def _encode(
    blocks: Iterable[np.ndarray],
    partial: Path,
    form: Format,
    sample_rate: int,
    path: str | Path,
    tags: Mapping[str, str],
) -> None:
    """Write the blocks; an error of libsndfile or of the disk becomes one that names ``path``."""
    try:
        with soundfile.SoundFile(native_name(partial), "w", sample_rate, 1, form.subtype, format=form.kind) as sound:
            _tag(sound, tags)
            for block in blocks:
                sound.write(block if form.is_float else block.clip(-1.0, 1.0))
    except AssertionError:  # soundfile raises it where fewer samples were written than given
        _probe(partial)
        raise FileError(f"{path}: could not be written to its end; see whether its disk is full") from None
    except soundfile.LibsndfileError as error:
        _probe(partial)
        raise explained(error, path) from None


def _tag(sound: soundfile.SoundFile, tags: Mapping[str, str]) -> None:
    """Set the strings that the format can hold; before the first sample, or some formats drop them."""
    for name, text in tags.items():
        with suppress(soundfile.LibsndfileError):  # the format has no such string
            setattr(sound, name, log.printable(text).encode(errors="replace").decode())


def _probe(partial: Path) -> None:
    """Raise the operating system's own error for ``partial``: libsndfile does not pass it on."""
    with open(partial, "ab") as file:
        file.write(bytes(1 << 16))
        file.flush()
        os.fsync(file.fileno())


def native_name(path: Path) -> str | bytes:
    """A name that soundfile takes: where it is not UTF-8, the bytes of it."""
    name = str(path)
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return os.fsencode(path)
    return name
