"""The page in a real Chromium: what a user does with mouse, phone and keyboard, beside another user, and without a microphone.

Every page of these tests must stay free of errors in the console and may ask no other host for anything.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import soundfile

pytest.importorskip("gradio", reason="needs gradio (extra serve)")
playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of which it takes no browser")

ROOT = Path(__file__).resolve().parents[2]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 740}
WAIT_MS = 120_000  # for a busy machine
FAKE_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
HARMLESS = ("Method not implemented.",)  # Gradio's player warns so of every sound


@contextlib.contextmanager
def started(model: Path, folder: Path):
    """A vqvc-serve of its own, with temporary files in ``folder``: its address and its process."""
    options = f"--model {model} --port 0 --max-seconds 20 --max-mb 1".split()
    command = [sys.executable, "-m", "vqvc.cli.serve", *options]
    environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
    with open(folder.parent / f"{folder.name}.log", "w+") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        silence = threading.Timer(300, server.kill)  # readline would wait for ever
        silence.start()
        try:
            address = server.stdout.readline().strip()
            silence.cancel()
            assert address.startswith("http://127.0.0.1:"), Path(log.name).read_text()
            yield address, server
        finally:
            silence.cancel()
            server.terminate()
            server.wait(60)
            assert "Traceback" not in Path(log.name).read_text()


@pytest.fixture(scope="module")
def address(mel_model, tmp_path_factory):
    with started(mel_model, tmp_path_factory.mktemp("temporary")) as (address, _):
        yield address


@pytest.fixture(scope="module")
def launch():
    """launch(*options) -> a browser, one for each set of options."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("needs chromium on PATH")
    with playwright.sync_playwright() as play:
        browsers = {}

        def make(*options: str):
            if options not in browsers:
                words = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", *options]
                browsers[options] = play.chromium.launch(executable_path=found, args=words)
            return browsers[options]

        yield make
        for browser in browsers.values():
            browser.close()


@pytest.fixture
def open_page(address, launch):
    """open_page(viewport, *options of the browser) -> the page of a new user."""
    faults, contexts = [], []

    def make(viewport=DESKTOP, *options: str):
        context = launch(*options).new_context(viewport=viewport, accept_downloads=True)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)

        def message(found) -> None:
            if found.type in ("error", "warning") and found.text not in HARMLESS:
                faults.append(f"{found.type}: {found.text}")

        def request(found) -> None:
            if not found.url.startswith((f"{address}/", "data:", "blob:")):
                faults.append(f"asks {found.url}")

        page.on("console", message)
        page.on("pageerror", lambda error: faults.append(f"uncaught: {error}"))
        page.on("request", request)
        page.goto(address)
        page.wait_for_selector("#convert")
        return page

    yield make
    for context in contexts:
        context.close()
    assert not faults


def give(page, path: Path, place: str = "#recording") -> None:
    """Upload a recording, in place of one that is there."""
    clear = page.locator(f"{place} button[aria-label=Clear]")
    if clear.count():
        clear.click()
    page.locator(f"{place} input[type=file]").set_input_files(path)


def choose(page, voice: str) -> None:
    page.locator("#voice input").click()
    page.get_by_role("option", name=re.compile(f"^{voice}")).click()


def says(page, text: str, place: str = "#status") -> None:
    """Wait until a place of the page holds a text."""
    try:
        page.locator(place, has_text=text).wait_for()
    except playwright.TimeoutError:
        pytest.fail(f"{place} says {page.locator(place).inner_text()!r} instead of {text!r}")


def converted(page, path: Path, voice: str) -> None:
    give(page, path)
    page.locator("#recording audio").wait_for(state="attached")
    choose(page, voice)
    page.click("#convert")
    says(page, f"{path.name} as {voice}: ")
    page.locator("#result audio").first.wait_for()


def test_upload_convert_play_download(open_page, recordings, by_command, tmp_path):
    page = open_page()
    converted(page, recordings / "good.wav", "p226")
    played = page.evaluate("""async () => {
      const times = [];
      for (const player of document.querySelectorAll("#result audio")) {
        player.currentTime = 0;
        await player.play();
        while (player.currentTime < 0.3) await new Promise((go) => setTimeout(go, 20));
        const cursor = player.closest("figure").querySelector(".vq-cursor");
        while (!(parseFloat(cursor.style.left) > 0)) await new Promise((go) => setTimeout(go, 20));
        times.push(player.duration);
      }
      return [times, document.querySelectorAll("#result audio")[0].paused];
    }""")
    assert played[0] == pytest.approx([1.6, 1.6], abs=0.05) and played[1]  # one player at a time
    pictures = page.evaluate("[...document.querySelectorAll('#result img')].map((image) => image.naturalWidth)")
    assert len(pictures) == 3 and pictures[2] == 400  # codes, of 64 samples each
    with page.expect_download() as waiting:
        page.click("#download")
    assert waiting.value.suggested_filename == "good_p226.wav"
    waiting.value.save_as(tmp_path / "page.wav")
    by_command(recordings / "good.wav", "p226", tmp_path / "command.wav")
    with soundfile.SoundFile(tmp_path / "page.wav") as page_file, soundfile.SoundFile(tmp_path / "command.wav") as file:
        assert page_file.comment == file.comment != "" and len(page_file) == len(file)


def test_a_click_seeks_and_a_pointer_reads_the_codes(open_page, recordings):
    page = open_page()
    converted(page, recordings / "good.wav", "p225")
    page.locator(".vq-spectrogram").first.click()
    middle = page.evaluate("document.querySelector('#result audio').currentTime")
    assert middle == pytest.approx(0.8, abs=0.1)
    page.locator(".vq-strip").hover()
    shown = page.evaluate("""() => {
      const strip = document.querySelector(".vq-strip"), here = document.querySelector(".vq-here");
      return [Number(strip.getAttribute("aria-valuenow")), JSON.parse(strip.dataset.codes), Number(here.textContent)];
    }""")
    assert shown[0] == pytest.approx(200, abs=5) and shown[2] == shown[1][shown[0]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_in_one_direction(open_page, recordings, tmp_path, scheme):
    page = open_page(PHONE)
    page.emulate_media(color_scheme=scheme)
    name = tmp_path / f"{'unbroken' * 8}.wav"
    shutil.copy(recordings / "stereo.wav", name)
    page.locator("#enrollment > button").click()
    page.locator("#enroll").wait_for()
    converted(page, name, "p225")
    page.locator(".vq-strip").hover()
    wide = page.evaluate("""() => [...document.querySelectorAll("body *")].filter((one) => one.getBoundingClientRect().right > innerWidth + 1
      && !one.closest(".vq-lens, svg")).map((one) => one.outerHTML.slice(0, 120))""")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth") and not wide


def test_the_keyboard_alone_is_enough(open_page, recordings):
    page = open_page()

    def tab_to(selector: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("(selector) => Boolean(document.activeElement?.closest(selector))", selector):
                return
        pytest.fail(f"the Tab key does not reach {selector}")

    tab_to("#recording button")
    choosers = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    for _ in range(60):  # the button is there a moment before it acts
        page.keyboard.press("Enter")
        page.wait_for_timeout(500)
        if choosers:
            break
    choosers[-1].set_files(recordings / "good.wav")
    page.locator("#recording audio").wait_for(state="attached")
    tab_to("#voice input")
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("p226")
    page.wait_for_function("document.querySelectorAll('[role=option]').length === 1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('#voice input').value === 'p226 (male)'")
    tab_to("#convert")
    page.keyboard.press("Enter")
    says(page, "good.wav as p226: ")
    page.locator("#result audio").first.wait_for()
    tab_to("#result audio")
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('#result audio').currentTime > 0")
    tab_to(".vq-strip")
    for key, expected in (("ArrowRight", 1), ("PageUp", 251), ("ArrowLeft", 250), ("End", 399), ("Home", 0)):
        page.keyboard.press(key)
        assert page.locator(".vq-strip").get_attribute("aria-valuenow") == str(expected)
    assert page.locator(".vq-here").inner_text()
    tab_to("#download")
    with page.expect_download():
        page.keyboard.press("Enter")


@pytest.mark.parametrize("fresh", [True, False], ids=["at first", "after a result"])
def test_what_cannot_be_done_is_one_sentence(open_page, recordings, fresh):
    page = open_page()
    if not fresh:
        converted(page, recordings / "good.wav", "p225")
    else:
        page.click("#convert")
        says(page, "Not converted: no recording")
    for name, text in (
        ("text", "Not taken: text.wav: not a readable audio file"),
        ("long", "Not taken: long.wav: 24 s long, and this page takes 20 s"),
        ("stereo", "2 channels averaged"),
    ):
        give(page, recordings / f"{name}.wav")
        says(page, text)
    for name, text in (("silence", "silence.wav: digital silence"), ("short", "shorter than one code")):
        give(page, recordings / f"{name}.wav")
        page.locator("#recording audio").wait_for(state="attached")
        page.click("#convert")
        says(page, text)
        assert page.locator("#status [role=alert]").count() == 1 and "/" not in page.locator("#status").inner_text()
    give(page, recordings / "huge.wav")
    says(page, "huge.wav", ".toast-body")
    page.click("#convert")  # still works
    says(page, "Not converted: no recording")


def test_no_microphone_is_a_sentence(open_page):
    page = open_page()
    page.click("#recording button[aria-label='Record audio']")
    page.click("#recording .record-button")
    page.get_by_role("alert").filter(has_text="No microphone: connect one").wait_for()


def test_a_recording_is_converted(open_page):
    page = open_page(DESKTOP, *FAKE_MICROPHONE)
    page.click("#recording button[aria-label='Record audio']")
    page.click("#recording .record-button")
    page.wait_for_timeout(1500)
    page.click("#recording .stop-button")
    says(page, "resampled to 16000 Hz")  # it was taken
    page.click("#convert")
    says(page, "audio.wav as p225: ")
    page.locator("#result audio").first.wait_for()


def enroll(page, path: Path, name: str) -> None:
    if not page.locator("#enroll").is_visible():
        page.locator("#enrollment > button").click()
    give(page, path, "#sample")
    page.locator("#sample audio").wait_for(state="attached")
    page.locator("#name input, #name textarea").fill(name)
    page.click("#enroll")
    says(page, "Not enrolled: tick that the owner", "#enrollment-status")
    page.locator("#agreed input").check()
    page.click("#enroll")
    says(page, f"{name}: enrolled from ", "#enrollment-status")


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
    says(page, "good.wav as me: ")
    with page.expect_download() as waiting:
        page.click("#keep")
    waiting.value.save_as(tmp_path / "me.voice")
    other = open_page()
    assert offered(other) == ["p225 (female, English)", "p226 (male)"]
    other.locator("#enrollment > button").click()
    other.locator("#enrollment input[type=file][accept*=voice]").set_input_files(tmp_path / "me.voice")
    says(other, "me: opened.", "#enrollment-status")
    give(other, recordings / "good.wav")
    other.locator("#recording audio").wait_for(state="attached")
    other.click("#convert")
    says(other, "good.wav as me: ")


def test_two_users_do_not_mix(open_page, recordings):
    first, second = open_page(), open_page(PHONE)
    enroll(first, recordings / "voice.wav", "mine")
    for page, name in ((first, "good"), (second, "other")):
        give(page, recordings / f"{name}.wav")
        page.locator("#recording audio").wait_for(state="attached")
    first.click("#convert")
    second.click("#convert")  # while the first is at work or waits
    says(first, "good.wav as mine: ")
    says(second, "other.wav as p225: ")
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
