"""What the commands that write sound share: where it goes, in which format, and whether it can be written at all."""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vqvc._util import file_names
from vqvc.cli._common import refuse_overwrite
from vqvc.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from vqvc.audio.formats import Format

STANDARD = Path("-")  # stdin as a source, stdout as an output
SUBTYPES = {"8": "PCM_S8", "16": "PCM_16", "24": "PCM_24", "32": "PCM_32", "float": "FLOAT", "double": "DOUBLE"}


def add_output(parser: argparse.ArgumentParser) -> None:
    """``--format``, ``--subtype``, ``--normalise`` and ``--no-tag``."""
    parser.add_argument("--format", help="suffix of outputs that are not named: wav, flac, ogg, opus, mp3, ...; wav")
    parser.add_argument(
        "--subtype", help="sample format: 16, 24, 32, float, or libsndfile's name; 16 where the format has it"
    )
    parser.add_argument(
        "--normalise", action="store_true", help="bring the output's peak to -1 dB instead of the source's level"
    )
    parser.add_argument(
        "--no-tag",
        action="store_true",
        help="leave the metadata of outputs empty; otherwise program, model and speaker, where the format has a place",
    )


def suffix(args: argparse.Namespace) -> str:
    """The suffix of outputs that are not named, with its dot."""
    return f".{args.format.lower().lstrip('.')}" if args.format else ".wav"


def subtype(args: argparse.Namespace) -> str | None:
    """libsndfile's name of ``--subtype``; None leaves it to the format."""
    if args.subtype is None:
        return None
    name = args.subtype.upper()
    return SUBTYPES.get(name.lower(), f"PCM_{name[4:]}" if name.startswith("PCM-") else name)


def name_for(stem: str, speaker: str, ending: str) -> str:
    """The output's name when none is given: ``a_p225.wav``."""
    return f"{stem}_{file_names.part(speaker)}{ending}"


def place(out: str | None, name: str) -> Path:
    """Where an output goes: ``out``, or ``name`` in it where it is a folder, or ``name`` in the current folder."""
    if out is None:
        return Path(name)
    if not out:
        raise UsageError("--out: is empty; name a file, or leave it out")
    if out == str(STANDARD):
        return STANDARD
    is_folder = out.endswith(("/", os.sep)) or os.path.isdir(out)
    return Path(out) / name if is_folder else Path(out)


def check_output(path: Path, overwrite: bool, source: Path | None = None) -> None:
    """Raise, before any work, where ``path`` exists (unless ``overwrite``), is ``source``, or cannot be written."""
    if path == STANDARD:
        if sys.stdout is not None and sys.stdout.isatty():
            raise UsageError("--out -: stdout is a terminal; send it to a program or a file, or name a file")
        return
    from vqvc.audio import destinations

    refuse_overwrite(path, overwrite or path.is_dir(), source)
    destinations.require_place(path)


def check_form(path: Path, form: "Format", sample_rate: int) -> None:
    """Raise UsageError where the format cannot hold that rate."""
    from vqvc.audio import formats

    formats.require_rate(path, form, sample_rate)


def form_of(path: Path, args: argparse.Namespace) -> "Format":
    """The format that ``path`` is written in; raises UsageError for an unknown one and for a subtype that it lacks."""
    from vqvc.audio import formats

    named = f"stdout{suffix(args)}" if path == STANDARD else path
    if args.format and path != STANDARD and path.suffix.lower() != suffix(args):
        raise UsageError(f"{path}: its suffix and --format {args.format} differ; give one of them")
    return formats.format_of(named, subtype(args))


def deliver(
    path: Path,
    blocks: Iterable["np.ndarray"],
    sample_rate: int,
    length_samples: int | None,
    args: argparse.Namespace,
    tags: Mapping[str, str],
    finished: Callable[[Path], None] = lambda partial: None,
) -> None:
    """Write blocks (T,) of float32 to ``path``, or to stdout. tags, finished: as ``vqvc.audio.output.write_blocks`` has them;
    with ``--no-tag`` there are no tags."""
    from vqvc.audio import output

    options = {"normalise": args.normalise, "tags": output.NO_TAGS if args.no_tag else tags}
    if path == STANDARD:
        form = form_of(path, args)
        output.write_stream(sys.stdout.buffer, blocks, sample_rate, length_samples, form, **options)
        return
    output.write_blocks(path, blocks, sample_rate, length_samples, subtype(args), finished=finished, **options)


def report(path: Path) -> None:
    """Print the name of an output that is done; nothing for stdout itself."""
    if path != STANDARD:
        print(path, flush=True)
