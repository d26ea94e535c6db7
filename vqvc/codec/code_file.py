"""The code file, .vqc: a recording's codes in few bytes.

    byte 0       high five bits: 22, the mark of a code file of this layout; next bit: coding (0 plain, 1 under
                 a prior); low two: size of the length in bytes, less one
    1-4 bytes    length of the recording in samples, lowest byte first
    payload      plain: codes of ceil(log2 K) bits, highest bit first, zero bits to the end of the byte;
                 under a prior: ``range_coder`` bytes with the frequencies of ``integer_prior``, speaker 0
    last 4       check, lowest byte first: CRC-32 of all before, exclusive-or the fingerprint written twice

The fingerprint, 16 bits, is of what is needed to read the file: the first four hexadecimal digits of the checksum of,
plain, the model; under a prior, the prior's file, which belongs to one model. Taking the CRC out of the check leaves the
same 16 bits twice unless the file is damaged; so four bytes distinguish damage from another model. Damage is overlooked once in
2**32 times, and never within four neighbouring bytes; another model is overlooked, and damage taken for another model,
once in 2**16.

Four seconds at 16 kHz make seven bytes that are not codes, 17 minutes eight.

The number of codes is the length in samples over the model's hop, rounded up. A payload ends where they end: a file that
announces more than its bytes can hold is refused before the first code, or as soon as its bytes are used up.
"""

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvc._util.atomic import write_bytes
from vqvc.codec import range_coder
from vqvc.codec.integer_prior import TOTAL, IntegerPrior
from vqvc.errors import CorpusError, UsageError

MARK = 22  # the first byte is one with which no text in UTF-8 begins, nor any common kind of file
PLAIN, UNDER_PRIOR = 0, 1
LONGEST = (1 << 32) - 1  # samples: three days at 16 kHz
CHECK = 4  # bytes
TWICE = 0x10001  # times 16 bits: the same 16 bits twice


@dataclass(frozen=True)
class Coder:
    """What reading and writing need of a model (and of its prior, or None).

    model and prior_checksum: the checksums written in their files, hexadecimal.
    """

    model: str
    hop_length: int
    codebook_size: int
    prior: IntegerPrior | None = None
    prior_checksum: str = ""

    def fingerprint(self, coding: int) -> int:
        """The 16 bits by which a file knows its model or its prior."""
        return int((self.prior_checksum if coding == UNDER_PRIOR else self.model)[:4], 16)

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
    size = _length_bytes(length_samples)
    data = bytes([MARK << 3 | coding << 2 | size - 1]) + length_samples.to_bytes(size, "little") + payload
    return data + (zlib.crc32(data) ^ coder.fingerprint(coding) * TWICE).to_bytes(CHECK, "little")


def overhead(length_samples: int) -> int:
    """Bytes of a file that are not codes."""
    return 1 + _length_bytes(length_samples) + CHECK


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
    check = zlib.crc32(data[:-CHECK]) ^ int.from_bytes(data[-CHECK:], "little")
    made_with = check & 0xFFFF
    if len(data) < overhead(0) or check != made_with * TWICE:
        raise CorpusError(f"{name}: is damaged or cut short; copy it again, or encode the recording again")
    if coding == UNDER_PRIOR and coder.prior is None:
        raise UsageError(f"{name}: was coded under a prior; name the prior.safetensors that was used with --prior")
    if made_with != coder.fingerprint(coding):
        remedy = (
            "name that with --model; codes of an encoder without a decoder, such as phones, cannot be decoded",
            "name that with --prior",
        )[coding]
        raise UsageError(f"{name}: was made with another {('model', 'prior')[coding]}; {remedy}")
    at = 2 + (data[0] & 3)
    length, payload = int.from_bytes(data[1:at], "little"), data[at:-CHECK]
    count = -(-length // coder.hop_length)
    if coding == PLAIN:
        if len(payload) != -(-count * coder.bits // 8):
            raise CorpusError(f"{name}: holds {len(payload)} bytes of codes where {count} codes were announced")
        codes = _unplain(payload, count, coder.bits)
    else:
        codes = _decode(payload, count, coder.prior, name)
    if count and codes.max() >= coder.codebook_size:
        raise CorpusError(f"{name}: holds code {codes.max()}, the codebook ends at {coder.codebook_size - 1}")
    return codes, length


def _bytes(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            start = file.read(1)
            _coding(start, path)  # before the rest of what may be any file is read
            return start + file.read()
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise CorpusError(f"{path}: is a folder; name a code file in it") from None


def _coding(data: bytes, name: str | Path) -> int:
    if not data or data[0] >> 3 != MARK:
        raise CorpusError(
            f"{name}: is not a code file, or not one that this vqvc knows; vqvc-encode writes them as .vqc"
        )
    return data[0] >> 2 & 1


def _length_bytes(length_samples: int) -> int:
    return max(1, -(-length_samples.bit_length() // 8))


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


def _decode(payload: bytes, count: int, prior: IntegerPrior, name: str | Path) -> np.ndarray:
    cheapest_bits = math.log2(TOTAL / (TOTAL - prior.codebook_size + 1))  # of a code beside which all have frequency 1
    if count > range_coder.most_symbols(len(payload), cheapest_bits or 2**-24):
        raise _ends_early(name, count)
    decoder, stepper = range_coder.Decoder(payload), prior.stepper()
    codes = np.zeros(count, np.int64)
    for t in range(count):
        ends = np.cumsum(prior.frequencies(stepper.logits))
        code = int(np.searchsorted(ends, decoder.target(TOTAL), side="right"))
        start = int(ends[code - 1]) if code else 0
        decoder.take(start, int(ends[code]) - start, TOTAL)
        if decoder.past_end:
            raise _ends_early(name, count)
        codes[t] = code
        if t + 1 < count:
            stepper.take(code)
    if decoder.left_over:
        raise CorpusError(f"{name}: holds more bytes than its {count} codes need; encode the recording again")
    return codes


def _ends_early(name: str | Path, count: int) -> CorpusError:
    return CorpusError(f"{name}: announces {count} codes, but its bytes end before; encode the recording again")
