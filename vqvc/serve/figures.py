"""What the page shows of recordings: players with spectrogram and F0, and codes over the waveform, as HTML that holds all of it.

A picture is a bare PNG that is stretched over its frame; lines are SVG in shares of the frame and ticks are text beside it, so that
both stay sharp and legible at every width. ``script.js`` moves the cursors.
"""

import io
import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from vqvc._util import extras
from vqvc.audio.features import spectrum
from vqvc.audio.pitch import f0
from vqvc.evaluation.page.render import picture_url, sound_url
from vqvc.serve.service import Conversion

HERE = Path(__file__).parent
COLUMNS = 900  # of a picture, at most
RANGE_DB, LEVELS = 60.0, 64  # from the loudest to black, in so many steps
F0_HZ = (50.0, 500.0)  # the axis of F0, logarithmic
F0_TICKS_HZ = (50, 100, 200, 400)
MOST_TICKS = 6  # of time
# black, violet, red, orange, pale yellow, at equal steps of level: lightness grows throughout
RAMP = np.array([(4, 4, 20), (64, 15, 110), (150, 38, 110), (225, 85, 65), (252, 165, 60), (252, 250, 190)], float)


@dataclass(frozen=True)
class Tick:
    """A mark on an axis: place in percent of the frame from left or bottom."""

    place: float
    text: str


@dataclass(frozen=True)
class Clip:
    """A player with its picture. f0: an SVG path in a box of 1000 by 100."""

    caption: str
    sound: str
    picture: str
    f0: str
    seconds: float
    times: tuple[Tick, ...]
    frequencies: tuple[Tick, ...]
    pitches: tuple[Tick, ...]


def comparison(done: Conversion) -> str:
    """Source and result side by side, and the codes of the source over its waveform."""
    clips = [
        clip(f"Source: {done.name}", done.source, done.sample_rate),
        clip(f"As {done.speaker}", done.result, done.sample_rate),
    ]
    seconds = len(done.source) / done.sample_rate
    coded = len(done.codes) * done.hop_length / done.sample_rate
    return _template().render(
        clips=clips,
        strip=picture_url(_png(_code_colours(done.codes)[None])),
        strip_width=100 * coded / seconds,
        waveform=_waveform(done.source),
        codes=json.dumps(done.codes.tolist(), separators=(",", ":")),
        count=len(done.codes),
        different=len(np.unique(done.codes)),
        seconds=seconds,
        code_ms=1000 * done.hop_length / done.sample_rate,
        times=_time_ticks(seconds),
    )


def clip(caption: str, samples: np.ndarray, sample_rate: int) -> Clip:
    """What ``figures.html`` needs of samples (T,)."""
    seconds, top = len(samples) / sample_rate, sample_rate / 2
    return Clip(
        caption,
        sound_url(samples, sample_rate),
        picture_url(_png(_spectrogram(samples, sample_rate), _ramp())),
        _f0_path(samples, sample_rate),
        seconds,
        _time_ticks(seconds),
        tuple(Tick(100 * hz / top, f"{hz // 1000} kHz" if hz else "0") for hz in range(0, int(top) + 1, 2000)),
        tuple(Tick(100 * _f0_height(hz), f"{hz} Hz") for hz in F0_TICKS_HZ),
    )


@cache
def _template():
    """Escapes whatever is a name."""
    loader = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return loader.get_template("figures.html")


def _png(pixels: np.ndarray, palette: np.ndarray | None = None) -> bytes:
    """(rows, columns, 3) uint8 as PNG; with a palette (N, 3) uint8, (rows, columns) uint8 that count its colours."""
    image, buffer = extras.load("PIL.Image", "serve", "pillow").fromarray(pixels), io.BytesIO()
    if palette is not None:
        image.putpalette(palette.tobytes())
    image.save(buffer, "PNG")
    return buffer.getvalue()


def _spectrogram(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """(rows, columns) uint8 below LEVELS, high frequencies in the first row: 25 ms Hann, a column every 5 ms or more."""
    hop = max(sample_rate // 200, -(-len(samples) // COLUMNS))
    level = 20 * np.log10(spectrum(samples, n_fft=1024, hop_length=hop, win_length=sample_rate // 40) + 1e-6)
    level = level[:512].reshape(256, 2, -1).max(1)[::-1]
    share = np.clip((level - level.max()) / RANGE_DB + 1, 0, 1)
    return np.rint(share * (LEVELS - 1)).astype(np.uint8)


def _ramp() -> np.ndarray:
    """(LEVELS, 3) uint8."""
    at, given = np.linspace(0, 1, LEVELS), np.linspace(0, 1, len(RAMP))
    return np.stack([np.interp(at, given, RAMP[:, colour]) for colour in range(3)], axis=-1).astype(np.uint8)


def _f0_height(hz: float | np.ndarray) -> float | np.ndarray:
    """Share of the frame from its bottom."""
    return np.log(np.asarray(hz) / F0_HZ[0]) / math.log(F0_HZ[1] / F0_HZ[0])


def _f0_path(samples: np.ndarray, sample_rate: int) -> str:
    """A line for each voiced stretch."""
    times_s, pitch_hz = f0(samples, sample_rate)
    xs, heights = 1000 * times_s * sample_rate / len(samples), _f0_height(pitch_hz)
    parts, pen = [], "M"
    for x, height in zip(xs, heights):
        if not 0 <= height <= 1:  # NaN where unvoiced
            pen = "M"
            continue
        parts.append(f"{pen}{x:.1f} {100 - 100 * height:.1f}")
        pen = "L"
    return "".join(parts)


def _waveform(samples: np.ndarray) -> str:
    """The outline of samples as an SVG path in a box of 1000 by 100: up along the peaks, back along the troughs."""
    columns = min(COLUMNS, len(samples))
    edges = np.linspace(0, len(samples), columns, endpoint=False).astype(int)
    high, low = np.maximum.reduceat(samples, edges), np.minimum.reduceat(samples, edges)
    scale = 48 / max(float(np.abs(samples).max(initial=0)), 1e-6)
    xs = (np.arange(columns) + 0.5) * 1000 / columns
    points = [(x, 50 - scale * y) for x, y in zip(xs, high)] + [
        (x, 50 - scale * y) for x, y in zip(xs[::-1], low[::-1])
    ]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def _code_colours(codes: np.ndarray) -> np.ndarray:
    """(T, 3) uint8: a hue for each code, neighbouring numbers far apart; ``script.js`` computes the same."""
    hue = (codes * 0.61803398875) % 1.0
    wheel = np.stack([np.abs((6 * hue + shift) % 6 - 3) - 1 for shift in (0, 4, 2)], axis=-1).clip(0, 1)
    return (255 * (0.45 + 0.5 * wheel)).astype(np.uint8)


def _time_ticks(seconds: float) -> tuple[Tick, ...]:
    steps = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60)
    step = next((each for each in steps if seconds / each <= MOST_TICKS), steps[-1])
    times = [n * step for n in range(int(seconds / step) + 1) if n * step <= 0.97 * seconds]
    return tuple(Tick(100 * time / seconds, f"{time:g} s") for time in times)
