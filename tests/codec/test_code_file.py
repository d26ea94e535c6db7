"""Code files: exact, small, and one sentence for what cannot be read."""

import zlib

import numpy as np
import pytest
from tiny_prior import HOP, MODEL, SIZE, in_integers, random_prior

from vqvc.codec import code_file
from vqvc.codec.code_file import Coder
from vqvc.errors import CorpusError, UsageError

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


def test_four_seconds_of_codes_are_within_two_percent_of_their_cross_entropy():
    """A file of codes drawn from the prior, against what they cost by the float network: about 3.5 bits each."""
    from vqvc.codec.draw import draw
    from vqvc.training.prior_task import bits_of

    model = random_prior(16, 1.0)
    coder = Coder(MODEL, HOP, 16, in_integers(model), "cd" * 32)
    for seed in range(3):
        codes = draw(coder.prior, 1000, rng=np.random.default_rng(seed))
        bits = bits_of(model, codes)
        size = len(code_file.pack(codes, 1000 * HOP, coder))
        assert 3000 < bits < 4000 and bits < 8 * size < 1.02 * bits
        assert 8 * (size - code_file.overhead(1000 * HOP)) == pytest.approx(bits, abs=9)


@pytest.mark.parametrize(("seconds", "frame"), [(0, 6), (0.01, 6), (0.02, 7), (4, 7), (5, 8), (1000, 8), (1100, 9)])
def test_the_frame_has_few_bytes(seconds, frame):
    """What a file has beside its codes: a byte of its own, the length's, four of the check."""
    length = int(seconds * 16000)
    codes = np.zeros(-(-length // HOP), int)
    assert len(code_file.pack(codes, length, PLAIN)) == frame + -(-len(codes) * 3 // 8)
    assert code_file.overhead(length) == frame


def test_every_change_of_four_bytes_and_every_cut_is_noticed_and_named(under_prior):
    rng = np.random.default_rng(2)
    codes = rng.integers(0, SIZE, 90)
    for coder in (PLAIN, under_prior):
        data = code_file.pack(codes, 90 * HOP - 3, coder)
        number = int.from_bytes(data, "little")
        for at in range(len(data)):
            flips = [1 << bit for bit in range(8)] + rng.integers(1, 1 << 8 * min(4, len(data) - at), 20).tolist()
            changed = [(number ^ flip << 8 * at).to_bytes(len(data), "little") for flip in flips]
            for damaged in (*changed, data[:at]):
                with pytest.raises(CorpusError, match="^a.vqc: (is damaged or cut short|is not a code file)"):
                    code_file.unpack(damaged, coder, "a.vqc")


def _sealed(data: bytes, checksum: str = MODEL) -> bytes:
    seal = int.from_bytes(2 * bytes.fromhex(checksum[:4]), "big")
    return data + (zlib.crc32(data) ^ seal).to_bytes(4, "little")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a code file"),
        (b"RIFF....WAVE", "is not a code file"),
        (b"PK\x03\x04" + b"\0" * 20, "is not a code file"),
        ("\ufeffa text, by chance .vqc".encode(), "is not a code file"),
        (b"\xb8" + b"\0" * 20, "is not a code file"),
        (b"\xb0", "is damaged or cut short"),
        (b"\xb0\0\xb0\0", "is damaged or cut short"),
        (b"\xb0" + b"\0" * 20, "is damaged or cut short"),
        (_sealed(b"\xb0" + b"\xff" * 20, "1234" * 16), "was made with another model"),
        (_sealed(b"\xb4" + b"\xff" * 20), "was coded under a prior"),
        (_sealed(b"\xb1\0\x20" + b"\0" * 9), "holds 9 bytes of codes where 128"),
        (_sealed(b"\xb3\1"), "holds 0 bytes of codes where"),
    ],
)
def test_what_is_no_code_file_of_this_model_is_one_sentence(tmp_path, data, message):
    path = tmp_path / "a.vqc"
    path.write_bytes(data)
    with pytest.raises((CorpusError, UsageError), match=rf"a\.vqc: .*{message}") as error:
        code_file.read(path, PLAIN)
    assert "\n" not in str(error.value)
    with pytest.raises(CorpusError, match="no such file"):
        code_file.read(tmp_path / "b.vqc", PLAIN)
    with pytest.raises(CorpusError, match="is a folder"):
        code_file.read(tmp_path, PLAIN)


def test_another_model_or_prior_is_refused(under_prior):
    for coder, other, what in (
        (PLAIN, Coder("ef" * 32, HOP, SIZE), "model"),
        (under_prior, Coder(MODEL, HOP, SIZE, under_prior.prior, "ef" * 32), "prior"),
    ):
        data = code_file.pack(np.zeros(9, int), 9 * HOP, coder)
        with pytest.raises(UsageError, match=f"was made with another {what}"):
            code_file.unpack(data, other)


def test_a_plain_code_outside_the_codebook_is_refused():
    data = code_file.pack(np.array([6]), HOP, Coder(MODEL, HOP, 7))
    with pytest.raises(CorpusError, match="holds code 6, the codebook ends at 5"):
        code_file.unpack(data, Coder(MODEL, HOP, 6))


def test_a_length_that_the_codes_do_not_make_is_refused():
    with pytest.raises(UsageError, match="3 codes of 64 samples do not make 100 samples"):
        code_file.pack(np.zeros(3, int), 100, PLAIN)
    with pytest.raises(UsageError, match="2 codes of .* do not make 4294967296 samples"):
        code_file.pack(np.zeros(2, int), 1 << 32, Coder(MODEL, 1 << 31, SIZE))


def test_a_file_written_today_is_read_tomorrow():
    """Golden bytes: the layout is a promise."""
    codes = np.array([1, 2, 3, 7, 0])
    coder = Coder("1234" + 60 * "0", HOP, SIZE)
    assert code_file.pack(codes, 5 * HOP - 1, coder).hex() == GOLDEN
    assert code_file.unpack(bytes.fromhex(GOLDEN), coder)[0].tolist() == codes.tolist()


GOLDEN = "b13f0129f0ba2bc0a9"  # 3-bit codes 001 010 011 111 000; 319 = 0x3f + 256
