"""The length of MPEG audio: streams without a Xing frame are counted, because a decoder's estimate may be far off.

libsndfile stops where mpg123 guesses that the stream ends. The guess is made of the first frame's bit rate, so that a stream
of variable bit rate that begins with loud speech loses most of the rest. Given a Xing frame it has no need to guess.
"""

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO

RATES_HZ = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}  # by version: MPEG 1, 2, 2.5
KBPS = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),  # MPEG 1, layer III
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),  # MPEG 2 and 2.5
)
TAGGED = (b"Xing", b"Info", b"VBRI")
XING_KBPS_INDEX = 9
WINDOW = 1 << 16  # bytes that are looked at together
SEARCH = 1 << 16  # bytes in which the first frame must begin


def with_length(file: BinaryIO) -> BinaryIO:
    """A sound file as libsndfile should read it: behind a Xing frame that gives its length, where it needs one.

    That is a layer III stream whose own header lacks its length; any other file is returned as it is, at its beginning.
    """
    size = file.seek(0, 2)
    first = _first_frame(file, _audio_start(file))
    if first is not None:
        at, head = first
        file.seek(at)
        if not any(tag in file.read(200) for tag in TAGGED):
            frames = sum(1 for _ in _frames(file, at, head))
            return _PrefixedFile(_xing(head, frames, size - at), file, at, size)
    file.seek(0)
    return file


def _audio_start(file: BinaryIO) -> int:
    """Where an ID3v2 tag ends, 0 without one."""
    file.seek(0)
    head = file.read(10)
    if len(head) < 10 or head[:3] != b"ID3":
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return 10 + size + (10 if head[5] & 0x10 else 0)


def _first_frame(file: BinaryIO, start: int) -> tuple[int, bytes] | None:
    """Where the first of two frames in a row begins, and its header."""
    file.seek(start)
    data = file.read(SEARCH)
    for at in range(len(data) - 4):
        if data[at] == 0xFF and (length := _frame_length(data[at : at + 4])):
            following = data[at + length : at + length + 4]
            if len(following) == 4 and _frame_length(following) and _alike(following, data[at : at + 4]):
                return start + at, data[at : at + 4]
        if at == 0 and data[:3] != b"ID3" and data[0] != 0xFF and start == 0:
            return None  # another format; junk before the first frame follows a tag
    return None


def _frames(file: BinaryIO, at: int, first: bytes) -> Iterator[int]:
    """Where each whole frame begins; what is no frame is passed over."""
    file.seek(at)
    data, base = file.read(WINDOW), at
    while True:
        if at - base > len(data) - 8192:  # longer than any frame
            file.seek(at)
            data, base = file.read(WINDOW), at
        head = data[at - base : at - base + 4]
        if len(head) < 4:
            return
        length = _frame_length(head) if _alike(head, first) else 0
        if not length:
            found = data.find(b"\xff", at - base + 1)
            at = base + found if found >= 0 else base + len(data)
            continue
        if at - base + length > len(data):
            return  # cut within its last frame
        yield at
        at += length


def _frame_length(head: bytes) -> int:
    """Bytes of the layer III frame of this header; 0 where it is none."""
    if head[0] != 0xFF or head[1] & 0xE0 != 0xE0 or (head[1] >> 1) & 3 != 1:
        return 0
    version, kbps, rate = (head[1] >> 3) & 3, head[2] >> 4, (head[2] >> 2) & 3
    if version == 1 or kbps in (0, 15) or rate == 3:
        return 0
    per_frame = 144_000 if version == 3 else 72_000
    return per_frame * KBPS[version != 3][kbps] // RATES_HZ[version][rate] + (head[2] >> 1 & 1)


def _alike(head: bytes, first: bytes) -> bool:
    """Whether version, layer and rate are the same."""
    return (
        len(head) == 4 and head[0] == 0xFF and head[1] & 0xFE == first[1] & 0xFE and head[2] & 0x0C == first[2] & 0x0C
    )


def _xing(first: bytes, frames: int, size: int) -> bytes:
    """A frame, silent in itself, that holds the number of frames behind it."""
    head = bytes([0xFF, first[1] | 1, (first[2] & 0x0C) | XING_KBPS_INDEX << 4, first[3]])
    length, mono = _frame_length(head), first[3] >> 6 == 3
    side = (17 if mono else 32) if (first[1] >> 3) & 3 == 3 else (9 if mono else 17)
    tag = b"Xing" + struct.pack(">III", 1 | 2, frames, size + length)
    return (head + bytes(side) + tag).ljust(length, b"\0")


class _PrefixedFile(io.RawIOBase):
    """A file from ``at`` on, behind other bytes."""

    def __init__(self, prefix: bytes, file: BinaryIO, at: int, size: int):
        super().__init__()
        self.prefix, self.file, self.skipped = prefix, file, at
        self.size, self.at = len(prefix) + size - at, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = max((0, self.at, self.size)[whence] + offset, 0)
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer: bytearray) -> int:
        if self.at < len(self.prefix):
            data = self.prefix[self.at : self.at + len(buffer)]
        else:
            self.file.seek(self.skipped + self.at - len(self.prefix))
            data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)

    def close(self) -> None:
        self.file.close()
        super().close()
