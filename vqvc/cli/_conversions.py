"""Which recordings vqvc-convert converts, and where each conversion goes."""

import argparse
import contextlib
import logging
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vqvc._util import textfile
from vqvc.cli._finished import LIST, Finished
from vqvc.cli._outputs import STANDARD, check_form, check_output, form_of, name_for, place, suffix
from vqvc.errors import AudioError, UsageError, VqvcError, explained

if TYPE_CHECKING:
    from vqvc.conversion.source import Source

logger = logging.getLogger("vqvc.convert")


@dataclass(frozen=True)
class Job:
    """One recording to convert."""

    src: Path
    speaker: str
    out: Path
    shown: str = ""  # what the source is called, where not by its path
    place: str = ""  # file and line that name the job, where it is one of a list

    def log_error(self, error: VqvcError) -> None:
        """Log an error; the message names the recording."""
        text = str(error) if str(self.src) in str(error) or str(self.out) in str(error) else f"{self.src}: {error}"
        logger.error("%s", text.replace(str(self.src), self.shown) if self.shown else text)


@dataclass
class Batch:
    """The recordings to convert."""

    jobs: list[Job]
    many: bool = False  # a list of what is finished is kept
    done: set[Job] = field(default_factory=set)  # those that an earlier run of the same command finished
    failed: int = 0  # recordings that cannot be read at all
    sources: dict[Path, "Source"] = field(default_factory=dict)  # those whose headers can be read


def from_arguments(args: argparse.Namespace, stack: contextlib.ExitStack) -> Batch:
    """The batch that ``--src`` or ``--pairs`` names. Raises UsageError or AudioError where it names none."""
    if args.pairs:
        if args.src or args.speaker or args.out:
            raise UsageError("--pairs names sources, speakers and outputs; leave out --src, --speaker and --out")
        jobs = _read_pairs(args.pairs)
        return Batch(jobs, many=len(jobs) > 1)
    if not args.src:
        raise UsageError("nothing to convert; type: vqvc-convert --src a.wav --speaker p225")
    if not args.speaker:
        raise UsageError(
            f"{args.src}: whose voice? Add --speaker p225, for example; vqvc-convert --list-speakers names all"
        )
    if args.src == str(STANDARD):
        name = name_for("stdin", args.speaker, suffix(args))
        return Batch([Job(_stdin(stack), args.speaker, place(args.out, name), "stdin")])
    source = Path(args.src)
    try:
        if source.is_dir():
            return _folder(args, source)
        if not source.exists():
            raise AudioError(f"{source}: no such file")
    except OSError as error:
        raise explained(error, None if error.filename else source) from None
    return Batch([Job(source, args.speaker, place(args.out, name_for(source.stem, args.speaker, suffix(args))))])


def _folder(args: argparse.Namespace, source: Path) -> Batch:
    from vqvc.audio import folder

    if args.out == str(STANDARD):
        raise UsageError(f"{source}: is a folder; its conversions need a folder too, as --out")
    ending = suffix(args)
    out = Path(args.out or name_for(source.resolve().name or "recordings", args.speaker, ""))
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; the conversions of a folder need a folder, as --out")
    ours = [path.parent for path in source.rglob(LIST) if path.parent != source]
    for path in ours:
        if path.resolve() != out.resolve():
            logger.info("%s: holds conversions; left out", path)
    found = folder.recordings_in(source, [*ours, *([out] if out.resolve() != source.resolve() else [])])
    for path in found.replaced:
        logger.info("%s: left out; a readable recording of the same name stands beside it", path)
    for sentence in found.remedies():
        logger.error("%s", sentence)
    if not found.recordings:
        raise AudioError(f"{source}: holds no sound file" + (" that can be read" if found.foreign else ""))
    taken = Counter(path.with_suffix("") for path in found.recordings)
    jobs = []
    for path in found.recordings:
        alone = taken[path.with_suffix("")] == 1
        target = out / path.relative_to(source)
        jobs.append(Job(path, args.speaker, target.with_name((path.stem if alone else path.name) + ending)))
    return Batch(jobs, many=True, failed=len(found.foreign))


def _read_pairs(path: Path) -> list[Job]:
    lines = textfile.read(path, errors="surrogateescape", error=UsageError).split("\n")  # names may hold other breaks
    jobs = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.split("\t")
        if len(parts) != 3:
            raise UsageError(f"{path}:{number}: {len(parts)} fields; write source, speaker and output between tabs")
        if not all(part.strip() for part in parts):
            raise UsageError(f"{path}:{number}: source, speaker or output is empty; write all three between tabs")
        jobs.append(Job(Path(parts[0]), parts[1], Path(parts[2]), place=f"{path}:{number}"))
    if not jobs:
        raise UsageError(f"{path}: names no recordings")
    return jobs


def _stdin(stack: contextlib.ExitStack) -> Path:
    """The recording that comes through a pipe, as a file: reading it takes several passes."""
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("--src -: stdin is a terminal; pipe a recording in, or name a file")
    path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vqvc-")), "stdin")
    with open(path, "wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return path


def check(batch: Batch, args: argparse.Namespace, finished: Finished) -> None:
    """Refuse, before any work, outputs that would replace something or each other, or that cannot be written.

    Finds out what an earlier run of the same command has finished, and opens the sources.
    """
    from vqvc.audio import destinations
    from vqvc.conversion.source import Source

    sources: dict[Path, Path] = {}
    read = destinations.identities({job.src for job in batch.jobs})
    for job in batch.jobs:
        form = form_of(job.out, args)
        resolved = job.out.resolve()
        if resolved in sources and job.out != STANDARD:
            raise UsageError(
                f"{job.out}: {sources[resolved]} and {job.src} would both be written there; name them apart"
            )
        sources[resolved] = job.src
        may_be_done = batch.many and not args.overwrite and job.out.exists() and job.src.is_file()
        if may_be_done and finished.has(job.out, job.src, speaker=job.speaker):
            batch.done.add(job)
        else:
            destinations.require_no_source(job.out, read)  # of any job: an output may replace what is still to be read
            check_output(job.out, args.overwrite)
        try:
            source = batch.sources.get(job.src) or Source.of(job.src, 0)
        except VqvcError:  # reported when it is converted
            continue
        batch.sources[job.src] = source
        check_form(job.out, form, source.sample_rate if args.rate == "source" else int(args.rate))
