"""Converted speech names program, model and speaker in the metadata of its file, whoever writes it."""

import pytest
import soundfile
from tiny_voice import SPEAKERS, tiny_model

import vqvc
from vqvc.audio import io
from vqvc.cli import convert, decode
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


def test_decoded_codes_are_tagged_too(run, tmp_path):
    comment, _ = run("b.wav")
    (tmp_path / "codes.txt").write_text("1 2 3 4 5 6 7 8")
    words = [
        "--model",
        tmp_path / "tiny.safetensors",
        tmp_path / "codes.txt",
        "--speaker",
        "p226",
        "--out",
        tmp_path / "c.wav",
    ]
    for options, expected in (((), comment), (("--overwrite", "--no-tag"), "")):
        assert decode.main([*map(str, words), *options]) == 0
        with soundfile.SoundFile(tmp_path / "c.wav") as sound:
            assert sound.comment == expected


def test_python_tags_its_files_as_the_command_does(run, tmp_path):
    comment, _ = run("b.wav")
    converter = vqvc.load(tmp_path / "tiny.safetensors")
    for tag, expected in ((True, comment), (False, "")):
        out = converter.convert(tmp_path / "a.wav", "p226", out=tmp_path / f"{tag}.wav", tag=tag)
        with soundfile.SoundFile(out) as sound:
            assert sound.comment == expected
