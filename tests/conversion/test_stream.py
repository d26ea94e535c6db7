"""Streams: equal to a conversion of the whole, whatever the blocks."""

import numpy as np
import pytest
import torch
from streams import RATE, in_blocks, model_of, stream_of, whole
from tiny_voice import SPEAKERS

import vqvc
from vqvc.config import from_dict
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.errors import AudioError, UsageError
from vqvc.nn.adaptation import Adaptation
from vqvc.nn.builder import build_model


@pytest.mark.parametrize("kind", ["plain", "f0", "categorical", "deep", "mel"])
@pytest.mark.parametrize("sizes", [[320], [1, 63, 64, 1000, 7], [10**6]], ids=["even", "odd", "one"])
def test_a_stream_equals_the_conversion_of_the_whole_sample_for_sample(kind, sizes, speechlike):
    model, samples = model_of(kind), speechlike(0.6)[:9000]
    made = in_blocks(stream_of(model), samples, sizes)
    assert made.dtype == np.float32 and np.array_equal(made, whole(model, samples))


def test_a_stream_to_an_enrolled_voice_equals_the_conversion_of_the_whole(speechlike):
    model, samples = model_of("deep"), speechlike(0.6)[:9000]
    parts = model.conditioning.new_adaptation(2, torch.Generator().manual_seed(0)).parts()
    adaptation = Adaptation(**{name: part + 0.3 for name, part in parts.items()})
    vector = model.conditioning.speaker.weight[1].detach()
    voice = EnrolledVoice("me", vector, None, (7.0, 0.3), "0" * 64, {}, adaptation)
    made = in_blocks(stream_of(model, speaker=voice), samples, [320])
    assert np.array_equal(made, whole(model, samples, speaker=voice))
    assert not np.array_equal(made, whole(model, samples))


@pytest.mark.parametrize("length", [1, 63, 64, 65, 640, 1990])
def test_a_short_stream_is_as_long_as_its_input_and_equals_the_whole(length, speechlike):
    model, samples = model_of("f0"), speechlike(0.5)[5000 : 5000 + length]
    made = in_blocks(stream_of(model), samples, [100])
    assert len(made) == length
    if length >= model.hop_length:
        assert np.array_equal(made, whole(model, samples))


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_blocks_of_integers_are_scaled_as_in_a_sound_file(dtype, speechlike):
    model, samples = model_of("plain"), speechlike(0.3)
    integers = np.round(samples * np.iinfo(dtype).max).astype(dtype)
    made = in_blocks(stream_of(model), integers, [320])
    assert np.array_equal(made, in_blocks(stream_of(model), integers / np.float32(-float(np.iinfo(dtype).min)), [320]))


@pytest.mark.parametrize("kind", ["f0", "mel"])
def test_running_figures_and_post_filter_do_not_depend_on_the_blocks(kind, speechlike):
    model, samples = model_of(kind), speechlike(1.0)
    options = {"statistics": None, "postfilter": True, "gate_db": -50.0}
    first = in_blocks(stream_of(model, **options), samples, [len(samples)])
    assert len(first) == len(samples) and np.isfinite(first).all() and np.abs(first).max() > 0
    for sizes in ([160], [1001, 3]):
        assert np.allclose(in_blocks(stream_of(model, **options), samples, sizes), first, atol=1e-5)


def test_a_gated_microphone_is_silent_where_it_is_gated(speechlike):
    model = model_of("mel")
    samples = np.concatenate([np.zeros(4000), speechlike(0.4, silence_s=0.0), np.zeros(6000)]).astype(np.float32)
    made = in_blocks(stream_of(model, statistics=None, postfilter=True, gate_db=-70.0), samples, [320])
    assert not made[:2800].any() and not made[-4000:].any() and made[5000:9000].any()
    assert np.isfinite(in_blocks(stream_of(model, statistics=None), np.zeros(8000, np.float32), [320])).all()


# other rates


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_stream_at_another_rate_is_the_stream_between_two_resamplers(rate, speechlike):
    from vqvc.audio.resample import Resampler

    model, samples = model_of("f0"), speechlike(0.5, rate)
    made = in_blocks(stream_of(model, sample_rate=rate), samples, [333])
    inside = in_blocks(stream_of(model), Resampler(rate, RATE).push(samples, True), [10**6])
    wanted = Resampler(RATE, rate).push(inside, True)
    assert len(made) == len(samples)
    count = min(len(made), len(wanted))
    assert np.allclose(made[:count], wanted[:count], atol=1e-3)


# what is refused


def test_what_a_stream_refuses_is_one_sentence(converter_file, speechlike):
    converter = vqvc.load(converter_file)
    stream = converter.stream("p226")
    stream.convert(speechlike(0.1))
    with pytest.raises(AudioError, match="non-finite at sample"):
        stream.convert(np.array([0, np.nan], np.float32))
    with pytest.raises(AudioError, match="one channel"):
        stream.convert(np.zeros((10, 2), np.float32))
    assert len(stream.flush()) and not len(stream.flush())
    with pytest.raises(UsageError, match="ended"):
        stream.convert(np.zeros(1, np.float32))
    with pytest.raises(UsageError, match="nobody"):
        converter.stream("nobody")
    with pytest.raises(UsageError, match="either"):
        converter.stream()
    with pytest.raises(UsageError, match="mean F0 of 5000"):
        converter.stream("p226", source_f0_hz=5000)


def test_a_model_that_does_not_read_the_waveform_is_refused():
    config = from_dict(
        {
            "encoder": {"input": "log_mel", "channels": [8], "strides": [2]},
            "decoder": {"layers": 1, "conditioning_hop": 160},
            "training": {"crop_samples": 6400, "context_samples": 320},
        }
    )
    with pytest.raises(UsageError, match="cannot convert live"):
        stream_of(build_model(config.model, 3).eval())


@pytest.fixture(scope="module")
def converter_file(tmp_path_factory):
    from vqvc.conversion import model_file

    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model_file.write(path, model_of("mel"), SPEAKERS, {"steps": 0})
    return path
