"""Streams: equal to a conversion of the whole, whatever the blocks, within their stated latency."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_voice import SPEAKERS, tiny_model

import vqvc
from vqvc.config import from_dict, load
from vqvc.conversion import analysis, incremental, pipeline
from vqvc.conversion import statistics as statistics_module
from vqvc.conversion.causal_postfilter import CausalPostFilter
from vqvc.conversion.statistics import Gate, RunningLevel, RunningPitch, Statistics
from vqvc.conversion.stream import Latency, Stream
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.engine.cpu.sampler import Sampler
from vqvc.errors import AudioError, UsageError
from vqvc.nn.adaptation import Adaptation
from vqvc.nn.builder import build_model
from vqvc.nn.vqvae import VQVAE

RATE = 16000
GIVEN = Statistics(gain=0.8, dc=0.003, pitch=math.log2(130))


def model_of(kind: str) -> VQVAE:
    """Tiny models of every kind that a stream has to deal with."""
    if kind == "mel":
        config = dataclasses.replace(tiny_model(f0=True).config, n_mels=20)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = build_model(config, len(SPEAKERS)).eval().requires_grad_(False)
            model.global_variance.copy_(torch.rand_like(model.global_variance) + 0.1)
            model.wavenet.out.bias.add_(0.3 * torch.randn_like(model.wavenet.out.bias))
        return model
    if kind == "deep":
        return tiny_model(f0=True, conditioning_layers=4, conditioning_hop=64)
    return {"f0": lambda: tiny_model(f0=True), "plain": tiny_model, "categorical": lambda: tiny_model("categorical")}[
        kind
    ]()


def whole(
    model: VQVAE, samples: np.ndarray, statistics: Statistics = GIVEN, seed: int = 3, speaker: int | EnrolledVoice = 1
) -> np.ndarray:
    """The conversion of a recording with these statistics, in one piece."""
    level = (samples - np.float32(statistics.dc)) * np.float32(statistics.gain)
    source = analysis.analyse(model, level, f0_centre=statistics.pitch)
    request = pipeline.Request.of(source, speaker, seed)
    made = pipeline.synthesize(model, Sampler(model, "float32"), [request], 0.9, "off", postfilter=False)[0]
    return made[: len(samples)] * np.float32(1 / statistics.gain)


def stream_of(model: VQVAE, speaker: int | EnrolledVoice = 1, **options) -> Stream:
    options = {"seed": 3, "temperature": 0.9, "postfilter": False, "statistics": GIVEN} | options
    return Stream(model, Sampler(model, "float32"), speaker, **options)


def in_blocks(stream: Stream, samples: np.ndarray, sizes: list[int]) -> np.ndarray:
    """All of a stream's output for samples in blocks of these sizes, over and over."""
    made, begin, turn = [], 0, 0
    while begin < len(samples):
        size = sizes[turn % len(sizes)]
        made.append(stream.convert(samples[begin : begin + size]))
        begin, turn = begin + size, turn + 1
    return np.concatenate([*made, stream.flush()])


# equal to the whole


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


@pytest.mark.parametrize("kind", ["f0", "mel"])
def test_running_figures_and_post_filter_do_not_depend_on_the_blocks(kind, speechlike):
    model, samples = model_of(kind), speechlike(1.0)
    options = {"statistics": None, "postfilter": True, "gate_db": -50.0}
    first = in_blocks(stream_of(model, **options), samples, [len(samples)])
    assert len(first) == len(samples) and np.isfinite(first).all() and np.abs(first).max() > 0
    for sizes in ([160], [1001, 3]):
        assert np.allclose(in_blocks(stream_of(model, **options), samples, sizes), first, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=12), st.integers(0, 2), st.integers(1, 4))
def test_layers_in_parts_equal_the_layer_of_the_whole(parts, layers, dilation):
    config = from_dict(
        {
            "encoder": {
                "channels": [6, 6], "strides": [2, 5], "context_layers": layers, "context_dilations": [dilation, 3],
            },
            "decoder": {"layers": 1, "conditioning_layers": layers, "conditioning_channels": 6, "conditioning_hop": 5},
            "training": {"precision": "float32", "crop_samples": 1000, "context_samples": 100},
        }
    )  # fmt: skip
    model = build_model(config.model, 2).eval()
    hop = model.hop_length
    parts = [*parts, -sum(parts) % hop]
    waveform = torch.randn(sum(parts))
    if not len(waveform):
        return
    encoder, conditioner = incremental.EncoderStream(model), incremental.ConditionerStream(model, 1)
    with torch.inference_mode():
        pieces = waveform.split(parts)
        codes = torch.cat([encoder.push(piece, index == len(parts) - 1) for index, piece in enumerate(pieces)])
        assert torch.equal(codes, model.encode(waveform[None])[0])
        z_q = torch.randn(1, model.config.quantizer.codebook_dim + 3 * model.config.decoder.f0, len(codes))
        frames = torch.cat([conditioner.push(z_q[..., :3]), conditioner.push(z_q[..., 3:], True)], dim=1)
        assert torch.allclose(frames, model.conditioning(z_q, torch.tensor([1])), atol=1e-5)


def test_pitch_in_parts_is_that_of_the_whole(speechlike):
    for hop in (64, 640, 1000):
        track = incremental.PitchTracker(RATE, hop)
        samples = torch.from_numpy(speechlike(0.5)[: 8 * 1000])
        samples = samples[: len(samples) // hop * hop]
        stream = incremental.PitchStream(track)
        found = [stream.push(part) for part in samples.split(700)] + [stream.push(samples[:0], True)]
        pitch, voicing = (torch.cat(parts) for parts in zip(*found))
        wanted = track(samples[None])
        assert torch.allclose(pitch, wanted[0][0], atol=1e-4) and torch.allclose(voicing, wanted[1][0], atol=1e-4)


# latency


@pytest.mark.parametrize("kind", ["plain", "f0", "categorical", "deep", "mel"])
def test_output_does_not_depend_on_input_later_than_the_latency(kind, speechlike):
    """What a sample can change, the stated latency before it at the earliest; and some sample does change that much."""
    model, samples = model_of(kind), speechlike(0.5, silence_s=0.02)[:6400]
    options = {"statistics": None, "postfilter": True, "gate_db": -60.0}
    before = in_blocks(stream_of(model, **options), samples, [6400])
    latency = Latency.of(model).samples
    for at in (3000, 4160, 4223):
        changed = samples.copy()
        changed[at:] = 0.3 * np.random.default_rng(at).standard_normal(len(samples) - at)
        differ = np.flatnonzero(in_blocks(stream_of(model, **options), changed, [6400]) != before)
        assert len(differ) and differ[0] >= at - latency


def test_the_latency_is_no_longer_than_the_conditioning_needs(speechlike):
    """The first frame that the last sample of a window reaches is conditioned on it."""
    model = model_of("deep")
    latency, hop = Latency.of(model), model.hop_length
    waveform = torch.from_numpy(speechlike(0.5, silence_s=0.02)[:6400])
    waveform.requires_grad_(True)
    z_e = model.latents(waveform[None])
    z_q = torch.cat([z_e, torch.zeros(1, 3, z_e.shape[2])], dim=1)
    frame = model.conditioning(z_q, torch.tensor([1]))[0, 20]
    frame.square().sum().backward()
    last = int(waveform.grad.nonzero().max())
    assert latency.samples - latency.f0 - hop < last - 20 * hop <= latency.samples - latency.f0


@pytest.mark.parametrize("rate", [None, 8000, 44100, 48000])
def test_a_stream_gives_what_it_has_taken_but_for_its_latency(rate, speechlike):
    model = model_of("deep")
    stream = stream_of(model, sample_rate=rate, statistics=None)
    samples = speechlike(0.6, rate or RATE)
    taken = given_out = 0
    for begin in range(0, len(samples), 441):
        block = samples[begin : begin + 441]
        taken += len(block)
        given_out += len(stream.convert(block))
        assert taken >= given_out >= taken - stream.latency_samples
    assert given_out + len(stream.flush()) == taken


def test_the_parts_of_the_latency_of_the_released_size():
    latency = Latency.of(build_model(load("small").model, 2))
    assert latency == Latency(code=63, encoder=1024, f0=0, conditioning=896, postfilter=256)
    assert latency.samples == 2239  # 140 ms


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


# running figures of the source


def test_the_running_level_comes_near_to_that_of_the_whole(speechlike):
    for gain in (0.1, 1.0, 3.0):
        samples = gain * speechlike(6.0, silence_s=0.0) + np.float32(0.01)
        running = RunningLevel(RATE, 64, 0.06)
        levelled, undone = running.levelled(samples[: len(samples) // 64 * 64])
        late = levelled[3 * RATE :]
        assert 0.045 < float(np.sqrt((late**2).mean())) < 0.08
        assert abs(float(late.mean())) < 0.01
        assert np.allclose(levelled * undone, samples[: len(levelled)], atol=0.02 * gain + 0.011)


def test_pauses_and_digital_silence_do_not_move_the_level(speechlike):
    running = RunningLevel(RATE, 64, 0.06)
    running.levelled(0.3 * speechlike(3.0, silence_s=0.0)[: 3 * RATE // 64 * 64])
    before = running.gain
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(10 * RATE // 64 * 64).astype(np.float32)
    for pause in (quiet, 0 * quiet):
        levelled, _ = running.levelled(pause)
        assert running.gain == pytest.approx(before, rel=0.05) and np.isfinite(levelled).all()


def test_the_running_pitch_goes_from_its_prior_to_the_median_of_the_source():
    code_s, a_bin = 0.004, 0.005  # octaves that a bin of the histogram is wide
    voiced, unvoiced = np.full(500, 7.0), np.zeros(500)
    running = RunningPitch(code_s, prior=8.0)
    assert running.median == pytest.approx(8.0, abs=a_bin)
    assert (running.after(voiced, unvoiced) == np.float32(running.median)).all()  # unvoiced: it stays
    medians = running.after(voiced, np.ones(500))
    assert (np.diff(medians) <= 0).all() and medians[-1] == pytest.approx(7.0, abs=a_bin)
    running.after(np.full(50, 8.0), np.ones(50))  # octave errors in a tenth of the frames
    assert running.median == pytest.approx(7.0, abs=a_bin)
    running.after(np.full(100_000, 6.0), np.ones(100_000))
    assert running.median == pytest.approx(6.0, abs=a_bin)  # it follows another speaker
    assert (
        RunningPitch(code_s, 8.0, start=7.5).after(voiced, np.ones(500))[-1] > 7.4
    )  # a start that was given is trusted
    assert RunningPitch(code_s, 8.0, given=7.5).after(voiced, np.ones(500))[-1] == 7.5


def test_the_running_pitch_ends_at_the_centre_of_an_offline_conversion(speechlike):
    model, samples = model_of("f0"), speechlike(6.0)
    samples = samples[: len(samples) // model.hop_length * model.hop_length]
    running = RunningPitch(model.hop_length / RATE, prior=8.0)
    tracked = model.f0_conditioner.track(torch.from_numpy(samples)[None])
    end = running.after(*(rows[0].numpy() for rows in tracked))[-1]
    assert end == pytest.approx(analysis.median_pitch(analysis.pitch_counts(model, samples)), abs=0.02)


def test_the_prior_of_the_pitch_is_the_mean_of_the_speakers_that_have_one():
    sums = np.array([[700.0, 100.0], [0.0, 0.0], [160.0, 20.0]])
    assert statistics_module.prior_pitch(sums) == pytest.approx(7.5)
    assert statistics_module.prior_pitch(0 * sums) == pytest.approx(math.log2(statistics_module.PRIOR_HZ))


def test_the_gate_opens_before_and_closes_after_what_is_loud():
    hop = 64
    samples = np.zeros(100 * hop, np.float32)
    samples[50 * hop : 60 * hop] = 0.1
    gate = Gate(RATE, hop, -60.0, most_ahead=100)
    parts = [gate.factors(part) for part in np.split(samples, 10)]
    factors = np.concatenate([*parts, gate.factors(samples[:0], True)]).reshape(100, hop)
    assert (factors[: 50 - gate.hold] == 0).all() and (factors[50 : 60 + gate.hold] == 1).all()
    assert (factors[61 + gate.hold :] == 0).all() and (np.diff(factors.ravel()[: 50 * hop]) >= 0).all()
    assert np.abs(np.diff(factors.ravel())).max() < 0.05  # no click


def test_a_gated_microphone_is_silent_where_it_is_gated(speechlike):
    model = model_of("mel")
    samples = np.concatenate([np.zeros(4000), speechlike(0.4, silence_s=0.0), np.zeros(6000)]).astype(np.float32)
    made = in_blocks(stream_of(model, statistics=None, postfilter=True, gate_db=-70.0), samples, [320])
    assert not made[:2800].any() and not made[-4000:].any() and made[5000:9000].any()
    assert np.isfinite(in_blocks(stream_of(model, statistics=None), np.zeros(8000, np.float32), [320])).all()


# the post-filter


def test_the_causal_post_filter_brings_what_is_made_to_what_is_predicted():
    """Noise of one spectrum, predicted to have another: after a second its log-mel frames lie where they are predicted."""
    model = model_of("mel")
    model.global_variance.zero_()
    rng, frames = np.random.default_rng(0), 3 * RATE // 16
    noise = (0.05 * rng.standard_normal(frames * 16)).astype(np.float32)
    tilted = np.convolve(noise, [1.0, 0.6])[: len(noise)].astype(np.float32)
    wanted = model.mel(torch.from_numpy(tilted)[None])[0].mean(1)
    shape = CausalPostFilter(model, 1)
    parts = [shape.push(part, wanted.expand(len(part) // 16, -1)) for part in np.split(noise, 50)]
    parts.append(shape.push(noise[:0], wanted[None, :][:0], last=True))
    made = np.concatenate(parts)
    assert len(made) == len(noise)
    found, plain = (model.mel(torch.from_numpy(x)[None])[0, :, frames // 2 :].mean(1) for x in (made, noise))
    shape_of = lambda mel: mel - mel.mean()  # noqa: E731 - loudness is kept apart
    assert float((shape_of(found) - shape_of(wanted)).norm()) < 0.35 * float(
        (shape_of(plain) - shape_of(wanted)).norm()
    )
    assert float(np.sqrt((made**2).mean())) == pytest.approx(float(np.sqrt((noise**2).mean())), rel=0.05)


def test_minimum_phase_has_the_magnitude_and_the_least_delay():
    from vqvc.conversion.causal_postfilter import _minimum_phase

    nepers = np.cos(np.linspace(0, 4 * np.pi, 257))[None]
    response = _minimum_phase(nepers)
    assert np.allclose(np.log(np.abs(np.fft.rfft(response))), nepers, atol=1e-6)
    assert (response[0, :32] ** 2).sum() > 0.9 * (response**2).sum()


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
