"""vqvc-pack: data directories -> one packed store of levelled 16-bit samples, read by memory map."""

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vqvc.cli._arguments import positive
from vqvc.cli._common import parser, run
from vqvc.errors import EXIT_SOME_FAILED, CorpusError, UsageError
from vqvc.models import RELEASED

logger = logging.getLogger("vqvc.pack")

EXAMPLES = """\
  vqvc-pack
  vqvc-pack --data my/data --out my/dump"""
LOG_EVERY = 5000  # utterances, where stderr is no terminal


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-pack."""
    result = parser(__doc__.partition(": ")[2], examples=EXAMPLES)
    result.add_argument("--data", type=Path, default=Path("data"), metavar="DIR", help="what vqvc-prepare wrote")
    result.add_argument("--out", type=Path, default=Path("dump"), metavar="DIR", help="where the store goes")
    result.add_argument("--sample-rate", type=int, default=16000, metavar="HZ", help="of the store")
    result.add_argument(
        "--level-rms", type=float, default=0.06, metavar="X", help="root mean square of each utterance, full scale 1"
    )
    result.add_argument(
        "--perturb", type=int, default=0, metavar="N",
        help="also N perturbed copies, in other voices and rooms, which training.perturbed_fraction lets the encoder read",
    )  # fmt: skip
    result.add_argument(
        "--converted", type=int, default=0, metavar="N",
        help="also N conversions of it by --model, each utterance in another voice; training.perturbed_fraction counts them too",
    )  # fmt: skip
    result.add_argument(
        "--model", type=Path, help="for --converted: model file of vqvc-train; the released one when not given"
    )
    result.add_argument(
        "--jobs",
        type=positive,
        default=2,
        help="threads (processes for --perturb); the result does not depend on their number",
    )
    result.add_argument(
        "--overwrite", action="store_true", help="replace a store of other inputs, or conversions by another model"
    )
    return result


def work(args: argparse.Namespace) -> int:
    """Pack; 3 when some recordings were unusable and were listed."""
    from vqvc.corpus import pack
    from vqvc.corpus.store_writer import StoreWriter

    _check(args)
    tasks, speakers = pack.read_data(args.data)
    inputs = pack.fingerprint(tasks, speakers, args.sample_rate, args.level_rms)
    if args.out.exists() and pack.is_packed(args.out, inputs, args.overwrite):
        logger.info("%s: inputs have not changed; the utterances stay as they are", args.out)
        return _copy_and_report(args)
    with StoreWriter(args.out, sample_rate=args.sample_rate, level_rms=args.level_rms, fingerprint=inputs) as writer:
        if writer.resumed:
            logger.info("%s: going on after %d of %d finished utterances", args.out, writer.resumed, len(tasks))
        for count, _ in enumerate(
            _progress(pack.pack(tasks, writer, jobs=args.jobs), len(tasks), writer.resumed), writer.resumed + 1
        ):
            if count % LOG_EVERY == 0 and not sys.stderr.isatty():
                logger.info("%d of %d utterances", count, len(tasks))
        if not writer.utterances:
            writer.give_up()
            raise CorpusError(
                f"{args.data}: none of its {len(tasks)} recordings can be used; the first: {writer.left_out[0].detail}"
            )
        writer.finish(speakers, overwrite=args.overwrite)
    return _copy_and_report(args)


def _copy_and_report(args: argparse.Namespace) -> int:
    """Make the copies that are asked for, and print what the store holds."""
    from vqvc._util import lock
    from vqvc.corpus import converted_copies, perturbation, store

    def make(kind: str, copies: int, made: Iterator[int]) -> None:
        kept = len(packed.copies_facts[kind].get("sha256", ()))
        for _ in _progress(made, copies * len(packed), min(kept, copies) * len(packed)):
            pass

    if args.perturb or args.converted:
        with lock.Lock(args.out):
            packed = store.PackedStore(args.out)
            if args.perturb:
                make(store.PERTURBED, args.perturb, perturbation.add_copies(packed, args.perturb, jobs=args.jobs))
            if args.converted:
                import vqvc

                converter = vqvc.load(args.model)
                other = packed.copies_facts[store.CONVERTED].get("model", converter.checksum) != converter.checksum
                if other and not args.overwrite:
                    raise UsageError(
                        f"{args.out}: its converted copies are by another model than {args.model}; give --overwrite to replace them"
                    )
                make(store.CONVERTED, args.converted, converted_copies.add_copies(packed, args.converted, converter))
    return _report(args.out)


def _check(args: argparse.Namespace) -> None:
    if not 1000 <= args.sample_rate <= 192000:
        raise UsageError(f"--sample-rate {args.sample_rate}: must be 1000 to 192000 Hz")
    if not 0 < args.level_rms <= 0.5:
        raise UsageError(f"--level-rms {args.level_rms}: must be over 0 and at most 0.5")
    for option in ("perturb", "converted"):
        if not 0 <= getattr(args, option) <= 100:
            raise UsageError(f"--{option} {getattr(args, option)}: must be 0 to 100 copies")
    if args.model is not None and not args.converted:
        raise UsageError(f"--model {args.model}: is for --converted; give --converted 1 too, or leave out --model")
    if args.converted:
        from vqvc.conversion import model_file

        args.model = args.model or RELEASED
        header = model_file.read_header(args.model)  # before anything is packed
        header.require_decoder()
        if header.config.audio.sample_rate != args.sample_rate:
            raise UsageError(
                f"--model {args.model}: converts at {header.config.audio.sample_rate} Hz, the store is to have {args.sample_rate} Hz"
            )


def _progress(items, total: int, done: int):
    from tqdm import tqdm

    return tqdm(items, total=total, initial=done, unit="utt", disable=not sys.stderr.isatty(), file=sys.stderr)


def _report(out: Path) -> int:
    from vqvc.corpus.store import LEFT_OUT, PackedStore, read_table
    from vqvc.corpus.store_writer import LeftOut

    store = PackedStore(out)
    print("subset\tutterances\tspeakers\tminutes")
    for subset in ("train", "dev", "test"):
        chosen = store.subset(subset)
        minutes = sum(utterance.length_samples for utterance in chosen) / store.sample_rate / 60
        print(f"{subset}\t{len(chosen)}\t{len({u.speaker for u in chosen})}\t{minutes:.1f}")
    left_out = read_table(out / LEFT_OUT, LeftOut)
    for reason, count in sorted(Counter(item.reason for item in left_out).items()):
        print(f"left out: {reason}\t{count}\t\t")
    if not left_out:
        return 0
    logger.warning("%d utterances could not be packed; %s lists them", len(left_out), out / LEFT_OUT)
    return EXIT_SOME_FAILED


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
