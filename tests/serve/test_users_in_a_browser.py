"""Users of the page in a real Chromium: voices of their own, one beside another, and the end of the server."""

import signal
import time
from collections import Counter
from pathlib import Path

import pytest
from browser import PHONE, give, shows, started


def enroll(page, path: Path, name: str) -> None:
    if not page.locator("#enroll").is_visible():
        page.locator("#enrollment > button").click()
    give(page, path, "#sample")
    page.locator("#sample audio").wait_for(state="attached")
    page.locator("#name input, #name textarea").fill(name)
    page.click("#enroll")
    shows(page, "Not enrolled: tick that the owner", "#enrollment-status")
    page.locator("#agreed input").check()
    page.click("#enroll")
    shows(page, f"{name}: enrolled from ", "#enrollment-status")


def offered(page) -> list[str]:
    page.locator("#voice input").click()
    page.get_by_role("option").first.wait_for()
    names = [one.strip().removeprefix("✓").strip() for one in page.get_by_role("option").all_inner_texts()]
    page.keyboard.press("Escape")
    return names


def test_a_voice_is_enrolled_kept_and_opened_again(open_page, recordings, tmp_path):
    page = open_page()
    enroll(page, recordings / "voice.wav", "me")
    assert page.locator("#voice input").input_value() == "enrolled: me"
    give(page, recordings / "good.wav")
    page.locator("#recording audio").wait_for(state="attached")
    page.click("#convert")
    shows(page, "good.wav as me: ")
    with page.expect_download() as waiting:
        page.click("#keep")
    waiting.value.save_as(tmp_path / "me.voice")
    other = open_page()
    assert offered(other) == ["p225 (female, English)", "p226 (male)"]
    other.locator("#enrollment > button").click()
    other.locator("#enrollment input[type=file][accept*=voice]").set_input_files(tmp_path / "me.voice")
    shows(other, "me: opened.", "#enrollment-status")
    give(other, recordings / "good.wav")
    other.locator("#recording audio").wait_for(state="attached")
    other.click("#convert")
    shows(other, "good.wav as me: ")


def test_two_users_do_not_mix(open_page, recordings):
    first, second = open_page(), open_page(PHONE)
    enroll(first, recordings / "voice.wav", "mine")
    for page, name in ((first, "good"), (second, "other")):
        give(page, recordings / f"{name}.wav")
        page.locator("#recording audio").wait_for(state="attached")
    first.click("#convert")
    second.click("#convert")  # while the first is at work or waits
    shows(first, "good.wav as mine: ")
    shows(second, "other.wav as p225: ")
    for page, name, seconds in ((first, "good", 1.6), (second, "other", 2.0)):
        page.locator("#result audio").first.wait_for()
        page.wait_for_function("[...document.querySelectorAll('#result audio')].every((one) => one.duration)")
        durations = page.evaluate("[...document.querySelectorAll('#result audio')].map((one) => one.duration)")
        assert durations == pytest.approx([seconds] * 2, abs=0.05)
        assert f"Source: {name}.wav" in page.locator("#result").inner_text()
    assert Counter(offered(second))["enrolled: mine"] == 0 and "enrolled: mine" in offered(first)


def test_a_signal_ends_the_server_and_removes_its_files(mel_model, recordings, launch, tmp_path):
    folder = tmp_path / "temporary"
    folder.mkdir()
    with started(mel_model, folder) as (address, server):
        page = launch().new_page()
        page.goto(address)
        page.wait_for_selector("#convert")
        give(page, recordings / "good.wav")
        page.locator("#recording audio").wait_for(state="attached")
        assert list(folder.rglob("good.wav"))
        page.click("#convert")  # also in the midst of work
        begin = time.monotonic()
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 143 and time.monotonic() - begin < 60
        assert not list(folder.rglob("good*")) and not list(folder.glob("vqvc-serve-*"))
        page.close()
