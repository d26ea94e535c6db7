"""vqvc-convert: recordings in another voice."""

import argparse
import contextlib
import errno
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from vqvc._util.checksum import sha256_of_file
from vqvc.cli import _conversions, _outputs
from vqvc.cli._common import parser, run
from vqvc.cli._conversions import Batch, Job
from vqvc.cli._finished import Finished
from vqvc.cli._models import (
    Meter,
    add_equalizer,
    add_model,
    add_speech_options,
    add_target,
    equalizer,
    synthesis_options,
    voice_of,
)
from vqvc.errors import EXIT_FAILED, EXIT_SOME_FAILED, FileError, UsageError, VqvcError

if TYPE_CHECKING:
    from vqvc.conversion.model_file import Header
    from vqvc.conversion.speech import Speech
    from vqvc.conversion.voice_file import EnrolledVoice

logger = logging.getLogger("vqvc.convert")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-convert."""
    p = parser(
        "Convert recordings to the voice of a speaker of the model. Output is as long and as loud as the source, and its\n"
        "name is printed.",
        examples="  vqvc-convert --src a.wav --speaker p225                     (writes a_p225.wav)\n"
        "  vqvc-convert --src recordings/ --speaker p225               (writes the folder recordings_p225)\n"
        "  vqvc-convert --src recordings/ --speaker p225 --out b/ --format flac --subtype 24\n"
        "  vqvc-convert --src - --speaker p225 --out - <a.wav >b.wav\n"
        "  vqvc-convert --pairs list.tsv                               (lines of source<TAB>speaker<TAB>output)\n"
        "  vqvc-convert --src a.wav --voice me.voice                   (made by vqvc-enroll; writes a_me.wav)\n"
        "  vqvc-convert --list-speakers",
    )
    add_model(p)
    p.add_argument("--src", help="a recording, a folder of them, or - for stdin")
    add_target(p)
    p.add_argument(
        "--out", help="a sound file, a folder, or - for stdout; SOURCE_SPEAKER in the current folder when not given"
    )
    p.add_argument("--pairs", type=Path, help="text file with source, speaker and output on each line, between tabs")
    p.add_argument("--list-speakers", action="store_true", help="print the model's speakers and end")
    p.add_argument("--rate", default="source", help="sample rate of the output in Hz, or 'source'")
    _outputs.add_output(p)
    add_speech_options(p)
    add_equalizer(p)
    return p


def work(args: argparse.Namespace) -> int:
    """Convert; 3 when some recordings could not be converted and were listed."""
    from vqvc.conversion import model_file

    options = synthesis_options(args) | equalizer(args)
    header = model_file.read_header(args.model)
    if args.list_speakers:
        for speaker in header.listed_speakers:
            print("\t".join((speaker.name, speaker.gender, speaker.accent)).rstrip())
        return 0
    if args.rate != "source" and not (args.rate.isdigit() and 1000 <= int(args.rate) <= 192000):
        raise UsageError(f"--rate {args.rate}: give a rate in Hz from 1000 to 192000, or 'source'")
    if args.voice and args.pairs:
        raise UsageError("--pairs names the speakers; leave out --voice")
    voice = voice_of(args, header)
    with contextlib.ExitStack() as stack:
        batch = _conversions.from_arguments(args, stack)
        if voice is None:
            _require_speakers(batch, header)  # fails before the weights are read
        settings = {"model": header.checksum, "seed": args.seed, "rate": args.rate, "normalise": args.normalise,
                    "tag": not args.no_tag, "subtype": _outputs.subtype(args), **options}  # fmt: skip
        if voice is not None:
            settings["voice"] = sha256_of_file(args.voice)
        return _convert(batch, args, options, Finished(settings), voice)


def _require_speakers(batch: Batch, header: "Header") -> None:
    """Raise UsageError, with the line of ``--pairs``, for the first speaker that the model does not have."""
    places: dict[str, str] = {}
    for job in batch.jobs:
        places.setdefault(job.speaker, job.place)
    for speaker, place in places.items():
        try:
            header.speaker_index(speaker)
        except UsageError as error:
            raise UsageError(f"{place}: {error}" if place else str(error)) from None


def _convert(
    batch: Batch, args: argparse.Namespace, options: dict, finished: Finished, voice: "EnrolledVoice | None"
) -> int:
    total = len(batch.jobs) + batch.failed
    _conversions.check(batch, args, finished)
    _remove_unfinished(batch)
    if batch.done:
        logger.info("%d of %d recordings were converted before", len(batch.done), total)
    failed = batch.failed
    if len(batch.done) < len(batch.jobs):
        failed += _convert_jobs(batch, args, options, finished, voice)
    if failed:
        logger.error("%d of %d recordings were not converted", failed, total)
        return EXIT_SOME_FAILED if failed < total else EXIT_FAILED
    return 0


def _remove_unfinished(batch: Batch) -> None:
    from vqvc._util import atomic

    for folder in {job.out.parent for job in batch.jobs if job.out != _outputs.STANDARD}:
        if folder.is_dir():
            atomic.remove_stale_partials(folder)


def _convert_jobs(
    batch: Batch, args: argparse.Namespace, options: dict, finished: Finished, voice: "EnrolledVoice | None"
) -> int:
    """Convert what is not done and print the names; logs those that could not be converted and returns their number."""
    import vqvc

    converter = vqvc.load(args.model)
    meter, made_samples, failed = Meter(0, converter.sample_rate), 0, 0

    def report_failed(number: int, error: VqvcError) -> None:
        nonlocal failed
        failed += 1
        _log_error(batch.jobs[number], error)

    pairs = [(batch.sources.get(job.src, job.src), voice or job.speaker) for job in batch.jobs]
    skip = {number for number, job in enumerate(batch.jobs) if job in batch.done}
    made = converter.convert_each(pairs, skip=skip, failed=report_failed, seed=args.seed, progress=meter, **options)
    for number, speech in made:
        job = batch.jobs[number]
        for note in speech.notes:
            logger.info("%s: %s", job.shown or job.src, note)
        try:
            _write(speech, job, batch, args, finished)
            made_samples += speech.length_at(converter.sample_rate)
        except VqvcError as error:
            report_failed(number, error)
    line = meter.line(made_samples)
    if made_samples:
        logger.info("%s", line)
    return failed


def _write(speech: "Speech", job: Job, batch: Batch, args: argparse.Namespace, finished: Finished) -> None:
    """Write a conversion and print its name."""
    rate = speech.source_rate if args.rate == "source" else int(args.rate)

    def note(partial: Path) -> None:
        if batch.many:
            finished.add(partial, job.out, job.src, speaker=job.speaker)

    _outputs.deliver(job.out, speech.at(rate), rate, speech.length_at(rate), args, speech.tags, note)
    _outputs.report(job.out)


def _log_error(job: Job, error: VqvcError) -> None:
    """Log the error and go on; a full disk ends the batch."""
    if isinstance(error, FileError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        raise error
    job.log_error(error)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
