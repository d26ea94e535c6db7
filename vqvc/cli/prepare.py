"""vqvc-prepare: corpora as they come -> validated Kaldi data directories, split into train, dev and test."""

import argparse
import logging
from pathlib import Path

from vqvc.cli._arguments import positive
from vqvc.cli._common import parser, run
from vqvc.errors import EXIT_FAILED, EXIT_SOME_FAILED, UsageError

logger = logging.getLogger("vqvc.prepare")

LAYOUTS = ("auto", "vctk", "librispeech", "libritts", "ljspeech", "jvs", "kaldi", "folders")  # of corpus/layouts
EXAMPLES = """\
  vqvc-prepare --source downloads/VCTK-Corpus
  vqvc-prepare --source VCTK-Corpus --source read6 --out data --keep-speakers p225,bdl
  vqvc-prepare --source LibriSpeech --source my_speakers --out data
  vqvc-prepare --validate data/train
  vqvc-prepare --fix my_kaldi_dir"""


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-prepare."""
    result = parser(__doc__.partition(": ")[2], examples=EXAMPLES)
    result.add_argument(
        "--source",
        action="append",
        type=Path,
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="a corpus; may be given again",
    )
    result.add_argument("--out", type=Path, metavar="DIR", default=Path("data"), help="where train, dev and test go")
    result.add_argument(
        "--layout", choices=LAYOUTS, default="auto", help="of the sources; auto: found out by what is there"
    )
    result.add_argument(
        "--mic", choices=("mic1", "mic2"), default="mic2", help="of VCTK 0.92; the other is used where it is missing"
    )
    result.add_argument(
        "--unseen-speakers", type=float, default=0.05, metavar="F", help="share of speakers kept for test"
    )
    result.add_argument(
        "--held-out-sentences", type=float, default=0.05, metavar="F", help="share of sentences kept for dev and test"
    )
    result.add_argument("--keep-speakers", default="", metavar="A,B", help="speakers that are never unseen")
    result.add_argument("--jobs", type=positive, default=2, help="threads that read headers")
    result.add_argument("--overwrite", action="store_true", help="replace an earlier result of other inputs")
    verbs = result.add_mutually_exclusive_group()
    verbs.add_argument("--validate", type=Path, metavar="DIR", help="only list what is wrong with a data directory")
    verbs.add_argument("--fix", type=Path, metavar="DIR", help="mend a data directory; a backup is kept")
    return result


def work(args: argparse.Namespace) -> int:
    """Prepare, validate or fix; 3 when some items were unusable and were listed."""
    if "source" in args and (args.validate or args.fix):
        raise UsageError("--validate and --fix take one data directory; leave out --source")
    if args.validate:
        return _validate(args.validate)
    if args.fix:
        return _fix(args.fix)
    if "source" not in args:
        raise UsageError("--source is needed: the folder of a corpus (or --validate DIR, or --fix DIR)")
    return _prepare(args)


def _prepare(args: argparse.Namespace) -> int:
    from vqvc.corpus import prepare
    from vqvc.corpus.layouts import registry

    keep = sorted({name.strip() for name in args.keep_speakers.split(",") if name.strip()})
    split_options = {
        "unseen_speakers": args.unseen_speakers,
        "held_out_sentences": args.held_out_sentences,
        "keep_speakers": keep,
    }
    settings = {**split_options, "mic": args.mic, "layout": args.layout}
    prepare.require_apart(args.out, args.source)
    sources = [registry.read(path, args.layout, args.mic) for path in args.source]
    for source in sources:
        logger.info(
            "%s: %s, %d speakers, %d utterances, %d with text",
            source.path,
            f"{source.kind} {source.release}".strip(),
            len({item.speaker for item in source.items}),
            len(source.items),
            sum(bool(item.text) for item in source.items),
        )
        for note in source.notes:
            logger.info("  %s", note)
    summary = prepare.write(
        sources, args.out, split_options=split_options, settings=settings, jobs=args.jobs, overwrite=args.overwrite
    )
    return _report(summary, args.out)


def _report(summary: dict, out: Path) -> int:
    from vqvc.corpus.prepare import LEFT_OUT, first_failures
    from vqvc.corpus.source import LeftOut
    from vqvc.corpus.store import read_table

    print("subset\tutterances\tspeakers")
    for subset, counts in summary["subsets"].items():
        print(f"{subset}\t{counts['utterances']}\t{counts['speakers']}")
    for reason, count in summary["left_out"].items():
        print(f"left out: {reason}\t{count}\t")
    if not summary["failed"]:
        return 0
    logger.warning("%d utterances could not be used; %s lists them", summary["failed"], out / LEFT_OUT)
    for reason, detail in first_failures(read_table(out / LEFT_OUT, LeftOut)).items():
        logger.warning("  %s: %s", reason, detail)
    return EXIT_SOME_FAILED


def _validate(directory: Path) -> int:
    from vqvc.corpus import kaldi_dir

    problems = kaldi_dir.validate(directory)
    for problem in problems:
        print(f"{directory}/{problem}")
    if not problems:
        logger.info("%s: valid", directory)
        return 0
    logger.error("%s: %d problems; mend what can be mended with: vqvc-prepare --fix DIR", directory, len(problems))
    return EXIT_FAILED


def _fix(directory: Path) -> int:
    from vqvc.corpus import kaldi_fix

    for change in kaldi_fix.fix(directory):
        print(change)
    return _validate(directory)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
