"""vqvc-encode of one recording: an archive of codes, whatever the recording's name."""

import pytest
from tiny_voice import SPEAKERS, tiny_model

from vqvc.audio import io
from vqvc.cli import decode, encode
from vqvc.codec import code_file
from vqvc.conversion import code_encoder_file, model_file
from vqvc.corpus.codes import CodeArchive
from vqvc.models import CODE_ENCODERS


@pytest.mark.parametrize(("name", "utt_id"), [("a", "a"), ("my own voice", "my_own_voice"), ("Jörg", "Jörg")])
def test_a_recording_of_an_unknown_speaker_goes_to_an_archive_and_back(tmp_path, speechlike, name, utt_id):
    model = ["--model", str(tmp_path / "model.safetensors")]
    model_file.write(model[1], tiny_model(), SPEAKERS, {})
    io.write(tmp_path / f"{name}.wav", speechlike(0.4), 16000)
    assert encode.main([*model, str(tmp_path / f"{name}.wav"), "--out", str(tmp_path / "a.npz")]) == 0
    archive = CodeArchive.load(tmp_path / "a.npz")
    assert archive.utt_ids.tolist() == [utt_id] and archive.speakers.tolist() == [""]
    words = [str(tmp_path / "a.npz"), "--speaker", "p225", "--out", str(tmp_path / "b.wav")]
    assert decode.main([*model, *words]) == 0
    assert io.info(tmp_path / "b.wav").length_samples == io.info(tmp_path / f"{name}.wav").length_samples


def test_an_encoder_without_a_decoder_prints_its_codes(tmp_path, speechlike, capsys):
    units, recording = str(tmp_path / "units.safetensors"), str(tmp_path / "a.wav")
    code_encoder_file.write(units, tiny_model(), {})
    io.write(recording, speechlike(0.4), 16000)
    assert encode.main(["--codes", units, recording]) == 0
    printed = [int(word) for word in capsys.readouterr().out.split()]
    assert len(printed) == 250 and not list(tmp_path.glob("*.vqc"))
    assert encode.main(["--codes", units, recording, "--out", str(tmp_path / "a.txt")]) == 0
    assert [int(word) for word in (tmp_path / "a.txt").read_text().split()] == printed
    assert encode.main(["--codes", units, recording, "--out", str(tmp_path / "a.vqc")]) == 0
    found = code_encoder_file.read(units)
    coder = code_file.Coder(found.checksum, found.config.hop_length, found.config.quantizer.codebook_size)
    codes, length_samples = code_file.read(tmp_path / "a.vqc", coder)
    assert codes.tolist() == printed and length_samples == 16000


@pytest.mark.parametrize(
    ("words", "message"),
    [(["--codes", "phonemes"], "phones"), (["--codes", "phones", "--model", "m.safetensors"], "without --model")],
)
def test_an_encoder_that_is_not_there_is_refused(tmp_path, speechlike, capsys, words, message):
    io.write(tmp_path / "a.wav", speechlike(0.4), 16000)
    assert encode.main([*words, str(tmp_path / "a.wav")]) == 2
    assert message in capsys.readouterr().err


def test_the_included_phone_encoder_makes_25_units_a_second_of_7_bits(tmp_path, speechlike, capsys):
    assert CODE_ENCODERS["phones"].stat().st_size < 3e6
    recording = str(tmp_path / "a.wav")
    io.write(recording, speechlike(0.4), 16000)
    assert encode.main(["--codes", "phones", recording]) == 0
    units = [int(word) for word in capsys.readouterr().out.split()]
    assert len(units) == 25 and set(units) <= set(range(128))
    assert encode.main(["--codes", "phones", recording, "--out", str(tmp_path / "a.vqc")]) == 0
    assert (tmp_path / "a.vqc").stat().st_size < 25 * 7 / 8 + 64
