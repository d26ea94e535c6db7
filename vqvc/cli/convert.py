"""vqvc-convert: recordings in another voice."""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vqvc.cli._common import parser, refuse_overwrite, run
from vqvc.cli._models import Meter, add_model, add_speaking, manner
from vqvc.errors import EXIT_SOME_FAILED, AudioError, UsageError, VqvcError

logger = logging.getLogger("vqvc.convert")
TOGETHER_S = 60.0  # recordings are converted together up to this length; a longer one goes by pieces


@dataclass(frozen=True)
class Job:
    """One recording to convert."""

    src: Path
    speaker: str
    out: Path


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-convert."""
    p = parser(
        "Say recordings again in the voice of a speaker of the model. Output is as long and as loud as the source.",
        examples="  vqvc-convert --model model.safetensors --src a.wav --speaker p225 --out b.wav\n"
        "  vqvc-convert --model model.safetensors --src recordings/ --speaker p225 --out converted/\n"
        "  vqvc-convert --model model.safetensors --pairs list.tsv   (lines of source<TAB>speaker<TAB>output)\n"
        "  vqvc-convert --model model.safetensors --list-speakers",
    )
    add_model(p)
    p.add_argument("--src", type=Path, help="a recording, or a folder of them")
    p.add_argument("--speaker", help="whose voice to speak in")
    p.add_argument("--out", type=Path, help="a sound file for a recording, a folder for a folder")
    p.add_argument("--pairs", type=Path, help="text file with source, speaker and output on each line, between tabs")
    p.add_argument("--list-speakers", action="store_true", help="print the model's speakers and end")
    p.add_argument("--rate", default="source", help="sample rate of the output in Hz, or 'source'")
    add_speaking(p)
    return p


def work(args: argparse.Namespace) -> int:
    """Convert; 3 when some recordings could not be converted and were listed."""
    from vqvc.synthesis import package

    how = manner(args)
    header = package.read_header(args.model)
    if args.list_speakers:
        for voice in header.speakers:
            print("\t".join((voice.name, voice.gender, voice.accent)).rstrip())
        return 0
    if args.rate != "source" and not (args.rate.isdigit() and 1000 <= int(args.rate) <= 192000):
        raise UsageError(f"--rate {args.rate}: give a rate in Hz from 1000 to 192000, or 'source'")
    jobs = _jobs(args)
    for speaker in dict.fromkeys(job.speaker for job in jobs):
        header.speaker_index(speaker)  # said before the weights are read
    _check_outputs(jobs, args.overwrite)

    import vqvc

    converter = vqvc.load(args.model)
    rate = None if args.rate == "source" else int(args.rate)
    failed, spoken = 0, 0
    meter = Meter(0, converter.sample_rate)
    for group in _groups(jobs):
        done, said = _convert(converter, group, rate, {"seed": args.seed, "progress": meter, **how})
        failed += len(group) - done
        spoken += said
    logger.info("%s", meter.line(spoken))
    if failed:
        logger.error("%d of %d recordings were not converted", failed, len(jobs))
        return EXIT_SOME_FAILED if failed < len(jobs) else 1
    return 0


def _jobs(args: argparse.Namespace) -> list[Job]:
    if args.pairs:
        if args.src or args.speaker or args.out:
            raise UsageError("--pairs names sources, speakers and outputs; leave out --src, --speaker and --out")
        return _read_pairs(args.pairs)
    if not (args.src and args.speaker and args.out):
        raise UsageError("give --src, --speaker and --out, or --pairs, or --list-speakers")
    if not args.src.is_dir():
        if not args.src.exists():
            raise AudioError(f"{args.src}: no such file")
        return [Job(args.src, args.speaker, args.out)]
    import soundfile

    known = {f".{name.lower()}" for name in soundfile.available_formats()}
    sources = sorted(p for p in args.src.rglob("*") if p.suffix.lower() in known and p.is_file())
    if not sources:
        raise AudioError(f"{args.src}: holds no sound file")
    return [Job(p, args.speaker, (args.out / p.relative_to(args.src)).with_suffix(".wav")) for p in sources]


def _check_outputs(jobs: list[Job], overwrite: bool) -> None:
    """Refuse, before any work, outputs that would replace something, each other, or have no known format."""
    from vqvc.audio import io

    sources: dict[Path, Path] = {}
    for job in jobs:
        io.format_of(job.out)
        refuse_overwrite(job.out, overwrite, job.src)
        out = job.out.resolve()
        if out in sources:
            raise UsageError(f"{job.out}: {sources[out]} and {job.src} would both be written there; name them apart")
        sources[out] = job.src


def _read_pairs(path: Path) -> list[Job]:
    try:
        lines = path.read_text(encoding="utf-8", errors="surrogateescape").split("\n")  # names may hold other breaks
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    jobs = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = line.split("\t")
        if len(parts) != 3:
            raise UsageError(f"{path}:{number}: {len(parts)} fields; write source, speaker and output between tabs")
        jobs.append(Job(Path(parts[0]), parts[1], Path(parts[2])))
    if not jobs:
        raise UsageError(f"{path}: names no recordings")
    return jobs


def _groups(jobs: list[Job]) -> Iterator[list[Job]]:
    """Jobs in their order, together as far as their lengths allow."""
    from vqvc.audio import io

    group: list[Job] = []
    seconds = 0.0
    for job in jobs:
        try:
            length = io.info(job.src).duration_s
        except AudioError:
            length = 0.0  # said when it is read
        if group and seconds + length > TOGETHER_S:
            yield group
            group, seconds = [], 0.0
        group.append(job)
        seconds += length
    if group:
        yield group


def _convert(converter, group: list[Job], rate: int | None, how: dict) -> tuple[int, int]:
    """Convert some recordings together; returns how many were, and the samples said. how: keywords of the converter."""
    from vqvc.audio import io, resample
    from vqvc.synthesis import long

    done, spoken, pairs = 0, 0, []
    sources: dict[Path, tuple] = {}
    for job in group:
        try:
            if job.src not in sources:
                facts = io.info(job.src)
                if facts.duration_s > TOGETHER_S:
                    spoken += long.convert_file(
                        job.src, job.out, lambda x, job=job: converter.convert_batch([(x, job.speaker)], **how)[0],
                        converter.sample_rate, rate,
                    )  # fmt: skip
                    done += 1
                    continue
                recording = io.read(job.src, converter.sample_rate)
                sources[job.src] = facts, converter.listen(recording.samples)
                for note in recording.notes:
                    logger.info("%s: %s", job.src, note)
            pairs.append((job, *sources[job.src]))
        except VqvcError as error:
            _complain(job, error)
    results = converter.say([(heard, job.speaker) for job, _, heard in pairs], **how) if pairs else []
    for (job, facts, _), samples in zip(pairs, results):
        out_hz = rate or facts.sample_rate
        length = resample.resampled_length(facts.length_samples, facts.sample_rate, out_hz)
        spoken += len(samples)
        try:
            io.write_blocks(job.out, [resample.resample(samples, converter.sample_rate, out_hz)], out_hz, length)
            done += 1
        except VqvcError as error:
            _complain(job, error)
    return done, spoken


def _complain(job: Job, error: VqvcError) -> None:
    text = str(error)
    logger.error("%s", text if str(job.src) in text or str(job.out) in text else f"{job.src}: {text}")


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)
