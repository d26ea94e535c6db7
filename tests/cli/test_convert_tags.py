"""vqvc-convert names itself, the model and the speaker in the metadata of what it writes."""

import pytest
import soundfile
from tiny_voice import SPEAKERS, tiny_model

import vqvc
from vqvc.audio import io
from vqvc.cli import convert
from vqvc.conversion import model_file


@pytest.fixture
def run(tmp_path, speechlike):
    """run(name, *options) -> the comment of the file of that name, a conversion to p226; the model's checksum."""
    checksum = model_file.write(tmp_path / "tiny.safetensors", tiny_model(), SPEAKERS, {})
    io.write(tmp_path / "a.wav", speechlike(0.4), 16000)

    def call(name, *options, status=0):
        words = ["--model", tmp_path / "tiny.safetensors", "--src", tmp_path / "a.wav", "--speaker", "p226"]
        assert convert.main([*map(str, words), "--out", str(tmp_path / name), *options]) == status
        with soundfile.SoundFile(tmp_path / name) as sound:
            return sound.comment, checksum

    return call


@pytest.mark.parametrize("name", ["b.wav", "b.flac", "b.ogg"])
def test_an_output_names_version_model_and_speaker(run, name):
    comment, checksum = run(name)
    assert comment == f"vqvc {vqvc.__version__}, model tiny {checksum[:8]}, speaker p226"


def test_no_tag_leaves_it_out_and_changes_no_sample(run, tmp_path):
    assert run("b.wav")[0] and not run("c.wav", "--no-tag")[0]
    assert (io.read(tmp_path / "b.wav").samples == io.read(tmp_path / "c.wav").samples).all()
