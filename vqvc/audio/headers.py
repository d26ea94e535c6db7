"""What a WAV or AIFF header declares, against what the file holds: libsndfile reads a cut file without an error."""

import struct
from dataclasses import dataclass
from typing import BinaryIO

UNKNOWN = (0, 0x7FFFFFFF, 0xFFFFFFFF)  # lengths that writers to a pipe leave behind
PIPE_FROM = 0x7FFFF000  # as SoX writes it


@dataclass(frozen=True)
class DeclaredBytes:
    """The data chunk of a file."""

    data_bytes: int  # by the header
    held_bytes: int  # from the chunk's start to the end of the file
    bytes_per_second: float  # 0 when not known

    @property
    def missing(self) -> int:
        """Bytes that the header declares and the file lacks."""
        return max(self.data_bytes - self.held_bytes, 0)


def declared_bytes(file: BinaryIO) -> DeclaredBytes | None:
    """The data chunk of a RIFF, RF64 or AIFF file; None for other formats and for lengths left open by a pipe."""
    size = file.seek(0, 2)
    file.seek(0)
    magic = file.read(12)
    if len(magic) < 12 or magic[:4] not in (b"RIFF", b"RIFX", b"RF64", b"BW64", b"FORM"):
        return None
    return _walk(file, size, ">" if magic[:4] in (b"RIFX", b"FORM") else "<")


def _walk(file: BinaryIO, size: int, order: str) -> DeclaredBytes | None:
    rate, long_size = 0.0, None
    while len(head := file.read(8)) == 8:
        name, length = head[:4], struct.unpack(order + "I", head[4:])[0]
        start = file.tell()
        if name == b"ds64":
            long_size = struct.unpack("<Q", file.read(24)[8:16])[0]
        elif name == b"fmt ":
            body = file.read(16)
            rate = float(struct.unpack(order + "I", body[8:12])[0]) if len(body) == 16 else 0.0
        elif name == b"COMM":
            rate = _aiff_rate(file.read(18))
        elif name in (b"data", b"SSND"):
            if length == 0xFFFFFFFF and long_size is not None:
                length = long_size
            elif length in UNKNOWN or PIPE_FROM <= length <= 0x7FFFFFFF:
                return None
            return DeclaredBytes(length, size - start, rate)
        file.seek(start + length + length % 2)
    return None


def _aiff_rate(body: bytes) -> float:
    """Bytes per second of an AIFF common chunk (its rate is an 80-bit float)."""
    if len(body) < 18:
        return 0.0
    channels, _, bits, exponent, mantissa = struct.unpack(">hIhHQ", body)
    return channels * ((bits + 7) // 8) * mantissa * 2.0 ** ((exponent & 0x7FFF) - 16446)
