"""vqvc-live: files in place of devices, devices that are only described, signals, and what is refused."""

import os
import signal
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from tiny_voice import SPEAKERS, tiny_model

import vqvc
from vqvc.audio import devices
from vqvc.cli import decode, encode, live
from vqvc.conversion import model_file as model_files
from vqvc.conversion.live import Figures, Playout
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.errors import MissingExtraError, UsageError, VqvcError

RATE = 16000


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model_files.write(path, tiny_model(f0=True), SPEAKERS, {"steps": 0})
    return path


@pytest.fixture
def run(file, tmp_path, monkeypatch, call_command, speechlike, caplog):
    """run(command, *arguments) -> (exit status, stdout, stderr), in a folder with a.wav (16 kHz) and b.wav (44.1 kHz)."""
    caplog.set_level("INFO", "vqvc")
    monkeypatch.chdir(tmp_path)
    for name, rate in (("a.wav", RATE), ("b.wav", 44100)):
        soundfile.write(name, speechlike(0.4, rate), rate, "FLOAT")
    return lambda command, *arguments: call_command(command, file, *arguments)


@pytest.mark.parametrize("realtime", [(), ("--realtime",)])
def test_a_file_becomes_what_the_stream_makes_of_it(run, file, realtime):
    arguments = ("--speaker", "p226", "--in", "a.wav", "--out", "out.wav", "--subtype", "float", *realtime)
    status, out, err = run(live, *arguments)
    assert (status, out) == (0, "out.wav\n"), err
    assert "latency" in err and "RTF" in err and "dropouts" in err
    source, _ = soundfile.read("a.wav", dtype="float32")
    stream = vqvc.load(file).stream("p226", gate_db=-60.0)
    wanted = np.concatenate([stream.convert(source), stream.flush()])
    made, rate = soundfile.read("out.wav", dtype="float32")
    assert rate == RATE and len(made) == len(source) and np.allclose(made, wanted, atol=1e-5)
    assert "speaker p226" in soundfile.SoundFile("out.wav").comment


@pytest.mark.parametrize("block_ms", ["1", "7.3", "1000"])
def test_a_file_at_another_rate_keeps_its_rate_and_length(run, block_ms):
    status, _, err = run(
        live, "--speaker", "p226", "--in", "b.wav", "--out", "c.flac", "--block-ms", block_ms, "--no-tag"
    )
    assert status == 0, err
    info = soundfile.info("c.flac")
    assert (info.samplerate, info.frames) == (44100, soundfile.info("b.wav").frames)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ((), "two blocks 40 ms, the cushion 40 ms"),
        (("--block-ms", "10"), "two blocks 20 ms, the cushion 20 ms"),
        (("--block-ms", "10", "--cushion-ms", "50"), "two blocks 20 ms, the cushion 50 ms"),
    ],
)
def test_the_cushion_is_two_blocks_unless_it_is_given(run, options, parts):
    status, _, err = run(live, "--speaker", "p226", "--in", "a.wav", "--out", "c.wav", *options)
    assert status == 0 and parts in err, err


def test_seconds_end_the_input(run):
    assert run(live, "--speaker", "p226", "--in", "a.wav", "--out", "c.wav", "--seconds", "0.25")[0] == 0
    assert soundfile.info("c.wav").frames == RATE // 4


def test_no_speech_has_no_figures(run):
    status, _, err = run(live, "--speaker", "p226", "--in", "a.wav", "--out", "c.wav", "--seconds", "0")
    assert status == 0 and "0.0 s of speech" in err and "nan" not in err


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_stream_and_the_file_is_whole(run, number, status, speechlike):
    soundfile.write("long.wav", speechlike(30.0), RATE)

    def send():
        """Once the stream is under way: nothing before it has that handler."""
        while signal.getsignal(number).__qualname__ != "Interrupt._note":
            time.sleep(0.01)
        time.sleep(0.3)
        os.kill(os.getpid(), number)

    sender = threading.Thread(target=send, daemon=True)
    before = signal.signal(number, lambda *_: None)
    try:
        sender.start()
        found, out, err = run(live, "--speaker", "p226", "--in", "long.wav", "--out", "part.wav", "--realtime")
    finally:
        signal.signal(number, before)
    assert (found, out) == (status, "part.wav\n"), err
    assert 0 < soundfile.info("part.wav").frames < 25 * RATE


def test_what_cannot_be_is_refused_in_a_sentence_before_any_work(run):
    soundfile.write("there.wav", np.zeros(100), RATE)
    for arguments, status, reason in (
        (("--in", "a.wav", "--out", "c.wav"), 2, "whose voice"),
        (("--speaker", "p22", "--in", "a.wav", "--out", "c.wav"), 2, "p226"),
        (("--speaker", "p226", "--in", "a.wav"), 2, "--out b.wav"),
        (("--speaker", "p226", "--in", "none.wav", "--out", "c.wav"), 1, "no such file"),
        (("--speaker", "p226", "--in", "a.wav", "--out", "there.wav"), 2, "--overwrite"),
        (("--speaker", "p226", "--in", "a.wav", "--out", "a.wav"), 2, "input itself"),
        (("--speaker", "p226", "--realtime"), 2, "--realtime"),
        (("--speaker", "p226", "--in", "a.wav", "--out", "c.wav", "--block-ms", "0"), 2, "--block-ms"),
        (("--speaker", "p226", "--in", "a.wav", "--out", "c.wav", "--source-f0", "5"), 2, "mean F0"),
        (("--speaker", "p226", "--in", "a.wav", "--out", "c.wav", "--temperature", "3"), 2, "--temperature"),
        (("--speaker", "p226", "--voice", "me.voice"), 2, "--voice"),
    ):
        found, out, err = run(live, *arguments)
        assert (found, out) == (status, "") and reason in err, err
    assert sorted(os.listdir()) == ["a.wav", "b.wav", "there.wav"]


# enrolled voices


@pytest.fixture
def voice(file, run):
    converter = vqvc.load(file)
    vector = converter.model.conditioning.speaker.weight[1].detach().clone()
    EnrolledVoice("me", vector, None, (7.0, 0.3), converter.checksum, {}).save("me.voice")
    return "me.voice"


def test_an_enrolled_voice_is_a_target_of_live_and_of_decode(run, voice):
    for target, out in ((("--voice", voice), "x.wav"), (("--speaker", "p226"), "y.wav")):
        assert run(live, *target, "--in", "a.wav", "--out", out)[0] == 0
    assert np.array_equal(soundfile.read("x.wav")[0], soundfile.read("y.wav")[0])
    assert run(encode, "a.wav", "--out", "a.vqc")[0] == 0
    status, out, err = run(decode, "a.vqc", "--voice", voice)
    assert (status, out) == (0, "a_me.wav\n"), err
    assert run(decode, "a.vqc", "--speaker", "p226")[1] == "a_p226.wav\n"
    assert np.array_equal(soundfile.read("a_me.wav")[0], soundfile.read("a_p226.wav")[0])
    status, _, err = run(decode, "a.vqc", "--voice", voice, "--speaker", "p226")
    assert status == 2 and "--voice" in err


# devices


class FakePackage:
    """sounddevice as far as it is used, with two devices; a stream turns ``turns`` times and then stops."""

    PortAudioError = type("PortAudioError", (Exception,), {})
    default = SimpleNamespace(device=[0, 1])
    refused_hz: tuple = ()
    turns = 30

    def __init__(self):
        self.played: list[np.ndarray] = []
        one = {"max_input_channels": 2, "max_output_channels": 0, "default_samplerate": 48000.0}
        two = {"max_input_channels": 0, "max_output_channels": 6, "default_samplerate": 44100.0}
        self.found = [{"name": "Microphone", **one}, {"name": "Head phones", **two}, {"name": "Head set", **one, **two}]

    def query_devices(self):
        return self.found

    def _check(self, device, channels, dtype, samplerate):
        assert channels == 2 and dtype == "float32"
        if samplerate in self.refused_hz:
            raise self.PortAudioError("Invalid sample rate")

    check_input_settings = check_output_settings = _check

    def Stream(self, *, samplerate, blocksize, device, dtype, channels, latency, callback):  # noqa: N802 - its own name
        package = self

        class Stream:
            latency, active = (0.01, 0.02), True

            def start(self):
                def turns():
                    rng = np.random.default_rng(0)
                    for turn in range(package.turns):
                        wanted = np.zeros((blocksize, channels[1]), np.float32)
                        arrived = 0.1 * rng.standard_normal((blocksize, channels[0])).astype(np.float32)
                        callback(arrived, wanted, blocksize, None, turn == 3)
                        package.played.append(wanted[:, 0])
                        time.sleep(0.005)
                    self.active = False

                self.thread = threading.Thread(target=turns)
                self.thread.start()

            def close(self):
                self.thread.join()

        return Stream()


@pytest.fixture
def package(monkeypatch):
    fake = FakePackage()
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def test_devices_are_listed(run, package):
    status, out, _ = run(live, "--list-devices")
    assert status == 0 and out.splitlines()[0] == "0\tMicrophone\t2 in\t0 out\t48000 Hz\tdefault input"
    assert len(out.splitlines()) == 3


def test_a_device_is_chosen_by_number_or_name(package):
    assert devices.choose(None, "input").number == 0 and devices.choose(None, "output").number == 1
    assert devices.choose("2", "output").number == devices.choose("SET", "output").number == 2
    with pytest.raises(UsageError, match="several such: 1 Head phones, 2 Head set"):
        devices.choose("head", "output")
    for wrong in ("1", "none", "99"):
        with pytest.raises(UsageError, match="--list-devices"):
            devices.choose(wrong, "input")


def test_the_rate_of_the_model_is_taken_where_both_devices_have_it(package):
    source, target = devices.choose("0", "input"), devices.choose("1", "output")
    assert devices.common_rate(source, target, RATE) == RATE
    package.refused_hz = (RATE, 44100)
    assert devices.common_rate(source, target, RATE) == 48000
    package.refused_hz = (RATE, 44100, 48000)
    with pytest.raises(UsageError, match="no sample rate in common"):
        devices.common_rate(source, target, RATE)


@pytest.mark.parametrize("refused_hz", [(), (RATE,)])
def test_microphone_and_loudspeaker_until_the_devices_stop(run, package, refused_hz):
    package.refused_hz = refused_hz
    status, out, err = run(live, "--speaker", "p226", "--out", "rec.wav", "--block-ms", "10", "--gate", "-200")
    assert (status, out) == (1, "rec.wav\n") and "still connected" in err, err
    rate = 44100 if refused_hz else RATE
    recorded, found = soundfile.read("rec.wav", dtype="float32")
    assert found == rate and len(recorded) == package.turns * (rate // 100)
    played = np.concatenate(package.played)
    assert len(played) == len(recorded) and " 1 dropouts" in err or "dropouts" in err


def test_microphone_for_some_seconds(run, package):
    status, out, err = run(live, "--speaker", "p226", "--seconds", "0.1", "--block-ms", "10")
    assert (status, out) == (0, "") and "0.1 s of speech" in err


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (ModuleNotFoundError("No module named 'sounddevice'", name="sounddevice"), MissingExtraError, r"vqvc\[live\]"),
        (OSError("PortAudio library not found"), VqvcError, "libportaudio2.*--in a.wav --out b.wav"),
        (OSError("libasound.so.2: cannot open"), MissingExtraError, "libasound"),
    ],
)
def test_row_30_without_sounddevice_or_portaudio_a_sentence_says_what_to_install(monkeypatch, error, kind, reason):
    import importlib

    original = importlib.import_module

    def import_module(name, *args):
        if name == "sounddevice":
            raise error
        return original(name, *args)

    monkeypatch.setattr(importlib, "import_module", import_module)
    with pytest.raises(kind, match=reason):
        devices.devices()


def test_without_devices_the_error_names_what_else_there_is(package):
    package.found = []
    with pytest.raises(VqvcError, match="no sound devices; .*--in a.wav"):
        devices.devices()


def test_too_much_that_waits_is_left_out_and_counted(package):
    source, target = devices.choose("0", "input"), devices.choose("1", "output")
    playout = Playout(0)
    package.turns = 0
    duplex = devices.Duplex(source, target, RATE, 800, playout.read)
    for number in range(20):  # one second waits
        duplex.waiting.put(np.full(800, number, np.float32))
    skipped = []
    got = [block[0] for block in zip(range(10), duplex.blocks(lambda: False, skipped.append))]
    assert len(got) == 10 and sum(skipped) == 9 * 800


def test_the_meter_shows_levels_load_and_dropouts():
    figures = Figures(RATE)
    figures.add(0.01, np.full(320, 0.1, np.float32), np.zeros(320, np.float32))
    line = live.meter_line(figures, Playout(0))
    assert line == "in #############-------  -20 dB  out -------------------- -100 dB  RTF 0.50  dropouts 0"
