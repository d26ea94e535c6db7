"""vqvc-encode a.vqc, vqvc-decode a.vqc and vqvc-sample as commands, with a model and a prior of random weights."""

import numpy as np
import pytest
import soundfile
from tiny_prior import random_prior, write_prior

from vqvc.cli import decode, encode, sample
from vqvc.codec import code_file
from vqvc.conversion import model_file as model_files

SIZE = 16  # of the tiny model's codebook


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model_file, speechlike):
    """model.safetensors with its prior beside it, a recording, and a prior of another model."""
    path = tmp_path_factory.mktemp("run")
    (path / "model.safetensors").write_bytes(model_file.read_bytes())
    checksum = model_files.read_header(model_file).checksum
    write_prior(path / "prior" / "prior.safetensors", random_prior(SIZE), codes_of_model=checksum, codebook_size=SIZE)
    write_prior(path / "foreign.safetensors", random_prior(SIZE), codes_of_model="00" * 32, codebook_size=SIZE)
    write_prior(path / "second.safetensors", random_prior(SIZE, seed=1), codes_of_model=checksum, codebook_size=SIZE)
    soundfile.write(path / "a.wav", speechlike(0.4, silence_s=0.05), 16000, subtype="FLOAT")
    return path


def _run(command, folder, *words) -> int:
    return command.main(["--model", str(folder / "model.safetensors"), *map(str, words)])


def _line(capsys) -> str:
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_codes_of_a_file_are_those_of_the_recording(folder, tmp_path, capsys):
    import vqvc

    converter = vqvc.load(folder / "model.safetensors")
    codes, length = converter.encode(folder / "a.wav"), len(soundfile.read(folder / "a.wav")[0])
    sizes = {}
    for name, more, how in (("prior", [], "under "), ("plain", ["--prior", "none"], "plain")):
        out = tmp_path / f"{name}.vqc"
        assert _run(encode, folder, folder / "a.wav", "-o", out, *more) == 0
        assert (
            f"{len(codes)} codes, {out.stat().st_size} bytes" in (printed := capsys.readouterr().out) and how in printed
        )
        sizes[name] = out.stat().st_size
        wav = tmp_path / f"{name}.wav"
        assert _run(decode, folder, out, "--speaker", "p225", "--out", wav) == 0
        generated = soundfile.read(wav, dtype="float32")[0]
        assert len(generated) == length
    plain = code_file.Coder(converter.checksum, 64, SIZE)
    back, samples = code_file.read(tmp_path / "plain.vqc", plain)
    assert samples == length and np.array_equal(back, codes)
    assert (tmp_path / "plain.wav").read_bytes() == (tmp_path / "prior.wav").read_bytes()
    assert sizes["plain"] == code_file.overhead(length) + -(-len(codes) * 4 // 8)


def test_what_cannot_be_read_is_one_sentence(folder, tmp_path, capsys):
    out = tmp_path / "a.vqc"
    assert _run(encode, folder, folder / "a.wav", "-o", out) == 0
    capsys.readouterr()

    def refused(*words) -> str:
        assert _run(decode, folder, *words, "--speaker", "p225", "--out", tmp_path / "b.wav") in (1, 2)
        assert not (tmp_path / "b.wav").exists()
        return _line(capsys)

    assert "was made with another prior" in refused(out, "--prior", folder / "second.safetensors")
    assert "was trained on the codes of another model" in refused(out, "--prior", folder / "foreign.safetensors")
    assert "--prior none: this needs a prior" in refused(out, "--prior", "none")
    assert "is not a prior" in refused(out, "--prior", folder / "model.safetensors")
    (tmp_path / "cut.vqc").write_bytes(out.read_bytes()[:-3])
    assert "cut.vqc: is damaged or cut short" in refused(tmp_path / "cut.vqc")
    (tmp_path / "text.vqc").write_text("hello, codes")
    assert "text.vqc: is not a code file" in refused(tmp_path / "text.vqc")
    assert "none.vqc: no such file" in refused(tmp_path / "none.vqc")
    assert _run(encode, folder, folder / "a.wav", "-o", out) == 2 and "exists already" in _line(capsys)


def test_samples_follow_their_seed_and_an_opening(folder, tmp_path):
    words = ["--speaker", "p226", "--seconds", "0.2"]
    for name, more in (("a", []), ("b", []), ("c", ["--seed", "1"])):
        assert _run(sample, folder, *words, "--out", tmp_path / f"{name}.wav", *more) == 0
    sounds = {name: soundfile.read(tmp_path / f"{name}.wav", dtype="float32")[0] for name in "abc"}
    assert (
        len(sounds["a"]) == 3200
        and np.array_equal(sounds["a"], sounds["b"])
        and not np.array_equal(sounds["a"], sounds["c"])
    )
    more = ["--opening", folder / "a.wav", "--opening-seconds", "0.1", "--count", "2", "--anyone", "--top-p", "0.9"]
    assert _run(sample, folder, *words, "--out", tmp_path / "d.wav", *more) == 0
    assert [len(soundfile.read(tmp_path / f"d-{n}.wav")[0]) for n in (1, 2)] == [4800, 4800]
    assert _run(sample, folder, *words, "--out", tmp_path / "a.wav") == 2


def test_row_62_a_sample_needs_no_words_and_goes_where_it_is_sent(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert _run(sample, folder, "--seconds", "0.1") == 0
    printed = capsys.readouterr()
    assert printed.out == "0.10 s  sample.wav\n" and "no --speaker: p225" in printed.err
    assert _run(sample, folder, "--seconds", "0.1", "--out", "more/", "--format", "flac", "--count", "2") == 0
    assert sorted(path.name for path in (tmp_path / "more").iterdir()) == ["sample-1.flac", "sample-2.flac"]
    (tmp_path / "file").touch()
    assert _run(sample, folder, "--seconds", "0.1", "--out", "file/a.wav") == 2
    assert _run(sample, folder, "--seconds", "0.1", "--out", "-") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seconds", "0"], "--seconds 0.0: must be above 0"),
        (["--top-p", "2"], "--top-p 2.0: must be above 0 and at most 1"),
        (["--temperature", "-1"], "--temperature -1.0: must be above 0"),
        (["--speaker", "p22"], "the nearest are"),
        (["--prior", "foreign.safetensors"], "no such file"),
    ],
)
def test_wrong_samples_are_one_sentence(folder, tmp_path, capsys, words, message):
    assert _run(sample, folder, "--speaker", "p225", *words, "--out", tmp_path / "a.wav") in (1, 2)
    assert message in _line(capsys) and not list(tmp_path.iterdir())
