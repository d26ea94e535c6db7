"""vqvc-align: phone segments of a packed store, from given TextGrids or by aligning the transcripts."""

import argparse
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from vqvc.cli._arguments import positive
from vqvc.cli._common import parser, refuse_overwrite, run
from vqvc.errors import EXIT_SOME_FAILED, UsageError

logger = logging.getLogger("vqvc.align")

EXAMPLES = """\
  vqvc-align
  vqvc-align --store dump --out align --textgrids mfa/ --phone-set mfa"""
LOG_EVERY_S = 30.0  # where stderr is no terminal
PHONE_SETS = ("auto", "classes", "arpabet", "mfa", "ipa", "sampa", "timit", "pocketsphinx")  # of phone_sets.MAPS


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    result = parser(__doc__.partition(": ")[2], examples=EXAMPLES)
    result.add_argument("--store", type=Path, default=Path("dump"), metavar="DIR", help="what vqvc-pack wrote")
    result.add_argument(
        "--out", type=Path, default=Path("align"), metavar="DIR", help="where phones.ctm and unaligned.tsv go"
    )
    result.add_argument(
        "--textgrids", type=Path, metavar="DIR", help="TextGrids, or TIMIT's .phn, in the recordings' own times"
    )
    result.add_argument(
        "--phone-set", choices=PHONE_SETS, default="auto", help="of the TextGrids; auto: found out by the labels"
    )
    result.add_argument(
        "--tier",
        default="",
        metavar="NAME",
        help="of the TextGrids that holds the phones; {speaker} stands for the speaker; without it phones, MAU and the like",
    )
    result.add_argument(
        "--worst-score",
        type=float,
        default=-36.0,
        metavar="X",
        help="acoustic score per frame that a transcript must reach",
    )
    result.add_argument(
        "--jobs", type=positive, default=2, help="processes; the result does not depend on their number"
    )
    result.add_argument("--overwrite", action="store_true", help="replace a finished alignment")
    return result


def work(args: argparse.Namespace) -> int | None:
    """Align, and print the number of aligned utterances."""
    from vqvc.corpus.align_store import PARTIAL, UNALIGNED, align_store
    from vqvc.corpus.alignment import PHONES_CTM
    from vqvc.corpus.store import PackedStore

    for option, default in (("phone_set", "auto"), ("tier", "")):
        if args.textgrids is None and getattr(args, option) != default:
            raise UsageError(f"--{option.replace('_', '-')}: is of --textgrids; give those too, or leave it out")
    if not math.isfinite(args.worst_score):
        raise UsageError(f"--worst-score {args.worst_score}: must be a number")
    if not (args.out / PARTIAL).exists():  # else an earlier run was stopped, perhaps while it wrote its results
        refuse_overwrite(args.out / PHONES_CTM, args.overwrite)
    store = PackedStore(args.store)
    result = align_store(
        store,
        args.out,
        textgrids=args.textgrids,
        phone_set=args.phone_set,
        tier=args.tier,
        jobs=args.jobs,
        worst_score=args.worst_score,
        progress=_progress,
    )
    print(f"aligned\t{len(result.segments)}")
    for reason, count in sorted(result.reasons().items()):
        print(f"unaligned: {reason}\t{count}")
    if not result.unaligned:
        return None
    logger.warning("%d utterances are not aligned; %s lists them", len(result.unaligned), args.out / UNALIGNED)
    return EXIT_SOME_FAILED


def _progress(items: Iterator, total: int, done: int) -> Iterator:
    """``items``, with a bar on a terminal and a line now and then elsewhere."""
    from tqdm import tqdm

    last_s = time.monotonic()
    bar = tqdm(items, total=total, initial=done, unit="utt", disable=not sys.stderr.isatty(), file=sys.stderr)
    for count, item in enumerate(bar, done + 1):
        if bar.disable and time.monotonic() - last_s > LOG_EVERY_S:
            last_s = time.monotonic()
            logger.info("%d of %d utterances", count, total)
        yield item


def main(argv: Sequence[str] | None = None) -> int:
    """Console script."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
