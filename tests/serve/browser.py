"""A vqvc-serve and a real Chromium as fixtures, and what a user does on the page.

Every page that ``open_page`` opens must stay free of errors in the console and may ask no other host for anything.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

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
    """The address of a server that the tests of a module share."""
    pytest.importorskip("gradio", reason="needs gradio (extra serve)")
    with started(mel_model, tmp_path_factory.mktemp("temporary")) as (address, _):
        yield address


@pytest.fixture(scope="module")
def launch():
    """launch(*options) -> a browser, one for each set of options."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of which it takes no browser")
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
    """Choose the voice whose label begins so."""
    page.locator("#voice input").click()
    page.get_by_role("option", name=re.compile(f"^{voice}")).click()


def shows(page, text: str, place: str = "#status") -> None:
    """Wait until a place of the page holds a text."""
    from playwright import sync_api as playwright

    try:
        page.locator(place, has_text=text).wait_for()
    except playwright.TimeoutError:
        pytest.fail(f"{place} shows {page.locator(place).inner_text()!r} instead of {text!r}")


def converted(page, path: Path, voice: str) -> None:
    """Upload, choose, convert, and wait for the result."""
    give(page, path)
    page.locator("#recording audio").wait_for(state="attached")
    choose(page, voice)
    page.click("#convert")
    shows(page, f"{path.name} as {voice}: ")
    page.locator("#result audio").first.wait_for()
