"""FAULTS row 79: a code file ends where its payload ends, whatever length it announces."""

import zlib

import numpy as np
import pytest
from tiny_prior import HOP, MODEL, SIZE, in_integers, random_prior

from vqvc.codec import code_file, range_coder
from vqvc.codec.code_file import Coder
from vqvc.codec.integer_prior import Stepper
from vqvc.errors import CorpusError

PRIOR_CHECKSUM = "cd" * 32


@pytest.fixture(scope="module")
def coder() -> Coder:
    return Coder(MODEL, HOP, SIZE, in_integers(random_prior()), PRIOR_CHECKSUM)


def forged(length_samples: int, payload: bytes, length_bytes: int = 4) -> bytes:
    """A file under the prior with a right check: whatever length over whatever payload."""
    data = bytes([code_file.MARK << 3 | code_file.UNDER_PRIOR << 2 | length_bytes - 1])
    data += length_samples.to_bytes(length_bytes, "little") + payload
    seal = int.from_bytes(2 * bytes.fromhex(PRIOR_CHECKSUM[:4]), "big")
    return data + (zlib.crc32(data) ^ seal).to_bytes(code_file.CHECK, "little")


@pytest.mark.parametrize("payload", [b"", b"\1", b"abc", b"\0\0\0"])
@pytest.mark.parametrize("length_samples", [(1 << 32) - 1, HOP * 20000])
def test_row_79_twelve_bytes_that_announce_days_are_refused_after_few_codes(
    coder, monkeypatch, payload, length_samples
):
    steps, plain = [], Stepper.take
    monkeypatch.setattr(Stepper, "take", lambda self, code: (steps.append(code), plain(self, code)))
    with pytest.raises(CorpusError, match=r"^a\.vqc: announces \d+ codes, but its bytes end before; [^\n]+$"):
        code_file.unpack(forged(length_samples, payload), coder, "a.vqc")
    assert len(steps) < 2000


def test_row_79_bytes_after_the_last_code_are_refused(coder):
    codes = np.arange(50) % SIZE
    whole = code_file.pack(codes, 50 * HOP, coder)
    payload = whole[2 + (whole[0] & 3) : -code_file.CHECK]
    assert np.array_equal(code_file.unpack(forged(50 * HOP, payload), coder)[0], codes)
    with pytest.raises(CorpusError, match="holds more bytes than its 50 codes need"):
        code_file.unpack(forged(50 * HOP, payload + b"more than enough"), coder)


def test_row_79_a_long_run_of_the_first_code_is_read_back(coder):
    """The one case in which many zero bytes end a payload: as many are written as the reader wants."""
    shares = [(0, 1 << 20, 1 << 24)] * 400  # 200 bytes, all of them zero
    data = range_coder.encode(shares)
    assert not any(data) and len(data) >= 200 - range_coder.MOST_ZEROS
    decoder = range_coder.Decoder(data)
    for share in shares:
        assert decoder.target(1 << 24) == 0
        decoder.take(*share)
        assert not decoder.past_end
    assert not decoder.left_over
    codes = np.zeros(3000, int)
    assert np.array_equal(code_file.unpack(code_file.pack(codes, 3000 * HOP, coder), coder)[0], codes)


def test_row_79_any_payload_under_any_length_is_codes_or_one_sentence(coder):
    rng = np.random.default_rng(0)
    for _ in range(60):
        data = forged(int(rng.integers(0, 1 << 20)), rng.bytes(int(rng.integers(0, 12))))
        try:
            codes, length = code_file.unpack(data, coder, "a.vqc")
        except CorpusError as error:
            assert "\n" not in str(error) and str(error).startswith("a.vqc: ")
        else:
            assert len(codes) == -(-length // HOP)
