"""The Python API: what it gives back is as long and as loud as what it was given, and its errors are sentences."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from tiny_voice import SPEAKERS, tiny_model

import vqvc
from vqvc.audio import io, resample
from vqvc.conversion import code_encoder_file, model_file
from vqvc.errors import AudioError, ModelError, UsageError, VqvcError


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


def test_a_path_and_its_samples_have_the_same_codes(converter, tmp_path, speechlike):
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
    sources, speakers = map(list, zip(*pairs))
    together = converter.convert(sources, speakers, fold="off")
    for (samples, speaker), found in zip(pairs, together):
        assert np.array_equal(found, converter.convert(samples, speaker, fold="off"))


def test_decode_makes_a_hop_for_every_code(converter):
    assert len(converter.decode(np.arange(16), "p225")) == 16 * 64


@pytest.mark.parametrize(
    "codes", [[], [[1, 2]], [0.5, 1.0], [16], [-1]], ids=["none", "two rows", "not whole", "too large", "negative"]
)
def test_codes_that_are_none_are_refused(converter, codes):
    with pytest.raises(UsageError, match="codes"):
        converter.decode(np.array(codes), "p225")


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(0), "no samples"), (np.zeros(6400), "silence"), (np.full(6400, np.nan), "non-finite at sample 0"),
        (np.ones((2, 6400)), "one channel"), (np.sin(np.arange(63.0)), "at least 64"),
    ],
)  # fmt: skip
def test_recordings_that_cannot_be_converted(converter, samples, message):
    with pytest.raises(AudioError, match=message):
        converter.convert(samples, "p225")


def test_unknown_speaker_and_other_wrong_words(converter, speechlike):
    samples = speechlike(0.3)
    with pytest.raises(UsageError, match="p22.*nearest are.*p225"):
        converter.convert(samples, "p22")
    with pytest.raises(UsageError, match="auto, off"):
        converter.convert(samples, "p225", fold="on")
    with pytest.raises(UsageError, match="temperature"):
        converter.convert(samples, "p225", temperature=0)


def test_whole_numbers_are_scaled_as_those_of_a_sound_file(converter, speechlike, tmp_path):
    samples = speechlike(0.3)
    for dtype, subtype, scale in ((np.int16, "PCM_16", 2**15), (np.int32, "PCM_32", 2**31), (np.uint8, "PCM_U8", 2**7)):
        whole = np.rint(samples.astype(np.float64) * scale + (128 if dtype is np.uint8 else 0)).astype(dtype)
        path = tmp_path / f"{subtype}.wav"
        soundfile.write(path, whole if subtype != "PCM_U8" else (whole.astype(np.float32) - 128) / 128, 16000, subtype)
        assert np.array_equal(converter.encode(whole), converter.encode(path))
        assert np.array_equal(converter.convert((whole, 16000), "p225"), converter.convert(path, "p225"))


def test_tensors_and_sequences_are_samples_too(converter, speechlike):
    samples = speechlike(0.3)
    expected = converter.encode(samples)
    tensor = torch.tensor(samples)
    for same in (tensor, tensor.clone().requires_grad_(), samples.tolist(), samples.astype(">f4"), (tensor, 16000.0)):
        assert np.array_equal(converter.encode(same), expected)
    assert len(converter.encode(tensor.bfloat16())) == len(expected)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (None, "give a path, samples"), ({"array": [0.0]}, "give a path, samples"), (b"a.wav", "give a path, samples"),
        ([["a.wav"], 2], "holds no samples"), (np.zeros(9, bool), "of type bool"), (np.zeros(9, complex), "complex"),
        (np.arange(9), "full scale is unknown"), (("a.wav", "b.wav"), "a batch as a list"), (("a.wav", 16000), "path alone"),
        ((16000, np.zeros(9)), "samples first"), ((np.zeros(9), "16000"), "whole number of Hz"),
        ((np.zeros(9), None), "whole number of Hz"), ((np.zeros(9), 22050.5), "whole number"), ((1, 2, 3), "tuple of 3"),
    ],
)  # fmt: skip
def test_what_is_no_source_is_refused_with_what_is(converter, source, sentence):
    with pytest.raises(UsageError, match=sentence):
        converter.encode(source)


def test_what_is_not_finite_is_named_at_the_rate_that_it_was_given_at(converter, speechlike):
    samples = speechlike(0.3, 44100)
    samples[77] = np.nan
    with pytest.raises(AudioError, match="non-finite at sample 77"):
        converter.convert((samples, 44100), "p225")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"speaker": 225}, "give one of converter.speakers"), ({"speaker": b"p225"}, "give one of converter.speakers"),
        ({"speaker": None, "voice": np.zeros(3)}, "a voice of converter.enroll"), ({"speaker": "me.voice"}, "voice="),
        ({"seed": None}, "whole number"), ({"seed": 1.5}, "whole number"), ({"temperature": "1"}, "give a number"),
        ({"postfilter": "off"}, "True or False"), ({"sample_rate": 8000}, "out="), ({"subtype": "PCM_24"}, "out="),
        ({"normalise": True}, "out="), ({"out": 3}, "path of a sound file"), ({"out": ["b.wav"]}, "path of a sound file"),
    ],
)  # fmt: skip
def test_other_wrong_words_are_sentences(converter, speechlike, wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        converter.convert(speechlike(0.3), **{"speaker": "p225", **wrong})


def test_an_output_that_cannot_be_is_refused_before_the_work(converter, speechlike, tmp_path, monkeypatch):
    source = tmp_path / "a.wav"
    soundfile.write(source, speechlike(0.3), 16000)
    before = source.read_bytes()
    monkeypatch.setattr(converter, "convert_each", None)
    (tmp_path / "file").write_text("mine")
    for out, more, sentence in (
        (source, {"overwrite": True}, "is the input itself"), (tmp_path, {"overwrite": True}, "is a folder"),
        (tmp_path / "b.xyz", {}, "no known sound format"), (tmp_path / "b.wav", {"subtype": "24"}, "no subtype 24"),
        (tmp_path / "b.opus", {"sample_rate": 44100}, "cannot hold 44100 Hz"), (tmp_path / "file" / "b.wav", {}, "is a file"),
    ):  # fmt: skip
        with pytest.raises(VqvcError, match=sentence):
            converter.convert(source, "p225", out=out, **more)
    with pytest.raises(AudioError, match="sample rate of 0 Hz"):
        converter.convert(source, "p225", out=tmp_path / "b.wav", sample_rate=0)
    assert source.read_bytes() == before


def test_a_stream_refuses_what_a_conversion_refuses(converter):
    for wrong in ({"sample_rate": "48000"}, {"sample_rate": 0}, {"seed": "1"}, {"postfilter": "off"}, {"speaker": 3}):
        with pytest.raises(VqvcError):
            converter.stream(**{"speaker": "p225", **wrong})


def test_samples_bring_their_rate(converter, speechlike):
    samples = speechlike(0.5, 44100)
    found = converter.convert((samples, 44100), "p225")
    assert len(found) == resample.resampled_length(len(samples), 44100, 16000)
    assert np.array_equal(found, converter.convert(resample.resample(samples, 44100, 16000), "p225"))
    with pytest.raises(AudioError, match="sample rate of 0 Hz"):
        converter.convert((samples, 0), "p225")


def test_a_batch_is_written_at_the_rate_of_its_sources(converter, speechlike, tmp_path):
    outs = [tmp_path / "a.wav", tmp_path / "b.flac"]
    sources = [(speechlike(0.4, 22050), 22050), (speechlike(0.3, 8000), 8000)]
    assert converter.convert(sources, "p226", out=outs) == outs
    for (samples, rate), out in zip(sources, outs):
        assert (io.info(out).sample_rate, io.info(out).length_samples) == (rate, len(samples))
    before = outs[0].read_bytes()
    with pytest.raises(UsageError, match="exists already; give overwrite=True"):
        converter.convert(sources, "p225", out=outs)
    assert outs[0].read_bytes() == before
    assert converter.convert(sources[0], "p225", out=outs[0], overwrite=True) == outs[0]
    assert outs[0].read_bytes() != before


def test_a_batch_needs_as_many_speakers_as_sources(converter, speechlike, tmp_path):
    with pytest.raises(UsageError, match="1 sources, 2 speakers"):
        converter.convert([speechlike(0.3)], ["p225", "p226"])
    with pytest.raises(UsageError, match="same name"):
        converter.convert([speechlike(0.3)] * 2, "p225", out=[tmp_path / "a.wav"] * 2)


def test_one_that_fails_does_not_end_a_batch(converter, speechlike, tmp_path):
    sources = [speechlike(0.3), np.zeros(6400, np.float32), tmp_path / "none.wav", speechlike(0.4)]
    failed = {}
    made = dict(converter.convert_each([(one, "p225") for one in sources], failed=failed.__setitem__))
    assert list(made) == [0, 3] and [len(made[n].samples()) for n in made] == [len(sources[0]), len(sources[3])]
    assert "silence" in str(failed[1]) and "no such file" in str(failed[2])
    with pytest.raises(AudioError, match="silence"):
        list(converter.convert_each([(one, "p225") for one in sources[:2]]))


def test_what_is_skipped_changes_nothing_else(converter, speechlike):
    pairs = [(speechlike(0.3 + n / 10, seed=n), "p226") for n in range(3)]
    whole = {n: speech.samples() for n, speech in converter.convert_each(pairs)}
    rest = {n: speech.samples() for n, speech in converter.convert_each(pairs, skip={0, 2})}
    assert list(rest) == [1] and np.array_equal(rest[1], whole[1])


def test_progress_counts_what_is_made(converter, speechlike):
    made = []
    found = converter.convert(speechlike(0.5), "p225", fold="off", progress=made.append)
    assert sum(made) == -(-len(found) // 64) * 64
    with pytest.raises(TypeError, match="unexpected keyword tempo"):
        converter.convert(speechlike(0.5), "p225", tempo=2)


def test_the_device_is_named_as_in_torch(converter, tmp_path):
    path = tmp_path / "model.safetensors"
    model_file.write(path, tiny_model(), SPEAKERS, {})
    assert str(vqvc.load(path, device="cpu").device) == "cpu"
    with pytest.raises(UsageError, match="is no device"):
        vqvc.load(path, device="gpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_all_of_a_conversion_runs_on_the_device(speechlike, tmp_path):
    path = tmp_path / "model.safetensors"
    model_file.write(path, tiny_model(f0=True), SPEAKERS, {})
    cpu, gpu = (vqvc.load(path, device=device) for device in ("cpu", "cuda"))
    assert {tensor.device.type for tensor in gpu.model.state_dict().values()} == {"cuda"}
    samples = speechlike(1.0)
    assert (cpu.encode(samples) == gpu.encode(samples)).mean() > 0.98
    assert gpu.convert(samples, "p225").shape == samples.shape


def test_a_missing_model_is_a_sentence(tmp_path):
    with pytest.raises(ModelError, match="no such file"):
        vqvc.load(tmp_path / "model.safetensors")


def test_importing_vqvc_imports_no_torch():
    code = "import sys, vqvc; sys.exit('torch' in sys.modules or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_an_encoder_alone_makes_the_codes_of_its_model(converter, tmp_path, speechlike):
    io.write(tmp_path / "a.wav", speechlike(0.5), 16000)
    model_file.write(tmp_path / "model.safetensors", tiny_model(), SPEAKERS, {})
    encoder = vqvc.load_encoder(tmp_path / "model.safetensors")
    assert (encoder.sample_rate, encoder.hop_length) == (16000, 64) and encoder.codebook.shape == (16, 8)
    assert np.array_equal(
        encoder.encode(tmp_path / "a.wav"), vqvc.load(tmp_path / "model.safetensors").encode(tmp_path / "a.wav")
    )
    code_encoder_file.write(tmp_path / "encoder.safetensors", encoder.model, {})
    alone = vqvc.load_encoder(str(tmp_path / "encoder.safetensors"), device="cpu")
    assert alone.encode(io.read(tmp_path / "a.wav").samples).shape == encoder.encode(tmp_path / "a.wav").shape


def test_the_included_encoder_is_found_by_its_name(tmp_path, speechlike):
    io.write(tmp_path / "a.wav", speechlike(0.5), 16000)
    codes = vqvc.load_encoder("phones").encode(tmp_path / "a.wav")
    assert codes.dtype == np.int64 and len(codes) == -(-io.info(tmp_path / "a.wav").length_samples // 640)
    with pytest.raises(UsageError, match="there are phones"):
        vqvc.load_encoder("phonemes")
    with pytest.raises(ModelError, match="absent.safetensors"):
        vqvc.load_encoder(tmp_path / "absent.safetensors")
