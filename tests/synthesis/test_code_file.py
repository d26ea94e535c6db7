"""Code files: exact, small, and one sentence for what cannot be read."""

import zlib

import numpy as np
import pytest
import torch
from tiny_prior import HOP, MODEL, SIZE, in_integers, random_prior

from vqvc.errors import CorpusError, UsageError
from vqvc.synthesis import code_file
from vqvc.synthesis.code_file import Coder

PLAIN = Coder(MODEL, HOP, SIZE)


@pytest.fixture(scope="module")
def under_prior():
    return Coder(MODEL, HOP, SIZE, in_integers(random_prior()), "cd" * 32)


def test_a_thousand_random_round_trips_are_exact():
    rng = np.random.default_rng(0)
    priors = {size: in_integers(random_prior(size, sharpness=float(rng.uniform(0.1, 3)))) for size in (2, 8, 77, 512)}
    for _ in range(1000):
        size = int(rng.choice(list(priors)))
        length = int(rng.integers(0, 25 * HOP))
        codes = rng.integers(0, size, -(-length // HOP))
        if rng.random() < 0.5:  # and what the prior finds likely
            codes[:] = np.sort(codes)
        for coder in (Coder(MODEL, HOP, size), Coder(MODEL, HOP, size, priors[size], "cd" * 32)):
            back, samples = code_file.unpack(code_file.pack(codes, length, coder), coder)
            assert samples == length and back.dtype == np.int64 and np.array_equal(back, codes)


def test_a_long_recording_crosses_blocks(under_prior):
    codes = np.random.default_rng(1).integers(0, SIZE, 5000)
    data = code_file.pack(codes, 5000 * HOP, under_prior)
    assert np.array_equal(code_file.unpack(data, under_prior)[0], codes)


def test_the_size_is_the_cross_entropy():
    """The coded file of codes drawn from the prior is within 2 % of what the float network says they cost."""
    from vqvc.synthesis.draw import draw
    from vqvc.training.prior_trainer import bits_of

    model = random_prior(512, 2.0)
    coder = Coder(MODEL, HOP, 512, in_integers(model), "cd" * 32)
    codes = draw(coder.prior, 1500, rng=np.random.default_rng(0))
    torch.set_num_threads(1)
    bits = bits_of(model, codes)
    size = len(code_file.pack(codes, 1500 * HOP, coder))
    assert 8 * (size - code_file.overhead(1500 * HOP)) == pytest.approx(bits, rel=0.004)
    assert 8 * size == pytest.approx(bits, rel=0.02)
    plain = len(code_file.pack(codes, 1500 * HOP, Coder(MODEL, HOP, 512)))
    assert plain == code_file.overhead(1500 * HOP) + -(-1500 * 9 // 8)


def test_every_flipped_byte_and_every_cut_is_noticed(under_prior):
    codes = np.random.default_rng(2).integers(0, SIZE, 90)
    for coder in (PLAIN, under_prior):
        data = code_file.pack(codes, 90 * HOP - 3, coder)
        for at in range(len(data)):
            for changed in (data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :], data[:at]):
                with pytest.raises((CorpusError, UsageError), match="^a.vqc: "):
                    code_file.unpack(changed, coder, "a.vqc")


def _sealed(data: bytes) -> bytes:
    return data + zlib.crc32(data).to_bytes(4, "big")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is not a code file"),
        (b"RIFF....WAVE", "is not a code file"),
        (b"VQ\x20" + b"\0" * 20, "is version 2, coding 0"),
        (b"VQ\x12" + b"\0" * 20, "is version 1, coding 2"),
        (b"VQ\x10\0\0", "is cut short at 5 bytes"),
        (b"VQ\x10" + b"\0" * 20, "is damaged or cut short"),
        (_sealed(b"VQ\x10" + b"\xff" * 20), "was made with another model"),
        (_sealed(b"VQ\x11" + b"\xff" * 20), "was coded under a prior"),
        (_sealed(b"VQ\x10" + PLAIN.fingerprint(0) + b"\xff" * 9), "announces more samples"),
        (_sealed(b"VQ\x10" + PLAIN.fingerprint(0) + b"\x80\x40" + b"\0" * 9), "holds 9 bytes of codes where 128"),
    ],
)
def test_what_is_no_code_file_of_this_model_is_one_sentence(tmp_path, data, says):
    path = tmp_path / "a.vqc"
    path.write_bytes(data)
    with pytest.raises((CorpusError, UsageError), match=rf"a\.vqc: .*{says}") as error:
        code_file.read(path, PLAIN)
    assert "\n" not in str(error.value)
    with pytest.raises(CorpusError, match="no such file"):
        code_file.read(tmp_path / "b.vqc", PLAIN)
    with pytest.raises(CorpusError, match="is a folder"):
        code_file.read(tmp_path, PLAIN)


def test_another_prior_is_refused(under_prior):
    data = code_file.pack(np.zeros(9, int), 9 * HOP, under_prior)
    other = Coder(MODEL, HOP, SIZE, under_prior.prior, "ef" * 32)
    with pytest.raises(UsageError, match="was made with another prior"):
        code_file.unpack(data, other)


def test_a_plain_code_outside_the_codebook_is_refused():
    data = code_file.pack(np.array([6]), HOP, Coder(MODEL, HOP, 7))
    with pytest.raises(CorpusError, match="holds code 6, the codebook ends at 5"):
        code_file.unpack(data, Coder(MODEL, HOP, 6))


def test_a_length_that_the_codes_do_not_make_is_refused():
    with pytest.raises(UsageError, match="3 codes of 64 samples do not make 100 samples"):
        code_file.pack(np.zeros(3, int), 100, PLAIN)


def test_a_file_written_today_is_read_tomorrow(under_prior):
    """Golden bytes: the layout is a promise."""
    codes = np.array([1, 2, 3, 7, 0])
    assert code_file.pack(codes, 5 * HOP - 1, PLAIN).hex() == GOLDEN
    assert code_file.unpack(bytes.fromhex(GOLDEN), PLAIN)[0].tolist() == codes.tolist()


GOLDEN = "565110" "271a413b" "bf02" "29f0" "9c1c1648"  # 3-bit codes 001 010 011 111 000; 319 = 0x3f + 2 * 128
