"""The files that conversions are written to, as ``out=`` of the Python API names them, checked before the work that makes them."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vqvc.audio import destinations, formats
from vqvc.conversion.source import Source, checked_rate
from vqvc.errors import UsageError


@dataclass(frozen=True)
class FileOptions:
    """How the files are written, see ``Speech.write``; sample_rate: Hz, that of each source when None."""

    sample_rate: int | None = None
    subtype: str | None = None
    normalise: bool = False
    tag: bool = True

    def of_speech(self) -> dict[str, Any]:
        """Keywords of ``Speech.write``."""
        return asdict(self)


def outputs_of(out: Any, count: int, batch: bool, options: FileOptions) -> list[Path | None]:
    """A path for each of ``count`` sources, or None where samples are returned (``out`` is None).

    batch: sources are a list, and then ``out`` is one too. Raises UsageError for what is no path, and for options of files without one.
    """
    if out is None:
        for name in ("sample_rate", "subtype", "normalise"):
            if getattr(options, name) is not None and getattr(options, name) is not False:
                raise UsageError(
                    f"{name}= is of the file that out= names; samples are returned at converter.sample_rate"
                )
        return [None] * count
    listed = out if batch and isinstance(out, Sequence) and not isinstance(out, str) else [out]
    for each in listed:
        if not isinstance(each, (str, os.PathLike)):
            raise UsageError(f"out={each!r}: give the path of a sound file, or for a list of sources a list of paths")
    return [Path(each) for each in listed]


def require_possible(
    outs: Sequence[Path | None], sources: Sequence[Source], options: FileOptions, overwrite: bool
) -> None:
    """Raise where an output exists (unless ``overwrite``), is a source, is another output, or cannot be written."""
    wanted = None if options.sample_rate is None else checked_rate(options.sample_rate)
    read = destinations.identities(source.path for source in sources if source.path is not None)
    named = [(path, source) for path, source in zip(outs, sources) if path is not None]
    for path, source in named:
        destinations.require_no_source(path, read)
        if path.is_file() and not overwrite:
            raise UsageError(f"{path}: exists already; give overwrite=True to replace it")
        destinations.require_place(path)
        formats.require_rate(path, formats.format_of(path, options.subtype), wanted or source.sample_rate)
    if len({path.resolve() for path, _ in named}) < len(named):
        raise UsageError("two outputs have the same name; give each its own")
