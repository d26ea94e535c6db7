"""Metadata of sound files: kept by formats that have a place for it, and in no format at the cost of a sample."""

import numpy as np
import pytest
import soundfile

from vqvc.audio import io, output

TAGS = {"software": "vqvc 1.2.3", "comment": "vqvc 1.2.3, model small 0123abcd, speaker p225"}
WITHOUT = {"au", "voc", "w64", "nist"}  # some of the formats that have no place for strings


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3", "aiff", "rf64", "caf", *sorted(WITHOUT)])
def test_a_tag_is_read_back_and_no_sample_differs(tmp_path, speechlike, suffix):
    rate = 48000 if suffix == "opus" else 16000
    samples = speechlike(0.5, rate)
    for name, tags in (("tagged", TAGS), ("plain", {})):
        output.write_blocks(tmp_path / f"{name}.{suffix}", [samples], rate, tags=tags)
    tagged, plain = (io.read(tmp_path / f"{name}.{suffix}") for name in ("tagged", "plain"))
    assert np.array_equal(tagged.samples, plain.samples)
    with soundfile.SoundFile(tmp_path / f"tagged.{suffix}") as sound:
        if suffix in WITHOUT:
            assert not sound.comment
        else:
            assert sound.comment == TAGS["comment"]
            assert sound.software.startswith(TAGS["software"]) or suffix in ("mp3", "caf")  # libsndfile may add its own
    with soundfile.SoundFile(tmp_path / f"plain.{suffix}") as sound:
        assert not sound.comment


def test_a_tag_holds_any_name(tmp_path, speechlike):
    path = tmp_path / "a.wav"
    output.write_blocks(path, [speechlike(0.2)], 16000, tags={"comment": "speaker J\u00f6rg \udcff \x1b[2J"})
    with soundfile.SoundFile(path) as sound:
        assert sound.comment == "speaker J\u00f6rg ? \\x1b[2J"
