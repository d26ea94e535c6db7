"""vqvc-evaluate: convert some utterances and measure what came out, beside natural speech."""

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from vqvc._util.platform import cores
from vqvc.cli import _arguments, _outputs
from vqvc.cli._common import parser, run
from vqvc.cli._models import add_equalizer, add_synthesis_options, equalizer, synthesis_options
from vqvc.errors import UsageError

if TYPE_CHECKING:
    from vqvc.evaluation.judges.quality import QualityJudge
    from vqvc.evaluation.judges.recognisers import Recogniser
    from vqvc.evaluation.judges.speaker_encoders import SpeakerEncoder

logger = logging.getLogger("vqvc.evaluate")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-evaluate."""
    result = parser(
        "Convert utterances that the model was not trained on, and measure words, voice, pitch, spectrum and codes beside natural speech. "
        "Writes one JSON in which every figure has its definition and interval, and the recordings.",
        examples="  vqvc-evaluate egs/vctk/exp/small\n"
        "  vqvc-evaluate --model exp/small/model.safetensors --store dump --out exp/small/eval\n"
        "  vqvc-evaluate --model m.safetensors --store dump --out eval --targets p225,p226 --limit 20 "
        "--codes codes.npz --align align/phones.ctm\n"
        "  vqvc-evaluate --model m.safetensors --store dump --strangers others/dump --out eval --recogniser whisper:base.en "
        "--speaker-encoder ge2e,campplus",
    )
    result.add_argument("run", nargs="?", type=Path, help="folder of a training run: model, store and output are found")
    result.add_argument("--model", type=Path, help="model.safetensors of vqvc-train")
    result.add_argument("--store", type=Path, help="packed store of vqvc-pack")
    result.add_argument("--out", type=Path, help="folder for evaluate.json and wav/; eval/ in the folder of a run")
    result.add_argument(
        "--strangers",
        type=Path,
        metavar="STORE",
        help="packed store with speakers that are not in the model's training",
    )
    result.add_argument(
        "--limit", type=int, default=64, help="utterances to convert, half of them of unseen speakers if there are any"
    )
    result.add_argument(
        "--targets", default="", help="voices, by comma; otherwise --target-count voices with most speech"
    )
    result.add_argument("--target-count", type=int, default=12, help="voices when --targets is not given")
    result.add_argument("--each", type=int, default=2, help="targets per utterance, in turn; 0: all of them")
    result.add_argument(
        "--few-count",
        type=int,
        default=24,
        help="further voices that have a handful of sentences, two conversions each",
    )
    result.add_argument(
        "--recogniser",
        default="pocketsphinx",
        metavar="NAME",
        help="pocketsphinx, whisper, whisper:MODEL (base.en, large-v3) or whisper:FOLDER; the extra whisper brings it",
    )
    result.add_argument(
        "--speaker-encoder",
        default="none",
        metavar="NAMES",
        help="none, ge2e, campplus or both by comma, each with :FILE for its weights; the extras speaker and campplus bring them",
    )
    result.add_argument(
        "--contours",
        type=int,
        default=12,
        help="conversions made again with other F0 contours; needs --speaker-encoder",
    )
    result.add_argument(
        "--threads", type=int, help="recordings that are judged at once, while others are made; all cores by default"
    )
    result.add_argument(
        "--codes", type=Path, help="codes.npz of vqvc-encode; otherwise the one beside the model, if any"
    )
    result.add_argument(
        "--align",
        type=Path,
        help="phones.ctm of vqvc-align, for ABX; otherwise align/phones.ctm beside the store, if any",
    )
    result.add_argument(
        "--seed", type=_arguments.seed, default=0, help="of the choice of utterances and of all intervals"
    )
    add_synthesis_options(result)
    add_equalizer(result)
    result.add_argument("--overwrite", action="store_true", help="replace an earlier evaluate.json")
    return result


def work(args: argparse.Namespace) -> int | None:
    """Convert held-out utterances and measure what came out."""
    from vqvc.evaluation.run_paths import fill_in

    fill_in(args, {"model": "model", "store": "store"}, "eval", "vqvc-evaluate")

    import vqvc
    from vqvc._util.atomic import write_json
    from vqvc.corpus.store import PackedStore
    from vqvc.evaluation.evaluate_model import Judges, Selection, evaluate
    from vqvc.evaluation.strangers import WithStrangers
    from vqvc.evaluation.tables import evaluation_table

    target = args.out / "evaluate.json"
    _outputs.check_output(target, args.overwrite)
    _check(args)
    judges = Judges(_recogniser(args), _encoders(args), _quality(), args.threads)
    store = PackedStore(args.store)
    archive, alignment = _archive(args), _alignment(args, store.sha256)
    converter = vqvc.load(args.model)
    if archive is not None and archive.model and archive.model != converter.checksum:
        raise UsageError(
            f"{_codes(args)}: was made by another model than {args.model}; make it again with vqvc-encode, or name other --codes"
        )
    if args.strangers:
        store = WithStrangers(store, PackedStore(args.strangers), converter.speakers)
    selection = Selection(
        limit=args.limit,
        targets=[name for name in args.targets.split(",") if name],
        target_count=args.target_count,
        each=args.each,
        few_count=args.few_count,
        contours=args.contours,
        seed=args.seed,
        options=synthesis_options(args) | equalizer(args),
    )
    result = evaluate(converter, store, selection, judges, args.out, archive, alignment)
    result["provenance"]["model"] = args.model.name
    write_json(target, result)
    print(evaluation_table(result))


def _check(args: argparse.Namespace) -> None:
    for name, least in (
        ("limit", 1),
        ("target_count", 1),
        ("each", 0),
        ("few_count", 0),
        ("contours", 0),
        ("threads", 1),
    ):
        if getattr(args, name) is not None and getattr(args, name) < least:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(args, name)}: give at least {least}")


def _recogniser(args: argparse.Namespace) -> "Recogniser | None":
    """The recogniser, or None when the one that is used without a word is not installed."""
    from vqvc.errors import MissingExtraError
    from vqvc.evaluation.judges.recognisers import make_recogniser

    try:
        return make_recogniser(args.recogniser, args.threads or cores())
    except MissingExtraError as error:
        if args.recogniser != "pocketsphinx":
            raise
        logger.warning("words left out: %s", error)
        return None


def _encoders(args: argparse.Namespace) -> "dict[str, SpeakerEncoder]":
    from vqvc.evaluation.judges.speaker_encoders import make_speaker_encoder

    specs = [spec for spec in args.speaker_encoder.split(",") if spec not in ("", "none")]
    return {spec.partition(":")[0]: make_speaker_encoder(spec) for spec in specs}


def _quality() -> "list[QualityJudge]":
    from vqvc.errors import MissingExtraError
    from vqvc.evaluation.judges import quality

    try:
        return quality.available_judges()
    except MissingExtraError:
        return []  # the section says which extra brings one


def _codes(args: argparse.Namespace) -> Path:
    return args.codes or args.model.parent / "codes.npz"


def _archive(args: argparse.Namespace):
    """The codes that were named, or those beside the model, or None."""
    from vqvc.corpus.codes import CodeArchive

    path = _codes(args)
    return CodeArchive.load(path) if args.codes or path.exists() else None


def _alignment(args: argparse.Namespace, store_sha256: str) -> dict | None:
    """The alignment that was named, or the one beside the store, or None."""
    from vqvc.corpus.alignment import read_ctm, require_store

    path = args.align or args.store.parent / "align" / "phones.ctm"
    if not args.align and not path.exists():
        return None
    require_store(path, store_sha256)
    return read_ctm(path)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
