"""Refinement: codes that predict the recording better, by a model that stays as it is."""

import numpy as np
import pytest
import soundfile
import torch
from tiny_voice import model_with_mel, tiny_model

from vqvc.cli import convert
from vqvc.conversion import analysis, chunking, refinement
from vqvc.errors import UsageError

RATE = 16000


def refined(model, samples, codes=None):
    plain = analysis.analyse(model, samples)
    codes = plain.codes if codes is None else codes
    return plain.codes, refinement.refine(model, samples, codes, plain.f0_contour)


def test_the_codes_predict_the_recording_better(speechlike):
    model, samples = model_with_mel(), speechlike(1.0)
    plain = analysis.analyse(model, samples)
    source = refinement._Source(model, samples, plain.codes, plain.f0_contour)
    speaker = source.speaker()
    better = source.codes_for(speaker)

    def error(codes, vector):
        return float(source._error(model.quantizer.lookup(torch.from_numpy(codes)[None]), vector).detach())

    assert better.dtype == np.int64 and better.shape == plain.codes.shape
    assert error(better, speaker) < error(plain.codes, speaker)
    assert error(plain.codes, speaker) < error(plain.codes, model.conditioning.speaker.weight.mean(0))


def test_the_model_stays_as_it_is(speechlike):
    model = model_with_mel()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.mel_head.requires_grad_(False)
    refined(model, speechlike(0.5))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == {"mel_head.weight", "mel_head.bias"}


def test_the_result_is_the_same_again_and_in_inference_mode(speechlike):
    model, samples = model_with_mel(), speechlike(0.5)
    codes, once = refined(model, samples)
    with torch.inference_mode():
        assert np.array_equal(refined(model, samples)[1], once)
    assert np.array_equal(refined(model, samples)[1], once) and not np.array_equal(once, codes)


def test_the_codes_of_the_encoder_stay_where_none_are_better(speechlike, monkeypatch):
    model, samples = model_with_mel(), speechlike(0.5)
    monkeypatch.setattr(refinement, "RATE", 0.0)
    codes, same = refined(model, samples)
    assert np.array_equal(codes, same)


@pytest.mark.parametrize("length", [64, 65, 100, 640])
def test_short_recordings(length, speechlike):
    codes, better = refined(model_with_mel(), speechlike(0.5)[-length:])
    assert better.shape == codes.shape == (-(-length // 64),)


def test_a_model_without_the_log_mel_head_keeps_its_codes(speechlike):
    model = tiny_model()
    assert not refinement.is_possible(model)
    codes, same = refined(model, speechlike(0.5))
    assert same is codes or np.array_equal(same, codes)


def test_conversions_are_refined_unless_asked_not_to_be(mel_converter, speechlike):
    samples = speechlike(0.5)
    on, off = (mel_converter.analyse((samples, RATE), refine=one) for one in (True, False))
    assert np.array_equal(mel_converter.analyse((samples, RATE)).codes, on.codes) and not np.array_equal(
        on.codes, off.codes
    )
    assert np.array_equal(mel_converter.encode((samples, RATE)), off.codes)  # the encoder's
    for one, source in ((True, on), (False, off)):
        made = mel_converter.convert((samples, RATE), "p226", refine=one)
        assert np.array_equal(made, mel_converter.synthesize([(source, "p226")])[0])
    with pytest.raises(UsageError, match="refine"):
        mel_converter.convert((samples, RATE), "p226", refine="yes")
    with pytest.raises(TypeError, match="refine"):
        mel_converter.decode(off.codes, "p226", refine=True)


def test_a_long_recording_is_refined_in_pieces(mel_converter, speechlike, monkeypatch):
    samples = speechlike(3.0)
    monkeypatch.setattr(chunking, "LONG_S", 1.0)
    monkeypatch.setattr(chunking, "PIECE_S", 1.5)
    monkeypatch.setattr(chunking, "SEARCH_S", 0.5)
    on, off = (mel_converter.analyse((samples, RATE), refine=one).codes for one in (True, False))
    assert len(on) == len(off) and not np.array_equal(on, off)
    pieces = [mel_converter.convert((samples, RATE), "p226", refine=one) for one in (True, False)]
    assert len(pieces[0]) == len(samples) and not np.array_equal(*pieces)


def test_the_command_has_the_option(mel_file, tmp_path, speechlike, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", speechlike(0.5), RATE)
    made = []
    for option in ([], ["--refine", "on"], ["--refine", "off"]):
        command = ["--model", str(mel_file), "--src", "a.wav", "--speaker", "p226", "--out", "b.wav", "--overwrite"]
        assert convert.main([*command, *option]) == 0
        made.append(soundfile.read("b.wav")[0])
    assert np.array_equal(made[0], made[1]) and not np.array_equal(made[0], made[2])
