"""The equalizer: corrects a channel and nothing else, alike for a recording, its pieces and a stream."""

import dataclasses

import numpy as np
import pytest
import soundfile
import torch
from channels import RATE, know_speech, speech, tilted
from streams import GIVEN, in_blocks, stream_of, whole
from tiny_voice import SPEAKERS, model_with_mel, tiny_model

import vqvc
from vqvc._util import tensorfile
from vqvc.audio import long_term_spectrum
from vqvc.conversion import analysis, chunking, encoding, equalizer, model_file
from vqvc.conversion.equalizer import (
    MOST_DB,
    START_S,
    SURE_S,
    UPDATE_S,
    Equalizer,
    RunningEqualizer,
    filtered,
    gains_of,
)
from vqvc.errors import ModelError, UsageError


@pytest.fixture(scope="module")
def model():
    """A tiny model that knows the spectrum of ``speech``, with codes that are spread over it."""
    model = know_speech(tiny_model(f0=True))
    with torch.inference_mode():
        z_e = model.latents(torch.from_numpy(analysis.levelled(model, speech(4.0, 9)).samples)[None])[0].T
        picked = torch.linspace(0, len(z_e) - 1, len(model.quantizer.codebook)).long()
        model.quantizer.codebook.copy_(z_e[picked])
    return model


@pytest.fixture(scope="module")
def converter(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model_file.write(path, model, SPEAKERS, {})
    return vqvc.load(path)


def spectrum(samples: np.ndarray) -> np.ndarray:
    return long_term_spectrum.measure(samples, RATE).bands_db


# what it corrects


@pytest.mark.parametrize("tilt", [-3.0, 3.0])
def test_the_spectrum_of_a_channel_comes_back_to_the_edge_of_the_deviation(model, tilt):
    found, samples = Equalizer.of(model), tilted(speech(4.0, 20), tilt)
    (equalized,) = filtered([samples], gains_of(model, samples), RATE)
    before, after = (np.abs(found.mean - spectrum(one)) - found.deviation for one in (samples, equalized))
    assert before.max() > 8 and after.max() < 1.5  # gains are interpolated between bands
    assert np.sqrt((equalized**2).mean() / (samples**2).mean()) == pytest.approx(1.0, abs=0.1)


def test_codes_of_another_channel_are_nearer_to_those_of_the_training_speech(model):
    samples = speech(4.0, 20)
    wanted, other = analysis.analyse_recording(model, samples), tilted(samples, 4.0)
    share = [(analysis.analyse_recording(model, other, on).codes == wanted.codes).mean() for on in (False, True)]
    assert share[1] > share[0] + 0.1


def test_loudness_is_that_of_the_recording_and_f0_that_of_the_training_speech(model):
    samples = speech(4.0, 20)
    clean, other = analysis.analyse_recording(model, samples), tilted(samples, 6.0)
    on, off = (analysis.analyse_recording(model, other, equalizer) for equalizer in (True, False))
    assert np.array_equal(on.loudness, off.loudness) and on.gain_db == off.gain_db
    errors = [np.abs(one.f0_contour[1] - clean.f0_contour[1]).mean() for one in (on, off)]  # voicing
    assert errors[0] < errors[1] / 2


def test_a_source_within_the_deviation_has_the_codes_that_it_had(model):
    wide = know_speech(tiny_model(f0=True), deviation_db=4.0)
    samples = speech(3.0, 20)
    assert gains_of(wide, samples) is None
    assert np.array_equal(
        encoding.encode_recording(wide, samples)[0], encoding.encode_recording(wide, samples, equalizer=False)[0]
    )


def test_a_model_that_has_not_measured_its_speech_has_no_equalizer():
    assert Equalizer.of(tiny_model()) is None and gains_of(tiny_model(), tilted(speech(3.0), 6.0)) is None


def test_gains_have_a_limit_and_little_speech_changes_little(model):
    found, measured = Equalizer.of(model), long_term_spectrum.measure(speech(4.0, 20), RATE)
    far = dataclasses.replace(measured, bands_db=np.where(np.arange(12) < 6, -90.0, 90.0))
    long, short = (np.array(found.gains(dataclasses.replace(far, seconds=s))) for s in (10 * SURE_S, SURE_S / 4))
    assert np.ptp(long) == pytest.approx(2 * MOST_DB) and np.ptp(short) == pytest.approx(MOST_DB / 2)
    assert found.gains(None) is None


def test_the_filter_has_the_gains_and_no_delay():
    gains = tuple(8 * np.sin(np.arange(12.0)))
    found = equalizer.response(gains, RATE)
    size = 8 * len(found)
    wanted = long_term_spectrum.over_bins(np.array(gains), RATE, size)
    made = 20 * np.log10(np.abs(np.fft.rfft(found, size)))
    inside = slice(round(120 * size / RATE), None)
    assert np.abs(made - wanted)[inside].max() < 1.0
    assert np.argmax(np.abs(found)) <= 1


# the same whatever the way


def test_a_file_its_samples_and_pieces_have_the_same_codes(converter, tmp_path, monkeypatch):
    samples = tilted(speech(4.2, 20), 4.0)[:-7]
    soundfile.write(tmp_path / "a.wav", samples, RATE, subtype="FLOAT")
    direct = converter.analyse(tmp_path / "a.wav")
    assert np.array_equal(direct.codes, converter.encode(tmp_path / "a.wav"))
    assert np.array_equal(direct.codes, converter.encode(samples))
    assert np.array_equal(direct.codes, encoding.encode_recording(converter.model, samples, piece_s=0.3)[0])
    assert not np.array_equal(direct.codes, converter.encode(samples, equalizer=False))
    monkeypatch.setattr(chunking, "LONG_S", 1.0)
    monkeypatch.setattr(chunking, "PIECE_S", 1.0)
    monkeypatch.setattr(chunking, "SEARCH_S", 0.3)
    pieces = converter.analyse(tmp_path / "a.wav")
    assert np.array_equal(pieces.codes, direct.codes)
    assert np.array_equal(
        converter.analyse(tmp_path / "a.wav", equalizer=False).codes, converter.encode(samples, equalizer=False)
    )


def test_a_conversion_in_pieces_and_in_a_batch_is_that_of_the_whole(converter, monkeypatch):
    samples, other = tilted(speech(3.0, 20), 4.0), speech(2.0, 21)
    options = {"seed": 1, "fold": "off", "temperature": 0.3, "postfilter": False}
    alone = converter.convert(samples, "p226", **options)
    assert np.array_equal(converter.convert([samples, other], ["p226", "p225"], **options)[0], alone)
    decoded = converter.synthesize([(converter.analyse(samples), "p226")], **options)[0]
    assert np.array_equal(decoded, alone)
    without = converter.convert(samples, "p226", equalizer=False, **options)
    assert not np.array_equal(without, alone)
    monkeypatch.setattr(chunking, "LONG_S", 1.0)
    pieces = converter.convert(samples, "p226", **options)
    assert len(pieces) == len(alone) and (np.abs(pieces - alone) > 0.02 * np.abs(alone).max()).mean() < 0.01
    assert not np.allclose(converter.convert(samples, "p226", equalizer=False, **options), pieces)


@pytest.mark.parametrize("sizes", [[320], [1, 63, 64, 1000, 7], [10**6]], ids=["even", "odd", "one"])
def test_a_stream_with_given_gains_equals_the_conversion_of_the_whole(model, sizes):
    samples = tilted(speech(0.6, 20), 4.0)[:9000]
    given = dataclasses.replace(GIVEN, equalizer_db=gains_of(model, samples))
    made = in_blocks(stream_of(model, statistics=given), samples, sizes)
    assert np.array_equal(made, whole(model, samples, given))
    assert not np.array_equal(made, whole(model, samples))
    assert np.array_equal(
        in_blocks(stream_of(model, statistics=given, equalizer=False), samples, sizes), whole(model, samples)
    )


def test_the_survey_of_a_recording_gives_a_stream_its_gains(model):
    samples = tilted(speech(3.0, 20), 4.0)
    assert chunking.survey(samples, model).equalizer_db == gains_of(model, samples)
    assert chunking.survey(samples, model, equalizer=False).equalizer_db is None


# a stream that knows nothing of its source


def test_a_running_equalizer_does_not_depend_on_the_blocks(model):
    samples, made = tilted(speech(4.0, 20), 4.0), []
    for sizes in ([64], [6400, 64, 640], [10**6]):
        running, parts, begin, turn = RunningEqualizer(Equalizer.of(model)), [], 0, 0
        while begin < len(samples):
            part = samples[begin : begin + sizes[turn % len(sizes)]]
            parts.append(running.push(part, 2 * part))
            begin, turn = begin + len(part), turn + 1
        made.append(np.concatenate(parts))
    assert all(len(one) == len(samples) and np.allclose(one, made[0], atol=1e-6) for one in made)


def test_a_running_equalizer_waits_then_corrects_and_keeps_its_gains_in_pauses(model):
    found, running = Equalizer.of(model), RunningEqualizer(Equalizer.of(model))
    samples = tilted(speech(8.0, 20), 4.0)
    made = running.push(samples, samples)
    first = round(START_S * RATE)
    assert np.array_equal(made[:first], samples[:first]) and not np.array_equal(made, samples)
    assert np.abs(np.array(running.gains) - np.array(gains_of(model, samples))).max() < 2.0
    excess = np.abs(found.mean - spectrum(made[first + round(2 * UPDATE_S * RATE) :])) - found.deviation
    assert excess.max() < 2.5
    gains = np.array(running.gains)
    pause = 1e-4 * np.random.default_rng(0).standard_normal(30 * RATE).astype(np.float32)
    running.push(pause, pause)
    assert np.abs(np.array(running.gains) - gains).max() < 1.5
    steps = np.abs(np.diff(made[first:])).max()
    assert steps < 3 * np.abs(np.diff(samples)).max()  # no click where a filter comes in


def test_a_stream_corrects_what_it_knows_nothing_of_only_where_its_model_can(model):
    samples = tilted(speech(4.0, 20), 4.0)
    options = {"statistics": None}
    made = in_blocks(stream_of(model, **options), samples, [3200])
    without = in_blocks(stream_of(model, equalizer=False, **options), samples, [3200])
    assert np.array_equal(made[:RATE], without[:RATE]) and not np.array_equal(made, without)
    plain = tiny_model(f0=True)
    assert np.array_equal(
        in_blocks(stream_of(plain, **options), samples, [3200]),
        in_blocks(stream_of(plain, equalizer=False, **options), samples, [3200]),
    )


# files and options


def test_a_file_without_the_spectrum_is_read_and_another_lack_is_not(tmp_path):
    model = know_speech(model_with_mel())
    path = tmp_path / "model.safetensors"
    model_file.write(path, model, SPEAKERS, {"steps": 3})
    assert torch.equal(model_file.read(path).model.source_spectrum, model.source_spectrum)
    file = tensorfile.read_header(path, model_file.KIND)
    tensors = file.tensors()
    metadata = {key: file.metadata[key] for key in model_file.KIND.keys if key != "format_version"}
    del tensors["source_spectrum"]
    tensorfile.write(path, model_file.KIND, tensors, metadata)
    found = model_file.read(path).model
    assert found.source_spectrum.shape == model.source_spectrum.shape and not found.source_spectrum.any()
    assert Equalizer.of(found) is None and torch.equal(found.mel_head.weight, model.mel_head.weight)
    del tensors["global_variance"]
    tensorfile.write(path, model_file.KIND, tensors, metadata)
    with pytest.raises(ModelError, match="global_variance: the file has none"):
        model_file.read(path)


def test_weights_without_the_spectrum_set_it_to_zeros():
    model = know_speech(tiny_model())
    weights = {name: tensor for name, tensor in model.state_dict().items() if name not in model.ADDED}
    model.load_state_dict(weights)
    assert not model.source_spectrum.any()


def test_the_option_is_checked_and_belongs_to_recordings(converter):
    for call in (lambda **o: converter.convert(speech(0.3), "p225", **o), lambda **o: converter.stream("p225", **o)):
        with pytest.raises(UsageError, match="equalizer='off': give True or False"):
            call(equalizer="off")
    with pytest.raises(TypeError, match="unexpected keyword equalizer"):
        converter.decode(np.zeros(9, np.int64), "p225", equalizer=False)
