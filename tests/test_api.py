"""The Python face: what it gives back is as long and as loud as what it was given, and its errors are sentences."""

import subprocess
import sys

import numpy as np
import pytest
from tiny_voice import SPEAKERS, tiny_model

import vqvc
from vqvc.audio import io
from vqvc.conversion import model_file
from vqvc.errors import AudioError, ModelError, UsageError


@pytest.fixture(scope="module")
def converter(tmp_path_factory):
    path = tmp_path_factory.mktemp("api") / "model.safetensors"
    model_file.write(path, tiny_model(), SPEAKERS, {})
    return vqvc.load(path)


def rms_db(samples: np.ndarray) -> float:
    return 10 * np.log10(np.mean(samples**2) + 1e-12)


def test_facts(converter):
    assert (converter.sample_rate, converter.hop_length, converter.speakers) == (16000, 64, ("p225", "p226", "p315"))
    assert converter.codebook.shape == (16, 8) and len(converter.checksum) == 64


def test_a_path_and_its_samples_are_heard_alike(converter, tmp_path, speechlike):
    io.write(tmp_path / "a.wav", speechlike(0.5), 16000)
    codes = converter.encode(tmp_path / "a.wav")
    assert np.array_equal(codes, converter.encode(str(tmp_path / "a.wav")))
    assert np.array_equal(codes, converter.encode(io.read(tmp_path / "a.wav").samples))


def test_codes_do_not_depend_on_level(converter, speechlike):
    samples = speechlike(0.5)
    assert np.mean(converter.encode(samples) == converter.encode(0.1 * samples)) > 0.99


@pytest.mark.parametrize("extra", [0, 1, 63])
def test_output_is_as_long_and_as_loud(converter, speechlike, extra):
    samples = speechlike(0.6)[: 12800 + extra]
    loud, quiet = converter.convert(samples, "p226"), converter.convert(0.1 * samples, "p226")
    assert len(loud) == len(quiet) == len(samples) and loud.dtype == np.float32
    assert rms_db(loud) - rms_db(quiet) == pytest.approx(20, abs=1.0)


def test_one_seed_one_result(converter, speechlike):
    samples = speechlike(0.4)
    first = converter.convert(samples, "p225", seed=1)
    assert np.array_equal(first, converter.convert(samples, "p225", seed=1))
    assert not np.array_equal(first, converter.convert(samples, "p225", seed=2))
    assert not np.array_equal(first, converter.convert(samples, "p226", seed=1))


def test_many_at_once_are_each_alone_when_not_folded(converter, speechlike):
    pairs = [(speechlike(0.3 + 0.1 * n, seed=n), speaker) for n, speaker in enumerate(("p225", "p226", "p225"))]
    together = converter.convert_batch(pairs, fold="off")
    for (samples, speaker), found in zip(pairs, together):
        assert np.array_equal(found, converter.convert(samples, speaker, fold="off"))


def test_decode_says_every_code(converter):
    assert len(converter.decode(np.arange(16), "p225")) == 16 * 64


@pytest.mark.parametrize(
    "codes", [[], [[1, 2]], [0.5, 1.0], [16], [-1]], ids=["none", "two rows", "not whole", "too large", "negative"]
)
def test_codes_that_are_none_are_refused(converter, codes):
    with pytest.raises(UsageError, match="codes"):
        converter.decode(np.array(codes), "p225")


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (np.zeros(0), "no samples"), (np.zeros(6400), "silence"), (np.full(6400, np.nan), "non-finite at sample 0"),
        (np.ones((2, 6400)), "one channel"), (np.sin(np.arange(63.0)), "at least 64"),
    ],
)  # fmt: skip
def test_recordings_that_cannot_be_heard(converter, samples, says):
    with pytest.raises(AudioError, match=says):
        converter.convert(samples, "p225")


def test_unknown_speaker_and_other_wrong_words(converter, speechlike):
    samples = speechlike(0.3)
    with pytest.raises(UsageError, match="p22.*nearest are.*p225"):
        converter.convert(samples, "p22")
    with pytest.raises(UsageError, match="auto, off"):
        converter.convert(samples, "p225", fold="on")
    with pytest.raises(UsageError, match="temperature"):
        converter.convert(samples, "p225", temperature=0)


def test_a_missing_model_is_a_sentence(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        vqvc.load(tmp_path / "model.safetensors")


def test_importing_vqvc_imports_no_torch():
    code = "import sys, vqvc; sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
