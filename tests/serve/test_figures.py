"""What the page draws: whole in itself, escaped, true to samples and codes."""

import dataclasses
import io
import re
from pathlib import Path

import numpy as np
import pytest

from vqvc.serve import figures
from vqvc.serve.service import Conversion

image = pytest.importorskip("PIL.Image", reason="needs pillow (extra serve)")
RATE = 16000


@pytest.fixture(scope="module")
def done(speechlike):
    samples = speechlike(1.0)
    codes = np.arange(len(samples) // 64) % 7
    return Conversion("a.wav", "p225", samples, 0.5 * samples, RATE, codes, 64, Path("a_p225.wav"), ())


def test_all_is_inside_and_no_name_is_markup(done):
    text = figures.comparison(dataclasses.replace(done, name="<b>a</b>.wav", speaker='"><script>'))
    links = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert len(links) == 5 and all(link.startswith("data:") for link in links)
    assert "<b>a" not in text and "<script>" not in text and "&lt;b&gt;a" in text


def test_each_code_is_one_pixel_and_equal_codes_have_one_colour(done):
    colours = figures._code_colours(done.codes)
    with image.open(io.BytesIO(figures._png(colours[None]))) as strip:
        pixels = np.asarray(strip)
    assert pixels.shape == (1, len(done.codes), 3) and np.array_equal(pixels[0], colours)
    assert len(np.unique(colours, axis=0)) == 7 and np.array_equal(colours[:7], colours[7:14])
    assert f'data-codes="{list(map(int, done.codes))}"'.replace(" ", "") in figures.comparison(done).replace(" ", "")


def test_a_tone_is_a_bright_line_at_its_height():
    levels = figures._spectrogram(np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE).astype(np.float32), RATE)
    with image.open(io.BytesIO(figures._png(levels, figures._ramp()))) as picture:
        pixels = np.asarray(picture.convert("RGB"), int)
    brightest = pixels.sum(2)[:, 20:-20].mean(1).argmax()  # of the rows, from the top
    assert abs(brightest - 0.75 * len(pixels)) <= 2  # 2 of 8 kHz
    assert tuple(pixels[brightest, 50]) == tuple(figures.RAMP[-1]) and tuple(pixels[5, 50]) == tuple(figures.RAMP[0])


@pytest.mark.parametrize("hz", [100.0, 200.0])
def test_f0_is_drawn_at_its_height(hz):
    time = np.arange(RATE) / RATE
    buzz = sum(np.sin(2 * np.pi * k * hz * time) / k for k in range(1, 8))
    points = [
        tuple(map(float, point.split())) for point in re.findall(r"[ML]([\d.]+ [\d.]+)", figures._f0_path(buzz, RATE))
    ]
    expected = 100 - 100 * np.log(hz / 50) / np.log(10)
    assert (
        len(points) > 50 and all(abs(y - expected) < 1 for _, y in points) and 0 <= points[0][0] < points[-1][0] <= 1000
    )


def test_silence_has_no_contour_and_a_flat_waveform():
    assert figures._f0_path(np.zeros(RATE, np.float32), RATE) == ""
    heights = {
        point.split()[1] for point in re.findall(r"[\d.]+ [\d.]+", figures._waveform(np.zeros(RATE, np.float32)))
    }
    assert heights == {"50.0"}


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1, 5, 61, 600])
def test_ticks_are_few_and_inside(seconds):
    ticks = figures._time_ticks(seconds)
    assert 1 <= len(ticks) <= 12 and all(0 <= tick.place < 98 for tick in ticks) and ticks[0].text == "0 s"


@pytest.mark.parametrize("length", [1, 64, 1000])
def test_short_sounds_are_drawn(length):
    assert figures.clip("", np.full(length, 0.1, np.float32), RATE).picture.startswith("data:image/png")
