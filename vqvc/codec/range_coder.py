"""An exact range coder (Martin 1979): symbols with integer frequencies to bytes and back, in whole numbers throughout.

A symbol of frequency f out of total costs log2(total / f) bits; the whole costs less than a byte more.
Up to ``MOST_ZEROS`` zero bytes at the end are not written: the decoder takes zeros for what is past the end, and refuses to
go on when it has taken more. So what is decoded is bounded by the bytes that there are.
"""

from collections.abc import Iterable

_WIDTH = 64  # bits of low and range; range stays above 2**56, so totals up to 2**24 lose under 2**-32 bits a symbol
_MASK = (1 << _WIDTH) - 1
_BOTTOM = 1 << (_WIDTH - 8)
MOST_ZEROS = 16  # bytes


def encode(symbols: Iterable[tuple[int, int, int]]) -> bytes:
    """Bytes of symbols (start, frequency, total): the share [start, start + frequency) of total."""
    low, size, out = 0, _MASK, bytearray()
    for start, frequency, total in symbols:
        unit = size // total
        low += unit * start
        size = unit * frequency
        if low > _MASK:
            low &= _MASK
            _carry(out)
        while size < _BOTTOM:
            out.append(low >> (_WIDTH - 8))
            low = (low << 8) & _MASK
            size <<= 8
    for zeros in range(_WIDTH, -1, -8):  # the roundest number in [low, low + size)
        value = -(-low >> zeros) << zeros
        if value < low + size:
            break
    if value > _MASK:
        value &= _MASK
        _carry(out)
    whole = bytes(out + value.to_bytes(_WIDTH // 8, "big"))
    return whole[: max(len(whole.rstrip(b"\0")), len(whole) - MOST_ZEROS)]


def _carry(out: bytearray) -> None:
    at = len(out) - 1
    while out[at] == 255:
        out[at] = 0
        at -= 1
    out[at] += 1


def most_symbols(data_bytes: int, cheapest_bits: float) -> int:
    """How many symbols can be decoded from so many bytes when none costs less than ``cheapest_bits``."""
    return int(8 * (data_bytes + MOST_ZEROS) / cheapest_bits) + 1


class Decoder:
    """Takes symbols from bytes: ask ``target``, find the symbol whose share holds it, then ``take`` that share."""

    def __init__(self, data: bytes):
        self._data, self._at = data, _WIDTH // 8
        self._code = int.from_bytes(data[: self._at].ljust(self._at, b"\0"), "big")
        self._size = _MASK

    @property
    def past_end(self) -> bool:
        """Whether more was taken than the bytes hold and ``encode`` leaves out."""
        return self._at > max(len(self._data), _WIDTH // 8) + MOST_ZEROS

    @property
    def left_over(self) -> bool:
        """Whether bytes are left that no symbol needed."""
        return self._at < len(self._data)

    def target(self, total: int) -> int:
        """A number in [0, total) that lies in the next symbol's share."""
        return min(self._code // (self._size // total), total - 1)

    def take(self, start: int, frequency: int, total: int) -> None:
        """Go past the symbol [start, start + frequency)."""
        unit = self._size // total
        self._code = max(0, self._code - unit * start)
        self._size = unit * frequency
        while self._size < _BOTTOM:
            byte = self._data[self._at] if self._at < len(self._data) else 0
            self._code = ((self._code << 8) | byte) & _MASK
            self._size <<= 8
            self._at += 1
