"""The page in a real Chromium: what a user does with mouse, phone and keyboard, and without a microphone."""

import shutil

import pytest
import soundfile
from browser import DESKTOP, FAKE_MICROPHONE, PHONE, converted, give, shows


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
    shows(page, "good.wav as p226: ")
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
        shows(page, "Not converted: no recording")
    for name, text in (
        ("text", "Not taken: text.wav: not a readable audio file"),
        ("long", "Not taken: long.wav: 24 s long, and this page takes 20 s"),
        ("stereo", "2 channels averaged"),
    ):
        give(page, recordings / f"{name}.wav")
        shows(page, text)
    for name, text in (("silence", "silence.wav: digital silence"), ("short", "shorter than one code")):
        give(page, recordings / f"{name}.wav")
        page.locator("#recording audio").wait_for(state="attached")
        page.click("#convert")
        shows(page, text)
        assert page.locator("#status [role=alert]").count() == 1 and "/" not in page.locator("#status").inner_text()
    give(page, recordings / "huge.wav")
    shows(page, "huge.wav", ".toast-body")
    page.click("#convert")  # still works
    shows(page, "Not converted: no recording")


def test_no_microphone_is_a_sentence(open_page):
    page = open_page()
    page.click("#recording button[aria-label='Record audio']")
    page.click("#recording .record-button")
    page.get_by_role("alert").filter(has_text="No microphone: connect one").wait_for()


def test_a_page_over_plain_http_says_why_there_is_no_microphone(open_page):
    page = open_page(PHONE)
    page.evaluate("Object.defineProperty(window, 'isSecureContext', { value: false })")
    page.click("#recording button[aria-label='Record audio']")
    page.click("#recording .record-button")
    page.get_by_role("alert").filter(has_text="only to pages over https").wait_for()


def test_a_recording_is_converted(open_page):
    page = open_page(DESKTOP, *FAKE_MICROPHONE)
    page.click("#recording button[aria-label='Record audio']")
    page.click("#recording .record-button")
    page.wait_for_timeout(1500)
    page.click("#recording .stop-button")
    shows(page, "resampled to 16000 Hz")  # it was taken
    page.click("#convert")
    shows(page, "audio.wav as p225: ")
    page.locator("#result audio").first.wait_for()
