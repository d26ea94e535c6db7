"""vqvc-convert, encode and decode from the outside: FAULTS rows 1 to 11, 25, 27 to 29 and 37, and what they write."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from tiny_voice import SPEAKERS, tiny_model

from vqvc.audio import io
from vqvc.cli import convert, decode, encode
from vqvc.conversion import chunking
from vqvc.conversion import model_file as model_files
from vqvc.corpus.codes import CodeArchive


@pytest.fixture
def wav(tmp_path, speechlike):
    path = tmp_path / "a.wav"
    io.write(path, speechlike(0.5), 16000)
    return path


@pytest.fixture
def run(model_file, call_command):
    """run(command, *arguments) -> (exit status, stdout, stderr) of a command on the tiny model."""

    return lambda command, *arguments, model=model_file: call_command(command, model, *arguments)


def synthesize(src, out, speaker="p226"):
    return ("--src", src, "--speaker", speaker, "--out", out)


# what is written


@pytest.mark.parametrize(
    ("rate", "channels", "subtype"),
    [(8000, 1, "PCM_16"), (11025, 2, "PCM_24"), (16000, 1, "FLOAT"), (44100, 2, "PCM_16"), (96000, 1, "PCM_16")],
)
def test_row_08_every_kind_of_recording_keeps_its_rate_and_length(run, tmp_path, speechlike, rate, channels, subtype):
    samples = speechlike(0.4, rate)[:-3]
    soundfile.write(tmp_path / "a.wav", np.stack([samples] * channels, 1), rate, subtype=subtype)
    status, _, _ = run(convert, *synthesize(tmp_path / "a.wav", tmp_path / "b.wav"))
    facts = io.info(tmp_path / "b.wav")
    assert (status, facts.sample_rate, facts.length_samples) == (0, rate, len(samples))
    assert facts.channels == 1 and facts.encoding == "WAV PCM_16"


@pytest.mark.parametrize("name", ["a.flac", "a.ogg", "a.mp3"])
def test_row_08_other_formats(run, tmp_path, speechlike, name):
    soundfile.write(tmp_path / name, speechlike(0.5, 24000), 24000)
    status, _, err = run(convert, *synthesize(tmp_path / name, tmp_path / "b.flac"), "--rate", 16000)
    expected = round(io.info(tmp_path / name).length_samples * 16000 / 24000)
    assert (status, io.info(tmp_path / "b.flac").length_samples) == (0, expected)
    assert "24000 Hz resampled to 16000 Hz" in err and "samples/s" in err and "RTF" in err


def test_one_seed_one_file_and_another_seed_another(run, tmp_path, wav):
    for name, seed in (("b", 1), ("c", 1), ("d", 2)):
        assert run(convert, *synthesize(wav, tmp_path / f"{name}.wav"), "--seed", seed)[0] == 0
    data = {name: (tmp_path / f"{name}.wav").read_bytes() for name in "bcd"}
    assert data["b"] == data["c"] != data["d"]


def test_a_folder_becomes_a_folder(run, tmp_path, wav):
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    for name in ("one.wav", "deep/two.WAV"):
        (source / name).write_bytes(wav.read_bytes())
    (source / "notes.txt").write_text("no sound")
    assert run(convert, *synthesize(source, tmp_path / "out"))[0] == 0
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.wav")) == [
        "deep/two.wav", "one.wav",
    ]  # fmt: skip


def test_pairs(run, tmp_path, wav):
    lines = [f"{wav}\t{speaker}\t{tmp_path / speaker}.wav\n" for speaker in ("p225", "p315")]
    (tmp_path / "pairs.tsv").write_text("\n".join(lines))
    assert run(convert, "--pairs", tmp_path / "pairs.tsv")[0] == 0
    one, other = (io.read(tmp_path / f"{name}.wav").samples for name in ("p225", "p315"))
    assert len(one) == len(other) == io.info(wav).length_samples and not np.array_equal(one, other)


def test_list_speakers(run):
    status, out, _ = run(convert, "--list-speakers")
    assert status == 0 and out.splitlines() == ["p225\tf\tEnglish", "p226\tm", "p315\tf\tScottish"]


def test_row_10_a_long_recording_goes_by_pieces(run, tmp_path, monkeypatch, speechlike):
    monkeypatch.setattr(chunking, "LONG_S", 1.0)
    monkeypatch.setattr(chunking, "PIECE_S", 0.8)
    monkeypatch.setattr(chunking, "SEARCH_S", 0.3)
    samples = speechlike(3.0, 22050)
    io.write(tmp_path / "a.wav", samples, 22050)
    assert run(convert, *synthesize(tmp_path / "a.wav", tmp_path / "b.wav"))[0] == 0
    assert io.info(tmp_path / "b.wav").length_samples == len(samples)


def test_codes_go_out_and_come_back(run, tmp_path, wav):
    for name in ("a.npz", "a.txt"):
        assert run(encode, wav, "--out", tmp_path / name)[0] == 0
    numbers = [int(word) for word in (tmp_path / "a.txt").read_text().split()]
    archive = CodeArchive.load(tmp_path / "a.npz")
    assert archive.codes_of("a").tolist() == numbers
    assert len(numbers) == -(-io.info(wav).length_samples // 64)
    for name in ("a.npz", "a.txt"):
        assert run(decode, tmp_path / name, "--speaker", "p225", "--out", tmp_path / f"{name}.wav")[0] == 0
        assert abs(io.info(tmp_path / f"{name}.wav").length_samples - 64 * len(numbers)) < 64


# what is refused


def test_row_01_missing(run, tmp_path):
    status, _, err = run(convert, *synthesize(tmp_path / "a.wav", tmp_path / "b.wav"))
    assert status == 1 and "a.wav: no such file" in err and not (tmp_path / "b.wav").exists()
    assert run(encode, tmp_path / "a.wav", "--out", tmp_path / "a.npz")[0] == 1
    assert run(decode, tmp_path / "a.txt", "--speaker", "p225", "--out", tmp_path / "b.wav")[0] == 2


def spoil(path, how, rate=16000):
    good = 0.1 * np.sin(np.arange(8000) / 9)
    if how in ("cut wav", "cut flac"):
        kind = how.split()[1].upper()
        soundfile.write(path, good, rate, format=kind)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif how == "lying header":
        soundfile.write(path, good, rate)
        data = bytearray(path.read_bytes())
        data[24:28] = struct.pack("<I", 0)  # the sample rate
        path.write_bytes(data)
    elif how == "text":
        path.write_text("hello")
    elif how == "empty":
        path.write_bytes(b"")
    else:
        values = {"nan": np.append(good, np.nan), "short": good[:50], "silent": 0 * good, "none": good[:0]}
        soundfile.write(path, values[how], rate, subtype="FLOAT")


BAD = {
    "empty": "not a readable audio file", "text": "not a readable audio file", "none": "holds no samples",
    "cut wav": "header says 0.50 s, file holds", "cut flac": "bad.wav", "nan": "non-finite at sample 8000",
    "short": "at least 64", "silent": "digital silence", "lying header": "bad.wav",
}  # fmt: skip


@pytest.mark.parametrize("how", BAD)
def test_row_06_and_02_to_09_a_bad_recording_is_named_and_the_others_go_on(run, tmp_path, wav, how):
    source = tmp_path / "in"
    source.mkdir()
    spoil(source / "bad.wav", how)
    (source / "good.wav").write_bytes(wav.read_bytes())
    status, _, err = run(convert, *synthesize(source, tmp_path / "out"))
    assert status == 3 and BAD[how] in err and "bad.wav" in err and "1 of 2" in err
    assert [p.name for p in (tmp_path / "out").glob("[!.]*")] == ["good.wav"]  # the list of what is finished is hidden
    assert run(convert, *synthesize(source / "bad.wav", tmp_path / "c.wav"))[0] == 1
    assert run(encode, source / "bad.wav", "--out", tmp_path / "c.npz")[0] == 1
    assert not (tmp_path / "c.wav").exists() and not (tmp_path / "c.npz").exists()


def test_row_25_unknown_speaker_before_the_weights(run, tmp_path, wav, model_file):
    damaged = tmp_path / "model.safetensors"
    data = model_file.read_bytes()
    damaged.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # reading the weights would fail
    (tmp_path / "a.txt").write_text("1 2 3")
    for command, arguments in (
        (convert, synthesize(wav, tmp_path / "b.wav", "p22")),
        (decode, (tmp_path / "a.txt", "--speaker", "p22", "--out", tmp_path / "b.wav")),
    ):
        status, _, err = run(command, *arguments, model=damaged)
        assert status == 2 and "'p22' is not a speaker" in err and "p225" in err and "--list-speakers" in err


def test_row_27_outputs_are_not_replaced_without_overwrite(run, tmp_path, wav):
    before = wav.read_bytes()
    (tmp_path / "a.txt").write_text("1 2 3")
    for name in ("b.wav", "c.npz"):
        (tmp_path / name).write_text("mine")
    commands = {
        "convert": (convert, synthesize(wav, tmp_path / "b.wav")),
        "encode": (encode, (wav, "--out", tmp_path / "c.npz")),
        "decode": (decode, (tmp_path / "a.txt", "--speaker", "p225", "--out", tmp_path / "b.wav")),
    }
    for command, arguments in commands.values():
        status, _, err = run(command, *arguments)
        assert status == 2 and "--overwrite" in err
    assert (tmp_path / "b.wav").read_text() == (tmp_path / "c.npz").read_text() == "mine"
    for command, arguments in commands.values():
        assert run(command, *arguments, "--overwrite")[0] == 0
    for flags in ((), ("--overwrite",)):
        status, _, err = run(convert, *synthesize(wav, wav), *flags)
        assert status == 2 and "is the input itself" in err
    assert wav.read_bytes() == before


def test_row_27_two_recordings_for_one_output_are_not_lost_silently(run, tmp_path, wav):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(wav.read_bytes())
    soundfile.write(tmp_path / "in" / "a.flac", io.read(wav).samples, 16000)
    assert run(convert, *synthesize(tmp_path / "in", tmp_path / "out"))[0] == 0
    assert sorted(p.name for p in (tmp_path / "out").glob("[!.]*")) == ["a.flac.wav", "a.wav.wav"]
    (tmp_path / "pairs.tsv").write_text(
        "".join(f"{tmp_path}/in/a.{kind}\tp225\t{tmp_path}/b.wav\n" for kind in ("flac", "wav"))
    )
    status, _, err = run(convert, "--pairs", tmp_path / "pairs.tsv")
    assert status == 2 and "a.flac" in err and "a.wav" in err and not (tmp_path / "b.wav").exists()


def test_an_output_of_no_known_format_is_refused_before_any_work(run, tmp_path, wav, model_file):
    damaged = tmp_path / "model.safetensors"
    data = model_file.read_bytes()
    damaged.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # reading the weights would fail
    (tmp_path / "a.txt").write_text("1 2 3")
    for command, arguments in (
        (convert, synthesize(wav, tmp_path / "b.xyz")),
        (decode, (tmp_path / "a.txt", "--speaker", "p225", "--out", tmp_path / "b.xyz")),
    ):
        status, _, err = run(command, *arguments, model=damaged)
        assert status == 2 and "no known sound format" in err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_row_27_a_folder_that_is_not_writable(run, tmp_path, wav):
    (tmp_path / "locked").mkdir(mode=0o500)
    status, _, err = run(convert, *synthesize(wav, tmp_path / "locked" / "b.wav"))
    assert status in (1, 2) and "locked" in err


def test_row_28_a_closed_pipe_is_a_quiet_end(model_file):
    code = "import sys; from vqvc.cli import convert; sys.exit(convert.main())"
    shell = [sys.executable, "-c", code, "--model", str(model_file), "--list-speakers"]
    with subprocess.Popen(shell, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 0 and err == b""


@pytest.mark.parametrize("name", ["two words.wav", "-dash.wav", "new\nline.wav", "ünï.wav"])
def test_row_29_any_file_name(run, tmp_path, monkeypatch, wav, name):
    monkeypatch.chdir(tmp_path)
    os.rename(wav, name)
    status, _, err = run(convert, "--speaker", "p225", f"--src={name}", f"--out=made {name}")
    assert status == 0, err
    assert io.info(f"made {name}").length_samples == io.info(name).length_samples


def test_row_29_a_name_that_is_not_utf8_works_or_is_a_named_error(model_file, tmp_path, wav):
    """In a process of its own: only its stderr writes such names as a terminal would see them."""
    name = tmp_path / os.fsdecode(b"raw\xff.wav")
    try:
        os.rename(wav, name)
    except OSError:
        pytest.skip("this file system holds no such name")
    code = "import sys; from vqvc.cli import convert; sys.exit(convert.main())"
    command = [sys.executable, "-c", code, "--model", model_file, *synthesize(name, tmp_path / "b.wav")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.returncode == 0 or (done.returncode == 1 and "raw" in done.stderr and not (tmp_path / "b.wav").exists())


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("--src", "a.wav"), ("--pairs", "x.tsv", "--src", "a.wav"), ("--pairs", "absent.tsv"),
        (*synthesize("a.wav", "b.wav"), "--rate", "fast"), (*synthesize("a.wav", "b.wav"), "--temperature", "0"),
        (*synthesize("a.wav", "b.wav"), "--temperature", "nan"), (*synthesize("a.wav", "b.wav"), "--fold", "on"),
        ("--list-speaker",),
    ],
    ids=str,
)  # fmt: skip
def test_wrong_usage_is_status_2(run, tmp_path, monkeypatch, wav, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.tsv").write_text("")
    status, _, err = run(convert, *arguments)
    assert status == 2 and err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "x.tsv"]


@pytest.mark.parametrize("text", ["a.wav p225 b.wav\n", "a.wav\tp225\n", "\n\n"])
def test_pairs_that_are_none(run, tmp_path, text):
    (tmp_path / "pairs.tsv").write_text(text)
    status, _, err = run(convert, "--pairs", tmp_path / "pairs.tsv")
    assert status == 2 and "pairs.tsv" in err


@pytest.mark.parametrize("text", ["1 two 3", "1.5", "99", "-1", "", "1" * 30])
def test_numbers_that_are_no_codes(run, tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    status, _, err = run(decode, tmp_path / "a.txt", "--speaker", "p225", "--out", tmp_path / "b.wav")
    assert status == 2 and err and not (tmp_path / "b.wav").exists()


def test_row_37_another_format_and_another_models_codes(run, tmp_path, wav, model_file):
    data = model_file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"]["format_version"] = "9"
    text = json.dumps(header).encode()
    newer = tmp_path / "newer.safetensors"
    newer.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    status, _, err = run(convert, *synthesize(wav, tmp_path / "b.wav"), model=newer)
    assert status == 1 and "format_version is 9" in err

    model_files.write(tmp_path / "other.safetensors", tiny_model(seed=1), SPEAKERS, {})
    assert run(encode, wav, "--out", tmp_path / "a.npz", model=tmp_path / "other.safetensors")[0] == 0
    status, _, err = run(decode, tmp_path / "a.npz", "--speaker", "p225", "--out", tmp_path / "b.wav")
    assert status == 2 and "another model" in err and not (tmp_path / "b.wav").exists()


def test_an_output_that_is_the_source_of_another_pair_is_refused(run, tmp_path, wav):
    other = tmp_path / "b.wav"
    other.write_bytes(wav.read_bytes())
    before = other.read_bytes()
    (tmp_path / "link.wav").symlink_to(other)
    for name in ("b.wav", "link.wav"):
        lines = f"{wav}\tp225\t{tmp_path}/{name}\n{other}\tp226\t{tmp_path}/c.wav\n"
        (tmp_path / "pairs.tsv").write_text(lines)
        status, _, err = run(convert, "--pairs", tmp_path / "pairs.tsv", "--overwrite")
        assert status == 2 and f"{name}: is the input itself" in err
    assert other.read_bytes() == before and not (tmp_path / "c.wav").exists()


def test_a_voice_file_in_place_of_a_speaker_is_answered_with_its_option(run, wav):
    status, _, err = run(convert, "--src", wav, "--speaker", "me.voice")
    assert status == 2 and "give a voice file by --voice" in err


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ("src\tspeaker\tout\n", "pairs.tsv:1: 'speaker' is not a speaker"),
        ("\n{wav}\tp225\ta.wav\n{wav}\tp22\tb.wav\n", "pairs.tsv:3: 'p22' is not a speaker"),
        ("{wav}\tp225\t\n", "pairs.tsv:1: source, speaker or output is empty"),
        ("{wav}\t\tb.wav\n", "pairs.tsv:1: source, speaker or output is empty"),
    ],
)
def test_a_wrong_pair_is_named_by_its_line(run, tmp_path, wav, lines, sentence):
    (tmp_path / "pairs.tsv").write_text(lines.format(wav=wav))
    status, _, err = run(convert, "--pairs", tmp_path / "pairs.tsv")
    assert status == 2 and sentence in err


def test_an_empty_output_is_called_that(run, wav):
    status, _, err = run(convert, "--src", wav, "--speaker", "p225", "--out", "")
    assert status == 2 and "--out: is empty" in err
