"""vqvc-convert: recordings in another voice."""

import argparse
import contextlib
import errno
import logging
from collections.abc import Iterator
from pathlib import Path

from vqvc.cli import _conversions, _outputs
from vqvc.cli._common import parser, run
from vqvc.cli._conversions import Batch, Job
from vqvc.cli._finished import Finished
from vqvc.cli._models import Meter, add_model, add_speech_options, synthesis_options
from vqvc.errors import EXIT_FAILED, EXIT_SOME_FAILED, FileError, UsageError, VqvcError

logger = logging.getLogger("vqvc.convert")
TOGETHER_S = 60.0  # recordings are converted together up to this length; a longer one goes by pieces


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
        "  vqvc-convert --list-speakers",
    )
    add_model(p)
    p.add_argument("--src", help="a recording, a folder of them, or - for stdin")
    p.add_argument("--speaker", help="the target speaker")
    p.add_argument(
        "--out", help="a sound file, a folder, or - for stdout; SOURCE_SPEAKER in the current folder when not given"
    )
    p.add_argument("--pairs", type=Path, help="text file with source, speaker and output on each line, between tabs")
    p.add_argument("--list-speakers", action="store_true", help="print the model's speakers and end")
    p.add_argument("--rate", default="source", help="sample rate of the output in Hz, or 'source'")
    _outputs.add_output(p)
    p.add_argument(
        "--no-tag",
        action="store_true",
        help="leave the metadata of outputs empty; otherwise program, model and speaker, where the format has a place",
    )
    add_speech_options(p)
    return p


def work(args: argparse.Namespace) -> int:
    """Convert; 3 when some recordings could not be converted and were listed."""
    from vqvc.conversion import model_file

    options = synthesis_options(args)
    header = model_file.read_header(args.model)
    if args.list_speakers:
        for speaker in header.listed_speakers:
            print("\t".join((speaker.name, speaker.gender, speaker.accent)).rstrip())
        return 0
    if args.rate != "source" and not (args.rate.isdigit() and 1000 <= int(args.rate) <= 192000):
        raise UsageError(f"--rate {args.rate}: give a rate in Hz from 1000 to 192000, or 'source'")
    with contextlib.ExitStack() as stack:
        batch = _conversions.from_arguments(args, stack)
        for speaker in dict.fromkeys(job.speaker for job in batch.jobs):
            header.speaker_index(speaker)  # fails before the weights are read
        settings = {"model": header.checksum, "seed": args.seed, "rate": args.rate, "normalise": args.normalise,
                    "tag": not args.no_tag, "subtype": _outputs.subtype(args), **options}  # fmt: skip
        return _convert(batch, args, options, Finished(settings))


def _convert(batch: Batch, args: argparse.Namespace, options: dict, finished: Finished) -> int:
    total = len(batch.jobs) + batch.failed
    _conversions.check(batch, args, finished)
    _remove_unfinished(batch)
    if batch.done:
        logger.info("%d of %d recordings were converted before", len(batch.done), total)
    failed = batch.failed
    groups = [group for group in _groups(batch) if not batch.done.issuperset(group)]
    if groups:
        import vqvc

        converter = vqvc.load(args.model)
        meter, samples = Meter(0, converter.sample_rate), 0
        convert = _Conversion(converter, batch, args, finished, {"seed": args.seed, "progress": meter, **options})
        for group in groups:
            not_converted, made = convert(group)
            failed += not_converted
            samples += made
        line = meter.line(samples)
        if samples:
            logger.info("%s", line)
    if failed:
        logger.error("%d of %d recordings were not converted", failed, total)
        return EXIT_SOME_FAILED if failed < total else EXIT_FAILED
    return 0


def _remove_unfinished(batch: Batch) -> None:
    from vqvc._util import atomic

    for folder in {job.out.parent for job in batch.jobs if job.out != _outputs.STANDARD}:
        if folder.is_dir():
            atomic.remove_stale_partials(folder)


def _groups(batch: Batch) -> Iterator[list[Job]]:
    """Jobs in their order, together as far as their lengths allow, whether they are done or not.

    Conversions of one group depend on each other a little (where streams are cut): a batch that goes on makes the groups
    that it would have made, and so the same speech.
    """
    group: list[Job] = []
    seconds = 0.0
    for job in batch.jobs:
        length = batch.lengths_s.get(job.src, 0.0)
        if group and seconds + length > TOGETHER_S:
            yield group
            group, seconds = [], 0.0
        group.append(job)
        seconds += length
    if group:
        yield group


class _Conversion:
    """Converts groups of jobs. options: keywords of the converter."""

    def __init__(self, converter, batch: Batch, args: argparse.Namespace, finished: Finished, options: dict):
        self.converter, self.batch, self.args, self.finished, self.options = converter, batch, args, finished, options

    def __call__(self, group: list[Job]) -> tuple[int, int]:
        """Convert some recordings together; returns the number that failed, and of samples made."""
        from vqvc.audio import io

        failed, made, pairs = 0, 0, []
        sources: dict[Path, tuple] = {}
        for job in group:
            try:
                if self.batch.lengths_s.get(job.src, 0.0) > TOGETHER_S:
                    if job in self.batch.done:
                        continue
                    for note in io.notes_on(job.src, self.converter.sample_rate):
                        logger.info("%s: %s", job.src, note)
                    logger.info(
                        "%s: %.1f min; read through first, then converted in pieces",
                        job.src,
                        self.batch.lengths_s[job.src] / 60,
                    )
                    speech = self.converter.convert_file(job.src, job.speaker, **self.options)
                    made += self._write(job, speech.blocks, speech.source_rate, speech.source_length_samples)
                    continue
                if job.src not in sources:
                    recording = io.read(job.src, self.converter.sample_rate)
                    sources[job.src] = recording, self.converter.analyse(recording.samples)
                    for note in recording.notes:
                        logger.info("%s: %s", job.src, note)
                pairs.append((job, *sources[job.src]))
            except VqvcError as error:
                failed += 1
                self._log_error(job, error)
        results = (
            self.converter.synthesize([(analysis, job.speaker) for job, _, analysis in pairs], **self.options)
            if pairs
            else []
        )
        for (job, recording, _), samples in zip(pairs, results):
            if job in self.batch.done:
                continue
            try:
                made += self._write(job, [samples], recording.source_rate, recording.source_length_samples)
            except VqvcError as error:
                failed += 1
                self._log_error(job, error)
        return failed, made

    def _write(self, job: Job, blocks, source_rate: int, source_length: int) -> int:
        """Write a conversion, blocks (T,) at the model's rate, and print its name; returns its samples at that rate."""
        from vqvc.audio import resample

        model_rate = self.converter.sample_rate
        out_rate = source_rate if self.args.rate == "source" else int(self.args.rate)
        length = resample.resampled_length(source_length, source_rate, out_rate)

        def note(partial: Path) -> None:
            if self.batch.many:
                self.finished.add(partial, job.out, job.src, speaker=job.speaker)

        tags = None if self.args.no_tag else _outputs.tags_of(self.args.model, self.converter.checksum, job.speaker)
        resampled = resample.resample_blocks(blocks, model_rate, out_rate)
        _outputs.deliver(job.out, resampled, out_rate, length, self.args, note, tags)
        _outputs.report(job.out)
        return resample.resampled_length(source_length, source_rate, model_rate)

    def _log_error(self, job: Job, error: VqvcError) -> None:
        """Log the error and go on; a full disk ends the batch."""
        if isinstance(error, FileError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise error
        job.log_error(error)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
