"""vqvc-encode of one recording: an archive of codes, whatever the recording's name."""

import numpy as np
import pytest
from channels import know_speech, speech, tilted
from tiny_voice import SPEAKERS, tiny_model

import vqvc
from vqvc.audio import io
from vqvc.cli import decode, encode
from vqvc.codec import code_file
from vqvc.conversion import code_encoder_file, encoding, model_file
from vqvc.corpus.codes import CodeArchive
from vqvc.corpus.store import PackedStore
from vqvc.corpus.store import Speaker as StoreSpeaker
from vqvc.corpus.store_writer import StoreWriter
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


def test_the_channel_of_a_recording_is_equalized_and_that_of_a_store_is_not(tmp_path):
    model = know_speech(tiny_model())
    named, other = ["--model", str(tmp_path / "model.safetensors")], tilted(speech(2.0, 20), 5.0)
    model_file.write(named[1], model, SPEAKERS, {})
    io.write(tmp_path / "a.wav", other, 16000, "FLOAT")
    with StoreWriter(tmp_path / "dump", sample_rate=16000, level_rms=0.06) as writer:
        writer.add("p225_001", other, speaker="p225", subset="train")
        writer.finish([StoreSpeaker("p225")])
    codes = {}
    for name, words in {
        "on": [tmp_path / "a.wav"], "off": [tmp_path / "a.wav", "--equalizer", "off"],
        "store": ["--store", tmp_path / "dump"],
    }.items():  # fmt: skip
        assert encode.main([*named, *map(str, words), "--out", str(tmp_path / f"{name}.npz")]) == 0
        codes[name] = CodeArchive.load(tmp_path / f"{name}.npz").codes
    assert (codes["on"] != codes["off"]).mean() > 0.05
    stored = PackedStore(tmp_path / "dump")
    assert np.array_equal(codes["store"], encoding.encode(model, stored.waveform(stored.utterances[0])))
    assert encode.main([*named, str(tmp_path / "a.wav"), "--out", str(tmp_path / "a.vqc")]) == 0
    words = ["--speaker", "p225", "--seed", "1", "--temperature", "0.3"]
    assert decode.main([*named, str(tmp_path / "a.vqc"), *words, "--out", str(tmp_path / "b.wav")]) == 0
    converter = vqvc.load(named[1])
    wanted = converter.decode(converter.analyse(tmp_path / "a.wav").codes, "p225", seed=1, temperature=0.3)
    assert np.abs(io.read(tmp_path / "b.wav").samples - wanted[: 2 * 16000]).max() < 1e-3


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
