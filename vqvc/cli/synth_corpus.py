"""vqvc-synth-corpus: synthesize a small corpus with the built-in voices."""

import argparse
from collections.abc import Sequence

from vqvc.cli._arguments import positive
from vqvc.cli._common import parser, refuse_overwrite, run


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    result = parser(
        "Synthesize a small corpus with the built-in voices (eSpeak NG), with transcripts and exact phone times.",
        examples="  vqvc-synth-corpus --out downloads/mini --speakers 8 --sentences 40",
    )
    result.add_argument("--out", required=True, help="folder to make")
    result.add_argument("--speakers", type=int, default=8, help="number of voices, of 12")
    result.add_argument("--sentences", type=int, default=40, help="sentences of each speaker, at most 210")
    result.add_argument("--jobs", type=positive, default=2, help="speakers that are synthesized at once")
    result.add_argument("--overwrite", action="store_true", help="replace the folder when it exists")
    return result


def work(args: argparse.Namespace) -> int | None:
    """Make the corpus and print its size."""
    from vqvc.corpus import synthetic

    refuse_overwrite(args.out, args.overwrite)
    made = synthetic.generate(
        args.out, speakers=args.speakers, count=args.sentences, jobs=args.jobs, overwrite=args.overwrite
    )
    print(f"{args.out}: {made.utterances} utterances of {made.speakers} speakers, {made.seconds / 60:.1f} min")
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Console script."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
