"""The code file, .vqc: a recording's codes in few bytes.

    bytes 0-1    "VQ"
    byte 2       format version (high four bits: 1), coding (low four: 0 plain, 1 under a prior)
    bytes 3-6    what is needed to read it: the first four bytes of the SHA-256 of the (hexadecimal) checksum of, plain,
                 the model; under a prior, the prior's file, which belongs to one model
    1-5 bytes    length of the recording in samples, 7 bits a byte, lowest first, high bit set on all but the last
    payload      plain: codes of ceil(log2 K) bits, highest bit first, zero bits to the end of the byte;
                 under a prior: ``range_coder`` bytes with the frequencies of ``integer_prior``, speaker 0
    last 4       CRC-32 of all before, highest byte first

The number of codes is the length in samples over the model's hop, rounded up.
"""

import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvc._util.atomic import write_bytes
from vqvc.errors import CorpusError, UsageError
from vqvc.synthesis import range_coder
from vqvc.synthesis.integer_prior import TOTAL, IntegerPrior

MAGIC = b"VQ"
VERSION = 1
PLAIN, UNDER_PRIOR = 0, 1
CODINGS = ("plain", "under a prior")
LONGEST = 1 << 34  # samples: eleven days at 16 kHz


@dataclass(frozen=True)
class Coder:
    """Everything that reading and writing need to know of a model (and of its prior, or None).

    model and prior_checksum: the checksums written in their files.
    """

    model: str
    hop_length: int
    codebook_size: int
    prior: IntegerPrior | None = None
    prior_checksum: str = ""

    def fingerprint(self, coding: int) -> bytes:
        """The four bytes by which a file names its model or its prior."""
        return hashlib.sha256((self.prior_checksum if coding == UNDER_PRIOR else self.model).encode()).digest()[:4]

    @property
    def bits(self) -> int:
        """Of a plain code."""
        return max(1, (self.codebook_size - 1).bit_length())


def write(path: str | Path, codes: np.ndarray, length_samples: int, coder: Coder) -> int:
    """Write a code file atomically; returns its size in bytes."""
    data = pack(codes, length_samples, coder)
    write_bytes(path, data)
    return len(data)


def pack(codes: np.ndarray, length_samples: int, coder: Coder) -> bytes:
    """A code file's bytes for codes (T,), T = ceil(length_samples / hop)."""
    codes = np.asarray(codes, np.int64)
    if len(codes) != -(-length_samples // coder.hop_length) or length_samples > LONGEST:
        raise UsageError(f"{len(codes)} codes of {coder.hop_length} samples do not make {length_samples} samples")
    coding = UNDER_PRIOR if coder.prior else PLAIN
    payload = range_coder.encode(_shares(codes, coder.prior)) if coder.prior else _plain(codes, coder.bits)
    head = MAGIC + bytes([VERSION << 4 | coding]) + coder.fingerprint(coding) + _number(length_samples)
    return head + payload + zlib.crc32(head + payload).to_bytes(4, "big")


def overhead(length_samples: int) -> int:
    """Bytes of a file that are not codes."""
    return len(MAGIC) + 1 + 4 + len(_number(length_samples)) + 4


def coding_of(path: str | Path) -> int:
    """PLAIN or UNDER_PRIOR; raises CorpusError for a file that is no code file."""
    return _coding(_bytes(path), path)


def read(path: str | Path, coder: Coder) -> tuple[np.ndarray, int]:
    """Codes (T,) int64 of a file, and the recording's length in samples.

    Raises CorpusError for a file that is damaged, cut or none of ours, UsageError for one of another model or prior.
    """
    return unpack(_bytes(path), coder, path)


def unpack(data: bytes, coder: Coder, name: str | Path = "codes") -> tuple[np.ndarray, int]:
    """The inverse of ``pack``; ``name`` is for messages."""
    coding = _coding(data, name)
    if zlib.crc32(data[:-4]).to_bytes(4, "big") != data[-4:]:
        raise CorpusError(f"{name}: is damaged or cut short; copy it again, or encode the recording again")
    if coding == UNDER_PRIOR and coder.prior is None:
        raise UsageError(f"{name}: was coded under a prior; name the prior.safetensors that was used with --prior")
    if data[3:7] != coder.fingerprint(coding):
        raise UsageError(f"{name}: was made with another {('model', 'prior')[coding]}; name the one that it was made with")
    length, at = _take_number(data, 7, name)
    count, payload = -(-length // coder.hop_length), data[at:-4]
    if coding == PLAIN:
        if len(payload) != -(-count * coder.bits // 8):
            raise CorpusError(f"{name}: holds {len(payload)} bytes of codes where {count} codes were announced")
        codes = _unplain(payload, count, coder.bits)
    else:
        codes = _decode(payload, count, coder.prior)
    if count and codes.max() >= coder.codebook_size:
        raise CorpusError(f"{name}: holds code {codes.max()}, the codebook ends at {coder.codebook_size - 1}")
    return codes, length


def _bytes(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise CorpusError(f"{path}: is a folder; name a code file in it") from None


def _coding(data: bytes, name: str | Path) -> int:
    if len(data) < 3 or data[:2] != MAGIC:
        raise CorpusError(f"{name}: is not a code file; vqvc-encode writes them as .vqc")
    version, coding = data[2] >> 4, data[2] & 15
    if version != VERSION or coding >= len(CODINGS):
        raise CorpusError(f"{name}: is version {version}, coding {coding}; this vqvc reads version {VERSION}, codings 0 and 1")
    if len(data) < 12:
        raise CorpusError(f"{name}: is cut short at {len(data)} bytes; copy it again")
    return coding


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out + bytes([value]))


def _take_number(data: bytes, at: int, name: str | Path) -> tuple[int, int]:
    value = 0
    for place in range(5):
        byte = data[at + place] if at + place < len(data) - 4 else 0
        value |= (byte & 127) << 7 * place
        if byte < 128:
            break
    if byte > 127 or value > LONGEST:
        raise CorpusError(f"{name}: announces more samples than a code file can hold; it is damaged")
    return value, at + place + 1


def _plain(codes: np.ndarray, bits: int) -> bytes:
    places = np.arange(bits - 1, -1, -1)
    return np.packbits((codes[:, None] >> places & 1).astype(np.uint8).reshape(-1)).tobytes()


def _unplain(payload: bytes, count: int, bits: int) -> np.ndarray:
    flat = np.unpackbits(np.frombuffer(payload, np.uint8))[: count * bits].reshape(count, bits)
    return flat.astype(np.int64) @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))


def _shares(codes: np.ndarray, prior: IntegerPrior):
    """(start, frequency, total) of each code under the prior."""
    for first, logits in prior.blocks(codes):
        frequencies = prior.frequencies(logits)
        part = codes[first : first + len(logits), None]
        ends = np.take_along_axis(np.cumsum(frequencies, -1), part, -1)[:, 0].tolist()
        for end, frequency in zip(ends, np.take_along_axis(frequencies, part, -1)[:, 0].tolist()):
            yield end - frequency, frequency, TOTAL


def _decode(payload: bytes, count: int, prior: IntegerPrior) -> np.ndarray:
    decoder, stepper = range_coder.Decoder(payload), prior.stepper()
    codes = np.zeros(count, np.int64)
    for t in range(count):
        ends = np.cumsum(prior.frequencies(stepper.logits))
        code = int(np.searchsorted(ends, decoder.target(TOTAL), side="right"))
        start = int(ends[code - 1]) if code else 0
        decoder.take(start, int(ends[code]) - start, TOTAL)
        codes[t] = code
        if t + 1 < count:
            stepper.take(code)
    return codes
