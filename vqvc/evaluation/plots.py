"""Plots. matplotlib (extra ``plots``) is imported when the first one is drawn, with a backend that needs no display."""

import os
from collections.abc import Sequence

import numpy as np

from vqvc._util import extras
from vqvc._util.atomic import atomic_path
from vqvc.errors import MissingExtraError


def pyplot():
    """matplotlib.pyplot with the Agg backend. Raises MissingExtraError if matplotlib is missing or broken."""
    extras.load("matplotlib", "plots").use("Agg")
    return extras.load("matplotlib.pyplot", "plots")


def save(figure, path: str | os.PathLike, dots_per_inch: int = 110) -> None:
    """Write a matplotlib figure atomically, and close it."""
    with atomic_path(path) as partial:
        figure.savefig(partial, dpi=dots_per_inch, bbox_inches="tight", metadata={"Software": None})
    pyplot().close(figure)


def code_order(joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The order of phones and codes in the heat map.

    Phones are in the order of their frequency, codes in that of their most frequent phone, then by its share.
    """
    phones = np.argsort(-joint.sum(axis=0), kind="stable")
    phones = phones[joint.sum(axis=0)[phones] > 0]
    used = np.flatnonzero(joint.sum(axis=1))
    share = joint[used] / joint[used].sum(axis=1, keepdims=True)
    place = np.argsort(phones, kind="stable") if len(phones) == joint.shape[1] else _places(phones, joint.shape[1])
    order = np.lexsort((-share.max(axis=1), place[share.argmax(axis=1)]))
    return phones, used[order]


def _places(phones: np.ndarray, classes: int) -> np.ndarray:
    place = np.full(classes, classes)
    place[phones] = np.arange(len(phones))
    return place


def heat_map(joint: np.ndarray, classes: Sequence[str], path: str | os.PathLike, title: str) -> None:
    """Draw P(phone | code) for counts ``joint`` (codes, phones): a column for each used code, a row for each phone."""
    plt = pyplot()
    phones, codes = code_order(joint)
    share = (joint[codes] / joint[codes].sum(axis=1, keepdims=True))[:, phones].T
    figure, axes = plt.subplots(figsize=(min(16, 5 + len(codes) * 0.03), 0.19 * len(phones) + 1.4))
    picture = axes.imshow(
        share, aspect="auto", cmap="magma", vmin=0, vmax=max(0.5, float(share.max())), interpolation="nearest"
    )
    axes.set_yticks(range(len(phones)), [classes[phone] for phone in phones], fontsize=7)
    axes.set_xlabel(f"{len(codes)} used codes of {len(joint)}, sorted by their commonest phone")
    axes.set_ylabel("phone, commonest first")
    axes.set_title(title, fontsize=10)
    figure.colorbar(picture, ax=axes, label="P(phone | code)", pad=0.01)
    save(figure, path)


def png(figure, dots_per_inch: int = 80) -> bytes:
    """A matplotlib figure as PNG, and forget it."""
    import io

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, bbox_inches="tight", metadata={"Software": None})
    pyplot().close(figure)
    return buffer.getvalue()


def draw_spectrogram(axes, samples: np.ndarray, sample_rate: int, top_hz: float = 8000.0) -> None:
    """Spectrogram (25 ms Hann every 5 ms, 60 dB) into ``axes``."""
    from vqvc.audio.features import spectrum

    hop = sample_rate // 200
    level = 20 * np.log10(spectrum(samples, n_fft=1024, hop_length=hop, win_length=sample_rate // 40) + 1e-6)
    seconds = len(samples) / sample_rate
    high = float(level.max())
    axes.imshow(
        level,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=high - 60,
        vmax=high,
        extent=(0, seconds, 0, sample_rate / 2),
    )
    axes.set_ylim(0, min(top_hz, sample_rate / 2))


def spectrogram(path: str | os.PathLike, samples: np.ndarray, sample_rate: int) -> None:
    """Draw the spectrogram of a recording into a file."""
    figure, axes = pyplot().subplots(figsize=(12, 4))
    draw_spectrogram(axes, samples, sample_rate)
    axes.set_xlabel("s")
    axes.set_ylabel("Hz")
    save(figure, path)


def draw_pitch(axes, samples: np.ndarray, sample_rate: int) -> None:
    """Pitch by Praat as dots on a second axis from 50 to 400 Hz; nothing when Praat is absent."""
    from vqvc.audio.pitch import f0

    try:
        times_s, pitch_hz = f0(samples, sample_rate)
    except MissingExtraError:
        return
    right = axes.twinx()
    right.plot(times_s, pitch_hz, ".", color="#35e0ff", markersize=3)
    right.set_ylim(50, 400)
    right.set_yticks([100, 200, 300, 400])
    right.tick_params(labelsize=7)


def clip_picture(samples: np.ndarray, sample_rate: int) -> bytes:
    """Spectrogram with its pitch track, as PNG."""
    figure, axes = pyplot().subplots(figsize=(5.2, 2.3))
    draw_spectrogram(axes, samples, sample_rate)
    draw_pitch(axes, samples, sample_rate)
    axes.set_xlabel("s (left: Hz; dots and right: pitch in Hz)", fontsize=7)
    axes.tick_params(labelsize=7)
    return png(figure)


def code_picture(
    samples: np.ndarray, sample_rate: int, codes: Sequence[int], hop_length: int, phones: Sequence
) -> bytes:
    """A PNG of waveform, phones (start_s, duration_s, phone) and codes (colours, and numbers if they fit)."""
    plt = pyplot()
    figure, (top, bottom) = plt.subplots(
        2, 1, figsize=(13, 2.6), sharex=True, height_ratios=(3, 1), gridspec_kw={"hspace": 0.05}
    )
    times_s = np.arange(len(samples)) / sample_rate
    top.plot(times_s, samples, linewidth=0.4, color="#2f5fd0")
    high = 1.25 * max(1e-3, float(np.abs(samples).max()))
    top.set_ylim(-high, 1.25 * high)
    top.set_yticks([])
    for start_s, duration_s, phone in phones:
        top.axvline(start_s, color="#999999", linewidth=0.4)
        top.text(start_s + duration_s / 2, 1.08 * high, phone, ha="center", va="center", fontsize=7)
    codes = np.asarray(codes)
    colours = plt.get_cmap("hsv")((np.arange(1, int(codes.max(initial=0)) + 2) * 0.61803398875) % 1.0)
    bottom.imshow(
        colours[codes][None],
        aspect="auto",
        extent=(0, len(codes) * hop_length / sample_rate, 0, 1),
        interpolation="nearest",
    )
    if len(codes) <= 130:
        for index, code in enumerate(codes):
            bottom.text(
                (index + 0.5) * hop_length / sample_rate,
                0.5,
                str(code),
                ha="center",
                va="center",
                fontsize=5,
                rotation=90,
            )
    bottom.set_yticks([])
    bottom.set_xlim(0, max(len(samples) / sample_rate, 1e-3))
    bottom.set_xlabel("s; below: one colour for each code", fontsize=7)
    bottom.tick_params(labelsize=7)
    return png(figure)


def summary(
    path: str | os.PathLike,
    title: str,
    rows: Sequence,
    curves: Sequence,
    joint: np.ndarray | None,
    classes: Sequence[str],
) -> None:
    """One picture of a run. rows: lists of (caption, samples, sample_rate); curves: (title, [(label, [(x, y), ...])]);
    joint: (codes, phones) counts or None."""
    plt = pyplot()
    columns = max([len(row) for row in rows] + [1 + (joint is not None), len(curves) + (joint is not None)])
    count = len(rows) + 1
    figure, grid = plt.subplots(
        count,
        columns,
        figsize=(4.2 * columns, 2.6 * len(rows) + 4.2),
        squeeze=False,
        height_ratios=[2.6] * len(rows) + [4.2],
    )
    for axes in grid.ravel():
        axes.set_visible(False)
    for row, places in zip(rows, grid, strict=False):
        for (caption, samples, sample_rate), axes in zip(row, places, strict=False):
            axes.set_visible(True)
            draw_spectrogram(axes, samples, sample_rate)
            draw_pitch(axes, samples, sample_rate)
            axes.set_title(caption, fontsize=9)
            axes.tick_params(labelsize=7)
    for (name, lines), axes in zip(curves, grid[-1], strict=False):
        axes.set_visible(True)
        for label, points in lines:
            if points:
                axes.plot(*zip(*points, strict=True), label=label)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("minutes of training", fontsize=8)
        axes.grid(alpha=0.3)
        if any(points for _, points in lines):
            axes.legend(fontsize=7)
    if joint is not None:
        axes = grid[-1][columns - 1]
        axes.set_visible(True)
        phones, codes = code_order(joint)
        axes.imshow(
            (joint[codes] / joint[codes].sum(axis=1, keepdims=True))[:, phones].T,
            aspect="auto",
            cmap="magma",
            interpolation="nearest",
        )
        axes.set_yticks(range(len(phones)), [classes[phone] for phone in phones], fontsize=5)
        axes.set_title("P(phone | code)", fontsize=9)
        axes.set_xlabel(f"{len(codes)} used codes", fontsize=8)
    figure.suptitle(title)
    figure.tight_layout()
    save(figure, path, 90)
