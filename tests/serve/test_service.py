"""What the page does, without the page: the same speech as vqvc-convert's, and a sentence for what cannot be done."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from vqvc._util import file_names
from vqvc.audio import io
from vqvc.errors import VqvcError
from vqvc.serve.service import sentence


def test_the_result_is_the_file_that_the_command_writes(service, by_command, recordings, tmp_path):
    done = service.convert(recordings / "good.wav", "p226", tmp_path)
    by_command(recordings / "good.wav", "p226", tmp_path / "command.wav")
    assert done.path.name == "good_p226.wav" and done.path.read_bytes() == (tmp_path / "command.wav").read_bytes()
    with soundfile.SoundFile(done.path) as sound:
        assert "model tiny" in sound.comment and "speaker p226" in sound.comment


def test_a_conversion_holds_what_is_shown(service, recordings, tmp_path):
    shares = []
    done = service.convert(recordings / "stereo.wav", "p225", tmp_path, shares.append)
    assert len(done.source) == len(done.result) == round(1.6 * done.sample_rate)
    assert np.array_equal(done.codes, service.converter.encode(recordings / "stereo.wav"))
    assert np.array_equal(done.source, io.read(recordings / "stereo.wav").samples)
    assert done.notes == ("2 channels averaged",) == service.check(recordings / "stereo.wav")
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) > 1


def test_only_listed_speakers_are_offered(service):
    assert [one.name for one in service.speakers] == ["p225", "p226"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("silence", "silence.wav: digital silence"), ("short", "shorter than one code"), ("text", "text.wav: not a readable audio file"),
        ("long", "long.wav: 24 s long, and this page takes 20 s"), ("huge", "huge.wav: "),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_is_a_sentence_without_the_servers_folders(
    service, recordings, tmp_path, name, message
):
    path = recordings / f"{name}.wav"
    with pytest.raises(VqvcError) as caught:
        service.convert(path, "p225", tmp_path)
    text = sentence(caught.value, path)
    assert message in text and str(recordings) not in text and text.endswith(".") and "\n" not in text
    assert not list(tmp_path.iterdir())


def test_an_upload_that_is_too_large_is_refused(service, recordings, tmp_path, monkeypatch):
    from vqvc.serve import service as module

    monkeypatch.setattr(service, "limits", module.Limits(20.0, 1000))
    with pytest.raises(VqvcError, match="good.wav: larger than the .* MB that this page takes"):
        service.check(recordings / "good.wav")


def test_a_recording_that_was_removed_is_to_be_given_again(service, tmp_path):
    path = tmp_path / "gone.wav"
    with pytest.raises(VqvcError) as caught:
        service.check(path)
    assert sentence(caught.value, path) == "gone.wav is no longer kept here; upload or record it again."


def test_enrolling_needs_a_recording_consent_and_a_new_name(service, recordings):
    voice = recordings / "voice.wav"
    for path, name, agreed, message in (
        (None, "me", True, "no recording"), (voice, "me", False, "owner of the voice agrees"), (voice, "p315", True, "another name"),
        (voice, "a\nb", True, "printable"), (recordings / "good.wav", "me", True, "too little"),
    ):  # fmt: skip
        with pytest.raises(VqvcError, match=message):
            service.enroll(path, name, agreed)


def test_an_enrolled_voice_converts_and_its_file_can_be_opened_again(service, recordings, tmp_path):
    shares = []
    voice = service.enroll(recordings / "voice.wav", " ", True, shares.append)
    assert voice.name == "voice" and shares[-1] == 1.0  # named after the recording
    voice.save(tmp_path / "voice.voice")
    again = service.open_voice(tmp_path / "voice.voice")
    first, second = (service.convert(recordings / "good.wav", one, tmp_path / one.name) for one in (voice, again))
    assert np.array_equal(first.result, second.result) and first.path.name == "good_voice.wav"
    with pytest.raises(VqvcError, match="not a voice file"):
        service.open_voice(recordings / "good.wav")


def test_the_warm_up_ends(service):
    service.warm_up().join(300)
    assert service.turns.start(lambda report: True).result()


@pytest.mark.parametrize("letter", ["a", "ж", "語", "𐍈", "/"])
def test_a_long_name_of_a_voice_or_recording_makes_a_file(letter, service, recordings, tmp_path):
    assert len(f"{'x' * 180}_{file_names.part(100 * letter)}.wav".encode()) < 255
    voice = replace(service.enroll(recordings / "voice.wav", "one", True), name=100 * letter)
    voice.save(tmp_path / f"{file_names.part(voice.name)}.voice")
    source = tmp_path / f"{(190 * letter.replace('/', '_')).encode()[:190].decode(errors='ignore')}.wav"
    shutil.copy(recordings / "good.wav", source)
    (tmp_path / "out").mkdir()
    assert service.convert(source, voice, tmp_path / "out").path.is_file()
