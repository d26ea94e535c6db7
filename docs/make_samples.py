"""A page of samples: source recordings, their conversions by a model, spectrograms and attributions.

    python docs/make_samples.py --out docs/samples/vctk-small-3.1 --speakers p228,bdl --clip a.wav --caption "Somebody: a sentence"

The page is a folder with index.html, Opus files and PNG images. It opens from disk and loads nothing from elsewhere.
"""

import argparse
import html
import re
import shutil
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import vqvc
from vqvc._util.atomic import write_bytes, write_text
from vqvc.api import VoiceConverter
from vqvc.audio import output
from vqvc.audio.features import log_mel
from vqvc.audio.io import read
from vqvc.cli._common import parser, refuse_overwrite, run
from vqvc.errors import UsageError
from vqvc.models import RELEASED

RANGE_DB = 60.0  # below the loudest point of a spectrogram
PIXELS_PER_S, BANDS = 50, 80  # of a spectrogram
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ max-width: 72rem; margin: 0 auto; padding: 1rem 1.2rem 3rem; font: 16px/1.5 system-ui, sans-serif; color: #1d1f23; background: #fbfaf8 }}
.row {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1rem; margin-bottom: 1.5rem }}
figure {{ margin: 0 }} audio {{ width: 100% }} img {{ width: 100%; height: 7rem; image-rendering: auto }}
.soft {{ color: #5c636e; font-size: .9rem }}
</style>
</head>
<body>
<h1>{title}</h1>
<p class="soft">Model {model} ({checksum}), vqvc {version}, seed {seed}. Source recordings as they are; everything else is made by the model.
Spectrograms: {bands} mel bands up to {top_khz:g} kHz, {range_db:g} dB.</p>
{rows}
<h2>Recordings and licences</h2>
<ul>
{attributions}
</ul>
</body>
</html>
"""


@dataclass(frozen=True)
class Sample:
    """One figure of the page. name: of its files, without a suffix; samples: (T,) float32."""

    name: str
    caption: str
    samples: np.ndarray


def make_parser() -> argparse.ArgumentParser:
    """The options of this script."""
    p = parser(
        "Make a page of samples: recordings, their conversions by a model, spectrograms, attributions.",
        examples="  python docs/make_samples.py --out docs/samples/vctk-small-3.1 --speakers p228,bdl --clip a.wav --caption 'p226: ...'",
    )
    p.add_argument("--model", type=Path, default=RELEASED, help="model file")
    p.add_argument("--clip", action="append", type=Path, required=True, help="a source recording; repeatable")
    p.add_argument(
        "--caption", action="append", default=[], help="text for each --clip in turn; its name when not given"
    )
    p.add_argument("--speakers", required=True, help="target speakers, with commas")
    p.add_argument("--attribution", action="append", default=[], help="whose recordings and what licence; repeatable")
    p.add_argument("--title", default="Samples", help="heading of the page")
    p.add_argument("--out", type=Path, required=True, help="folder of the page")
    p.add_argument("--most-kb", type=int, default=2000, help="refuse a page that is larger")
    p.add_argument("--seed", type=int, default=0, help="of the draws")
    p.add_argument("--overwrite", action="store_true", help="replace a page that this script made")
    return p


def png(levels: np.ndarray) -> bytes:
    """Grey levels (height, width) uint8, dark where high, as a PNG."""
    height, width = levels.shape
    rows = b"".join(b"\0" + (255 - row).astype(np.uint8).tobytes() for row in levels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def spectrogram(samples: np.ndarray, sample_rate: int) -> bytes:
    """The log-mel spectrogram of ``samples`` (T,) as a PNG of ``BANDS`` rows and ``PIXELS_PER_S`` columns a second."""
    frames = log_mel(
        samples, sample_rate, n_fft=1024, hop_length=sample_rate // PIXELS_PER_S, n_mels=BANDS, f_max=sample_rate / 2
    )
    decibels = frames * (20 / np.log(10))
    shade = (decibels - decibels.max() + RANGE_DB) / RANGE_DB
    return png((np.clip(shade[::-1], 0, 1) * 255).astype(np.uint8))


def make(args: argparse.Namespace) -> tuple[list[list[Sample]], VoiceConverter]:
    """A row of samples for each clip, the source first; and the model."""
    converter = vqvc.load(args.model)
    rate, speakers = converter.sample_rate, [name for name in args.speakers.split(",") if name]
    captions = args.caption + [clip.stem for clip in args.clip[len(args.caption) :]]
    sources = [read(clip, rate).samples for clip in args.clip]
    rows = []
    for clip, caption, source in zip(args.clip, captions, sources, strict=True):
        stem = re.sub(r"[^\w-]", "_", clip.stem)
        row = [Sample(stem, f"{caption} (source)", source)]
        for name in speakers:
            converted = converter.convert(source, name, seed=args.seed)
            row.append(Sample(f"{stem}_to_{name}", f"converted to {name}", converted))
        rows.append(row)
    return rows, converter


def page(args: argparse.Namespace, rows: list[list[Sample]], converter: VoiceConverter) -> str:
    """The text of index.html."""
    blocks = []
    for row in rows:
        figures = [
            f'<figure><figcaption>{html.escape(sample.caption)}</figcaption>\n<audio controls preload="none" src="{sample.name}.opus"></audio>\n'
            f'<img src="{sample.name}.png" alt="spectrogram: {html.escape(sample.caption)}"></figure>'
            for sample in row
        ]
        blocks.append('<div class="row">\n' + "\n".join(figures) + "\n</div>")
    return PAGE.format(
        title=html.escape(args.title), model=html.escape(args.model.stem), checksum=converter.checksum[:12],
        version=vqvc.__version__, seed=args.seed, bands=BANDS, top_khz=converter.sample_rate / 2000, range_db=RANGE_DB,
        rows="\n".join(blocks), attributions="\n".join(f"<li>{html.escape(line)}</li>" for line in args.attribution),
    )  # fmt: skip


def work(args: argparse.Namespace) -> None:
    """Convert, write and print the name of the page."""
    if len(args.caption) > len(args.clip):
        raise UsageError("--caption: more of them than of --clip")
    if len({clip.stem for clip in args.clip}) < len(args.clip):
        raise UsageError("--clip: two recordings have the same name; rename one")
    target = args.out / "index.html"
    refuse_overwrite(target, args.overwrite)
    rows, converter = make(args)
    partial = args.out.with_name(args.out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for sample in (sample for row in rows for sample in row):
            output.write(partial / f"{sample.name}.opus", sample.samples, converter.sample_rate)
            write_bytes(partial / f"{sample.name}.png", spectrogram(sample.samples, converter.sample_rate))
        write_text(partial / "index.html", page(args, rows, converter))
        size = sum(path.stat().st_size for path in partial.iterdir())
        if size > 1000 * args.most_kb:
            raise UsageError(f"{args.out}: would have {size / 1000:,.0f} kB; give fewer or shorter clips, or --most-kb")
        args.out.mkdir(parents=True, exist_ok=True)
        for path in [*args.out.glob("*.opus"), *args.out.glob("*.png")]:
            path.unlink()
        for path in sorted(partial.iterdir()):
            path.replace(args.out / path.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    print(f"{target} ({size / 1000:,.0f} kB)")


if __name__ == "__main__":
    raise SystemExit(run(make_parser, work))
