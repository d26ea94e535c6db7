"""The voice file, and conversion with an enrolled voice in place of a speaker of the table."""

import dataclasses

import numpy as np
import pytest
import soundfile
import torch
from enrolled import an_adaptation, row_as_voice

from vqvc._util import tensorfile
from vqvc.conversion import chunking, voice_file
from vqvc.errors import ModelError, UsageError
from vqvc.nn.adaptation import Adaptation

RATE = 16000


def test_a_voice_file_holds_what_was_saved(mel_converter, tmp_path):
    adaptation = an_adaptation(mel_converter.model)
    voice = row_as_voice(mel_converter, 1, provenance={"recordings": ["ä.wav"], "warnings": []}, adaptation=adaptation)
    voice.save(tmp_path / "me.voice")
    read = mel_converter.read_voice(tmp_path / "me.voice")
    for name, part in adaptation.parts().items():
        assert torch.equal(read.adaptation.parts()[name], part)
    assert torch.equal(read.vector, voice.vector) and torch.equal(read.global_variance, voice.global_variance)
    assert (read.name, read.f0, read.model, read.provenance) == (
        "me",
        pytest.approx(voice.f0),
        voice.model,
        voice.provenance,
    )


def test_a_voice_of_another_model_is_refused(mel_converter, tmp_path, speechlike):
    voice = row_as_voice(mel_converter, 1, model="0" * 64)
    voice.save(tmp_path / "me.voice")
    for use in (
        lambda: mel_converter.read_voice(tmp_path / "me.voice"),
        lambda: mel_converter.convert(speechlike(0.3), voice=voice),
    ):
        with pytest.raises(ModelError, match="another model"):
            use()


def test_a_voice_file_of_version_1_is_read(mel_converter, tmp_path, speechlike):
    voice, path = row_as_voice(mel_converter, 1), tmp_path / "me.voice"
    tensors = {"vector": voice.vector, "global_variance": voice.global_variance, "f0": torch.tensor(voice.f0)}
    text = {"model": voice.model, "name": "me", "provenance": "{}"}
    tensorfile.write(path, dataclasses.replace(voice_file.KIND, version=1), tensors, text)
    assert voice_file.read(path).adaptation is None
    speech = speechlike(0.3)
    assert np.array_equal(mel_converter.convert(speech, voice=path), mel_converter.convert(speech, "p226"))


def test_a_voice_that_adapts_other_layers_is_refused(mel_converter, tmp_path, speechlike):
    parts = an_adaptation(mel_converter.model).parts()
    for name, wrong in (
        ("up", parts["up"][:, 1:]),
        ("down", parts["down"][..., 1:]),
        ("offset", parts["offset"][None]),
    ):
        voice = row_as_voice(mel_converter, 1, adaptation=Adaptation(**parts | {name: wrong}))
        voice.save(tmp_path / "me.voice")
        for use in (voice, tmp_path / "me.voice"):
            with pytest.raises(ModelError, match="layers"):
                mel_converter.convert(speechlike(0.3), voice=use)


@pytest.mark.parametrize("damage", ["cut", "changed", "pickle", "model", "absent"])
def test_what_is_no_voice_file_is_refused_in_a_sentence(mel_converter, mel_file, tmp_path, damage):
    path = tmp_path / "me.voice"
    if damage != "absent":
        row_as_voice(mel_converter, 1).save(path)
    whole = path.read_bytes() if path.exists() else b""
    if damage == "cut":
        path.write_bytes(whole[:-3])
    elif damage == "changed":
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    elif damage == "pickle":
        path.write_bytes(b"\x80\x04" + whole)
    elif damage == "model":
        path = mel_file
    with pytest.raises(ModelError, match=str(path)):
        voice_file.read(path)


def test_a_vector_of_another_size_is_refused(mel_converter, speechlike):
    voice = row_as_voice(mel_converter, 1, vector=torch.zeros(5))
    with pytest.raises(ModelError, match="numbers"):
        mel_converter.convert(speechlike(0.3), voice=voice)


@pytest.mark.parametrize("name", ["", " me", "a\nb", "x" * 101, 3, None])
def test_a_name_that_files_cannot_carry_is_refused(mel_converter, name):
    with pytest.raises(UsageError, match="name"):
        row_as_voice(mel_converter, 0, name=name)


def test_a_row_as_an_enrolled_voice_converts_as_the_row(mel_converter, tmp_path, speechlike, monkeypatch):
    voice, speech = row_as_voice(mel_converter, 1), speechlike(0.4)
    by_name = mel_converter.convert(speech, "p226")
    assert np.array_equal(mel_converter.convert(speech, voice=voice), by_name)
    voice.save(tmp_path / "me.voice")
    assert np.array_equal(mel_converter.convert(speech, voice=tmp_path / "me.voice"), by_name)
    codes = mel_converter.encode(speech)
    assert np.array_equal(mel_converter.decode(codes, voice), mel_converter.decode(codes, "p226"))
    soundfile.write(tmp_path / "a.wav", speech, RATE)
    monkeypatch.setattr(chunking, "LONG_S", 0.2)
    in_pieces, wanted = (mel_converter.convert(tmp_path / "a.wav", one) for one in (voice, "p226"))
    assert np.array_equal(in_pieces, wanted)


def test_an_adaptation_works_wherever_a_voice_does(mel_converter, tmp_path, speechlike, monkeypatch):
    voice, speech = row_as_voice(mel_converter, 1, adaptation=an_adaptation(mel_converter.model)), speechlike(0.4)
    wanted = mel_converter.convert(speech, voice=voice)
    assert not np.allclose(wanted, mel_converter.convert(speech, "p226"), atol=1e-3)
    voice.save(tmp_path / "me.voice")
    assert np.array_equal(mel_converter.convert(speech, voice=tmp_path / "me.voice"), wanted)
    codes = mel_converter.encode(speech)
    assert not np.array_equal(mel_converter.decode(codes, voice), mel_converter.decode(codes, "p226"))
    soundfile.write(tmp_path / "a.wav", speech, RATE, subtype="FLOAT")
    monkeypatch.setattr(chunking, "LONG_S", 0.2)
    assert np.allclose(mel_converter.convert(tmp_path / "a.wav", voice=voice), wanted, atol=1e-4)


def test_a_conversion_has_one_target(mel_converter, speechlike):
    for wrong in ({}, {"speaker": "p226", "voice": row_as_voice(mel_converter, 1)}):
        with pytest.raises(UsageError, match="either"):
            mel_converter.convert(speechlike(0.3), **wrong)
