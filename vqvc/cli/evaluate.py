"""vqvc-evaluate: convert some utterances and measure what came out, beside natural speech."""

import argparse
import logging
from pathlib import Path

from vqvc.cli._common import parser, refuse_overwrite, run
from vqvc.cli._models import add_manner, manner

logger = logging.getLogger("vqvc.evaluate")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-evaluate."""
    result = parser(
        "Convert utterances that the model never heard, and measure words, voice, pitch, spectrum and codes beside natural speech. "
        "Writes one JSON in which every figure has its definition and interval, and the recordings.",
        examples="  vqvc-evaluate egs/vctk/exp/small\n"
        "  vqvc-evaluate --model exp/small/model.safetensors --store dump --out exp/small/eval\n"
        "  vqvc-evaluate --model m.safetensors --store dump --out eval --targets p225,p226 --limit 20 "
        "--codes codes.npz --align align/phones.ctm",
    )
    result.add_argument("run", nargs="?", type=Path, help="folder of a training run: model, store and output are found")
    result.add_argument("--model", type=Path, help="model.safetensors of vqvc-train")
    result.add_argument("--store", type=Path, help="packed store of vqvc-pack")
    result.add_argument("--out", type=Path, help="folder for evaluate.json and wav/; eval/ in the folder of a run")
    result.add_argument("--limit", type=int, default=16, help="utterances to convert")
    result.add_argument(
        "--targets", default="", help="voices, by comma; otherwise --target-count voices with most speech"
    )
    result.add_argument("--target-count", type=int, default=2, help="voices when --targets is not given")
    result.add_argument(
        "--codes", type=Path, help="codes.npz of vqvc-encode; otherwise the one beside the model, if any"
    )
    result.add_argument(
        "--align",
        type=Path,
        help="phones.ctm of vqvc-align, for ABX; otherwise align/phones.ctm beside the store, if any",
    )
    result.add_argument("--seed", type=int, default=0, help="of the choice of utterances and of all intervals")
    add_manner(result)
    result.add_argument("--overwrite", action="store_true", help="replace an earlier evaluate.json")
    return result


def work(args: argparse.Namespace) -> int | None:
    """Convert held-out utterances and measure what came out."""
    from vqvc.evaluation.run_paths import fill_in

    fill_in(args, {"model": "model", "store": "store"}, "eval", "vqvc-evaluate")

    import vqvc
    from vqvc._util.atomic import write_json
    from vqvc.corpus.store import PackedStore
    from vqvc.errors import UsageError
    from vqvc.evaluation import clips, suite, voices
    from vqvc.evaluation.tables import evaluation_table

    target = args.out / "evaluate.json"
    refuse_overwrite(target, args.overwrite)
    if args.limit < 1:
        raise UsageError(f"--limit {args.limit}: give at least 1")
    how = manner(args)
    store = PackedStore(args.store)
    converter = vqvc.load(args.model)
    known = list(converter.speakers)
    wanted = [name for name in args.targets.split(",") if name]
    targets = clips.choose_targets(store, known, wanted, args.target_count)
    sources = clips.choose_sources(store, known, targets, args.limit, args.seed)
    made = clips.make(converter, store, sources, targets, args.out, args.seed, how)
    rate = store.sample_rate
    archive, alignment = _archive(args), _alignment(args, store.sha256)
    clips.annotate(made, archive, alignment)
    natural = suite.natural_clips(made, store, args.seed)
    result = {
        "format_version": 1,
        "settings": {
            "limit": args.limit,
            "targets": targets,
            "sources": [item.utt_id for item in sources],
            "seed": args.seed,
            **how,
        },
        "provenance": {"vqvc": vqvc.__version__, "store_sha256": store.sha256, "model": args.model.name},
        "figures": {
            "content": suite.section("words", lambda: suite.content_figures(made, rate, seed=args.seed)),
            "speaker": suite.section("voice", lambda: voices.speaker_figures(made, store, args.seed)),
            "prosody": suite.section("pitch", lambda: suite.prosody_figures(made, rate, args.seed, natural)),
            "spectrum": suite.section("spectrum", lambda: suite.spectrum_figures(made, store, args.seed)),
            "quality": suite.section("quality", lambda: suite.quality_figures(made, rate, args.seed)),
            "codes": suite.section("codes", lambda: _codes(archive, store, alignment, converter, args.seed)),
        },
        "clips": suite.clip_rows(made, rate),
    }
    write_json(target, result)
    print(evaluation_table(result))


def _archive(args: argparse.Namespace):
    """The codes that were named, or those beside the model, or None."""
    from vqvc.corpus.codes import CodeArchive

    path = args.codes or args.model.parent / "codes.npz"
    return CodeArchive.load(path) if args.codes or path.exists() else None


def _alignment(args: argparse.Namespace, store_sha256: str) -> dict | None:
    """The alignment that was named, or the one beside the store, or None."""
    from vqvc.corpus.alignment import read_ctm, require_store

    path = args.align or args.store.parent / "align" / "phones.ctm"
    if not args.align and not path.exists():
        return None
    require_store(path, store_sha256)
    return read_ctm(path)


def _codes(archive, store, alignment: dict | None, converter, seed: int) -> dict:
    from vqvc.errors import CorpusError
    from vqvc.evaluation.code_section import code_section

    if archive is None:
        raise CorpusError("no codes were given; write them with vqvc-encode and name them with --codes")
    return code_section(archive, store, alignment, getattr(converter, "codebook", None), seed)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
