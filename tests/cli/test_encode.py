"""vqvc-encode of one recording: an archive of codes, whatever the recording's name."""

import pytest
from tiny_voice import SPEAKERS, tiny_model

from vqvc.audio import io
from vqvc.cli import decode, encode
from vqvc.conversion import model_file
from vqvc.corpus.codes import CodeArchive


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
