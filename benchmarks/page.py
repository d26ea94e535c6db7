#!/usr/bin/env python3
"""How long does the page of vqvc-serve take, from opening it until five seconds of speech play in another voice?

    python benchmarks/page.py [--src FILE] [--speaker p225] [--seconds 5] [--rounds 3] [--json FILE]

Starts vqvc-serve and Chromium (extra `serve`, playwright, chromium on PATH). Each round opens the page as a new user, uploads, converts and
plays the result until its position moves.

server     from the command to its address
page       from opening to a page that can be used
converted  from opening to the result
played     from opening to sound
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vqvc._util import atomic, extras
from vqvc.audio import io, output
from vqvc.cli._common import parser, run
from vqvc.cli._models import add_model
from vqvc.errors import MissingExtraError, UsageError

RATE = 16000


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    p = parser("Measure how long it takes from opening the page of vqvc-serve until a conversion plays.")
    add_model(p)
    p.add_argument(
        "--src", type=Path, help="a recording, cut or repeated to --seconds; a synthetic buzz when not given"
    )
    p.add_argument("--speaker", default="p225", help="the voice")
    p.add_argument("--seconds", type=float, default=5.0, help="length of the upload")
    p.add_argument("--rounds", type=int, default=3, help="users, one after the other")
    p.add_argument("--json", type=Path, help="write the figures there too")
    return p


def sound(src: Path | None, seconds: float) -> np.ndarray:
    """(T,) float32 at RATE: the recording, or a buzz whose pitch and loudness move as in speech."""
    count = int(seconds * RATE)
    if src is not None:
        return np.resize(io.read(src, RATE).samples, count)
    time_s = np.arange(count) / RATE
    phase = 2 * np.pi * np.cumsum(130 + 25 * np.sin(2 * np.pi * 0.9 * time_s)) / RATE
    buzz = sum(np.sin(k * phase) / k for k in range(1, 12))
    return (0.1 * buzz * (0.3 + 0.7 * np.sin(2 * np.pi * 2 * time_s) ** 2)).astype(np.float32)


def visit(browser: object, address: str, upload: Path, speaker: str) -> dict[str, float]:
    """Seconds from opening the page, of one user."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(300_000)
    begin, took = time.perf_counter(), {}
    page.goto(address)
    page.wait_for_selector("#convert")
    took["page"] = time.perf_counter() - begin
    page.locator("#recording input[type=file]").set_input_files(upload)
    page.locator("#recording audio").wait_for(state="attached")
    page.locator("#voice input").click()
    page.get_by_role("option", name=re.compile(rf"^{re.escape(speaker)}\b")).click()
    page.click("#convert")
    page.locator("#result audio").nth(1).wait_for()
    took["converted"] = time.perf_counter() - begin
    page.evaluate("document.querySelectorAll('#result audio')[1].play()")
    page.wait_for_function("document.querySelectorAll('#result audio')[1].currentTime > 0")
    took["played"] = time.perf_counter() - begin
    if speaker not in page.locator("#status").inner_text():
        raise UsageError(f"the page answers: {page.locator('#status').inner_text()}")
    context.close()
    return took


def work(args: argparse.Namespace) -> None:
    """Measure and print."""
    play = extras.load("playwright.sync_api", "dev")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise MissingExtraError("chromium", "dev", "is not on PATH")
    command = [sys.executable, "-m", "vqvc.cli.serve", "--model", str(args.model), "--port", "0"]
    with tempfile.TemporaryDirectory(prefix="vqvc-") as folder:
        upload = Path(folder, "upload.wav")
        output.write(upload, sound(args.src, args.seconds), RATE)
        begin = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            address = server.stdout.readline().strip()
            started = time.perf_counter() - begin
            try:
                with play.sync_playwright() as playwright:
                    words = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
                    browser = playwright.chromium.launch(executable_path=chromium, args=words)
                    rounds = [visit(browser, address, upload, args.speaker) for _ in range(args.rounds)]
                    browser.close()
            finally:
                server.terminate()
    print(f"server {started:.1f} s; {os.cpu_count()} cores, {args.seconds:g} s of sound, {args.speaker}")
    for number, took in enumerate(rounds, 1):
        print(f"round {number}: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items()))
    if args.json:
        atomic.write_json(args.json, {"server_s": started, "rounds": rounds})


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
