"""Recordings of any length: pieces together are the whole, cut where it is quiet, held one at a time, and none differs from it."""

import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_voice import SPEAKERS, tiny_model

import vqvc
from vqvc.audio import io, resample
from vqvc.audio.level import LevelMeter, normalise
from vqvc.conversion import analysis, chunking, encoding, pipeline, source
from vqvc.conversion import model_file as model_files
from vqvc.engine.cpu.sampler import Sampler
from vqvc.errors import AudioError
from vqvc.nn.pitch import PitchTracker

RATE, HOP = 16000, 64


@pytest.fixture(autouse=True)
def short_pieces(monkeypatch):
    monkeypatch.setattr(chunking, "PIECE_S", 1.0)
    monkeypatch.setattr(chunking, "SEARCH_S", 0.4)
    monkeypatch.setattr(io.stream, "__defaults__", (0.7,))


def glide(seconds: float, low_hz: float, high_hz: float) -> np.ndarray:
    """Harmonics of a rising pitch, in syllables."""
    time_s = np.arange(round(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(np.geomspace(low_hz, high_hz, len(time_s))) / RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 9))
    return (0.1 * buzz * (0.15 + np.sin(2 * np.pi * 2 * time_s) ** 2)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40000), max_size=8), st.integers(0, 5), st.sampled_from([0, 640, 6400]))
def test_row_10_pieces_together_are_the_blocks(lengths, seed, around):
    rng = np.random.default_rng(seed)
    blocks = [rng.standard_normal(length).astype(np.float32) for length in lengths]
    whole = np.concatenate([np.zeros(0, np.float32), *blocks])
    found = list(chunking.windows(blocks, RATE, HOP, around))
    pieces = [window.samples[window.begin : window.end] for window in found]
    assert np.array_equal(np.concatenate([np.zeros(0), *pieces]), whole)
    assert all(0 < len(piece) <= 1.4 * RATE for piece in pieces)
    assert all(len(piece) >= 0.4 * RATE for piece in pieces[-1:] if len(found) > 1)  # no crumb at the end
    for window in found:
        assert (window.position + window.begin) % HOP == window.begin % HOP == 0
        assert np.array_equal(window.samples, whole[window.position :][: len(window.samples)])
        assert window.begin == min(around, window.position + window.begin)
        left = len(whole) - window.position - window.end
        assert len(window.samples) - window.end == min(around, left)


def test_pieces_end_where_it_is_quiet(speechlike):
    samples = np.concatenate([speechlike(0.7, seed=n, silence_s=0.1) for n in range(6)])
    cuts = np.cumsum([window.end - window.begin for window in chunking.windows([samples], RATE, HOP, 0)])[:-1]
    assert len(cuts) >= 4
    for cut in cuts:
        assert np.abs(samples[cut : cut + 320]).max() < 0.01  # the frame that was found quiet


def turned(window: chunking.Window, before: int) -> np.ndarray:
    return -window.samples[window.begin - before : window.end]


def turn_file(path, out, out_hz=None) -> None:
    """What a conversion does to a file, the voice being the source's upside down."""
    facts = io.info(path)
    meter = LevelMeter(RATE)
    for block in resample.resample_blocks(io.stream(path), facts.sample_rate, RATE):
        meter.add(block)
    found = chunking.Survey(facts.sample_rate, facts.length_samples, *meter.result())
    pieces = chunking.windows(chunking.levelled(path, found, RATE), RATE, HOP, 640)
    blocks = (block / found.gain for block in chunking.joined(pieces, turned, 640, 16, RATE))
    rate = out_hz or facts.sample_rate
    length = resample.resampled_length(facts.length_samples, facts.sample_rate, rate)
    io.write_blocks(out, resample.resample_blocks(blocks, RATE, rate), rate, length)


@pytest.mark.parametrize(("rate", "out_hz"), [(16000, None), (44100, None), (8000, 48000), (48000, 16000)])
def test_row_10_output_is_exactly_as_long_and_nothing_is_moved(tmp_path, speechlike, rate, out_hz):
    samples = np.concatenate([speechlike(0.9, rate, seed=n) for n in range(4)])[:-13]
    io.write(tmp_path / "a.wav", samples - samples.mean(), rate)
    turn_file(tmp_path / "a.wav", tmp_path / "b.wav", out_hz)
    found = io.read(tmp_path / "b.wav")
    assert found.sample_rate == (out_hz or rate)
    assert len(found.samples) == round(len(samples) * found.sample_rate / rate)
    expected = -io.read(tmp_path / "a.wav", found.sample_rate).samples
    assert np.abs(found.samples - expected).max() < (0.002 if rate == RATE == found.sample_rate else 0.06)
    assert np.corrcoef(found.samples, expected)[0, 1] > 0.999


def test_silent_pieces_stay_silent_and_all_silent_is_refused(tmp_path, speechlike):
    quiet = np.zeros(5 * RATE, np.float32)
    io.write(tmp_path / "a.wav", np.concatenate([speechlike(1.2), quiet, speechlike(1.2)]), RATE)
    turn_file(tmp_path / "a.wav", tmp_path / "b.wav")
    found = io.read(tmp_path / "b.wav").samples
    assert np.abs(found + io.read(tmp_path / "a.wav").samples).max() < 2e-3
    io.write(tmp_path / "q.wav", quiet, RATE)
    with pytest.raises(AudioError, match="silence"):
        chunking.survey(tmp_path / "q.wav", tiny_model())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "b.wav", "q.wav"]  # nothing half-made


def test_row_10_memory_does_not_grow_with_the_recording(tmp_path):
    peaks = []
    for seconds in (10, 100):
        io.write(tmp_path / f"{seconds}.flac", 0.1 * np.sin(np.arange(seconds * RATE) / 9).astype(np.float32), RATE)
        tracemalloc.start()
        turn_file(tmp_path / f"{seconds}.flac", tmp_path / f"{seconds}.wav")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(io.read(tmp_path / f"{seconds}.wav").samples) == seconds * RATE
    assert peaks[1] < 1.2 * peaks[0]


@pytest.mark.parametrize("offset", [0.0, 0.2])
@pytest.mark.parametrize("seconds", [0.02, 0.31, 3.0])
def test_row_68_the_level_of_blocks_is_the_level_of_the_whole(speechlike, seconds, offset):
    samples = speechlike(seconds, silence_s=0.2)[: int((seconds + 0.4) * RATE) - 7] + np.float32(offset)
    whole = normalise(samples, RATE, trim=False)
    meter = LevelMeter(RATE)
    for begin in range(0, len(samples), 1777):
        meter.add(samples[begin : begin + 1777])
    dc, gain = meter.result()
    assert dc == pytest.approx(whole.dc, abs=1e-6) and 20 * np.log10(gain) == pytest.approx(whole.gain_db, abs=1e-3)


@pytest.fixture(scope="module")
def pitched():
    """A tiny model that takes the pitch of its source, and its sampler."""
    model = tiny_model(f0=True)
    return model, Sampler(model, "float32", 1)


@pytest.mark.parametrize("rate", [16000, 44100])
def test_row_68_long_and_short_are_conditioned_alike(tmp_path, monkeypatch, pitched, rate):
    """The pitch rises by an octave: pieces have means of their own, and the conditioning must not follow them."""
    model, sampler = pitched
    samples = resample.resample(glide(5.0, 100, 200), RATE, rate)
    io.write(tmp_path / "a.wav", samples, rate, "FLOAT")
    whole = analysis.levelled(model, io.read(tmp_path / "a.wav", RATE).samples)
    requests = []
    monkeypatch.setattr(
        pipeline, "synthesize", lambda model, sampler, given, *rest: [requests.append(*given) or np.zeros(9**6)]
    )
    found = chunking.survey(tmp_path / "a.wav", model)
    list(chunking.stream(tmp_path / "a.wav", found, model, sampler, 1))
    codes, f0_contour = encoding.encode(model, whole.samples), analysis.f0_contour(model, whole.samples)
    assert len(requests) >= 4
    speaker, covered = torch.tensor([1]), 0
    together = model.condition(
        model.quantizer.lookup(torch.from_numpy(codes)[None]), speaker, torch.from_numpy(f0_contour)[None]
    ).frames[0]
    for request in requests:
        at = request.position // HOP
        kept = slice(at + request.first, at + request.span.stop)
        assert (request.codes[request.span] == codes[kept]).mean() > 0.995
        assert np.abs(request.f0_contour[:, request.span] - f0_contour[:, kept]).max() < 0.02
        alike = np.array_equal(request.codes, codes[at : at + len(request.codes)])
        if alike:  # then the conditioning is alike, to the very edge of the piece
            conditioning = model.condition(
                model.quantizer.lookup(torch.from_numpy(request.codes)[None]),
                speaker,
                torch.from_numpy(request.f0_contour)[None],
            ).frames[0]
            span = slice(4 * request.span.start, 4 * request.span.stop)
            assert (conditioning[span] - together[4 * kept.start : 4 * kept.stop]).abs().max() < 0.02
        assert kept.start <= covered and (request.position == 0 or kept.start < covered)  # it begins before its piece
        covered = kept.stop
    assert covered == len(codes)
    means = [float((r.f0_contour[0] * r.f0_contour[1]).sum() / r.f0_contour[1].sum()) for r in requests]
    assert means[-1] - means[0] > 1.5  # quarters of an octave: relative to the recording, not to the piece


def test_row_68_long_and_short_are_equal_speech_and_seams_do_not_click(tmp_path, pitched):
    model, sampler = pitched
    io.write(tmp_path / "a.wav", glide(5.0, 110, 180), RATE, "FLOAT")
    whole = analysis.levelled(model, io.read(tmp_path / "a.wav").samples)
    request = pipeline.Request.of(analysis.analyse(model, whole.samples), 1, seed=3)
    short = pipeline.synthesize(model, sampler, [request], 0.3, "off")[0][: len(whole.samples)] * 10 ** (
        -whole.gain_db / 20
    )
    found = chunking.survey(tmp_path / "a.wav", model)
    speech = np.concatenate(
        list(chunking.stream(tmp_path / "a.wav", found, model, sampler, 1, seed=3, temperature=0.3, folding="off"))
    )
    assert len(speech) == len(short)
    unlike = np.abs(speech - short) > 0.02 * np.abs(short).max()
    assert unlike.mean() < 0.01
    steps = np.abs(np.diff(speech))
    assert steps.max() <= 1.2 * np.abs(np.diff(short)).max()


def test_row_68_the_pitch_of_parts_is_relative_to_their_recording():
    samples = torch.from_numpy(glide(2.0, 100, 200))[None]
    model = tiny_model(f0=True)
    whole_counts = analysis.pitch_counts(model, samples[0].numpy())
    middle = samples.shape[1] // HOP // 2
    parts = [analysis.pitch_counts(model, samples[0].numpy(), *span) for span in ((0, middle), (middle, None))]
    assert sum(parts) == pytest.approx(whole_counts)
    pitch, voicing = (rows[0].numpy() for rows in PitchTracker(RATE, HOP)(samples))
    centre = analysis.median_pitch(whole_counts)
    assert centre == pytest.approx(np.median(pitch[voicing > 0.5]), abs=0.01)
    half = analysis.f0_contour(model, samples[0, RATE:].numpy(), centre)
    whole = analysis.f0_contour(model, samples[0].numpy())
    assert np.abs(half[:, 20:] - whole[:, RATE // HOP + 20 :]).max() < 1e-3


@pytest.fixture
def converter(tmp_path):
    """The API's object for a tiny model that takes the pitch of its source."""
    model_files.write(tmp_path / "model.safetensors", tiny_model(f0=True), SPEAKERS, {"steps": 0})
    return vqvc.load(tmp_path / "model.safetensors")


def test_row_68_the_api_converts_a_recording_of_any_length(tmp_path, monkeypatch, converter):
    samples = resample.resample(glide(3.0, 110, 180), RATE, 22050)
    io.write(tmp_path / "a.flac", samples, 22050)
    whole = converter.convert(tmp_path / "a.flac", "p226", seed=1, fold="off")
    monkeypatch.setattr(chunking, "LONG_S", 1.0)
    pieces = converter.convert(tmp_path / "a.flac", "p226", seed=1, fold="off")
    assert len(pieces) == len(whole) == len(io.read(tmp_path / "a.flac", RATE).samples)
    assert (np.abs(pieces - whole) < 0.02 * np.abs(whole).max()).mean() > 0.98
    ((number, speech),) = converter.convert_each([(tmp_path / "a.flac", "p226")], seed=1, fold="off")
    assert number == 0 and np.array_equal(speech.samples(), pieces)
    assert (speech.source_rate, speech.source_length_samples) == (22050, io.info(tmp_path / "a.flac").length_samples)
    written = converter.convert(
        tmp_path / "a.flac", "p226", seed=1, fold="off", out=tmp_path / "b.wav", sample_rate=RATE
    )
    assert np.abs(io.read(written).samples - pieces).max() < 1e-4
    read = io.read(tmp_path / "a.flac").samples
    assert np.array_equal(converter.convert((read, 22050), "p226", seed=1, fold="off"), pieces)


def test_row_68_the_analysis_of_pieces_is_that_of_the_whole(tmp_path, monkeypatch, converter):
    io.write(tmp_path / "a.wav", glide(3.3, 110, 180)[:-7], RATE, "FLOAT")
    whole = converter.analyse(tmp_path / "a.wav")
    monkeypatch.setattr(chunking, "LONG_S", 1.0)
    pieces = converter.analyse(tmp_path / "a.wav")
    assert pieces.length_samples == whole.length_samples == round(3.3 * RATE) - 7
    assert pieces.codes.shape == whole.codes.shape and (pieces.codes == whole.codes).mean() > 0.995
    assert np.allclose(pieces.loudness, whole.loudness, rtol=1e-3, atol=1e-9)
    assert np.abs(pieces.f0_contour - whole.f0_contour).max() < 0.02
    assert pieces.gain_db == pytest.approx(whole.gain_db, abs=1e-3)
    assert np.array_equal(converter.encode(tmp_path / "a.wav"), pieces.codes)


@pytest.mark.parametrize("as_file", [True, False], ids=["file", "samples"])
def test_row_10_the_api_writes_what_it_makes_while_it_makes_it(tmp_path, monkeypatch, converter, as_file):
    """Memory does not grow with the recording, from the API as from the command."""
    monkeypatch.setattr(chunking, "LONG_S", 1.0)
    monkeypatch.setattr(source, "BLOCK_S", 0.7)
    monkeypatch.setattr(pipeline, "synthesize", lambda *given: [np.zeros(len(given[2][0].codes) * HOP, np.float32)])
    peaks = []
    for seconds in (5, 25):
        samples = glide(seconds, 110, 180)
        io.write(tmp_path / f"{seconds}.wav", samples, RATE)
        recording = tmp_path / f"{seconds}.wav" if as_file else samples
        tracemalloc.start()
        out = converter.convert(recording, "p226", out=tmp_path / f"out{seconds}.wav")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert io.info(out).length_samples == seconds * RATE
    assert peaks[1] < 1.3 * peaks[0]
