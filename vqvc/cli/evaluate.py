"""vqvc-evaluate: convert some utterances and measure what came out, beside natural speech."""

import argparse
import logging
from pathlib import Path

from vqvc.cli._common import parser, refuse_overwrite, run
from vqvc.cli._models import add_synthesis_options, synthesis_options

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
        "--speaker-encoder ge2e",
    )
    result.add_argument("run", nargs="?", type=Path, help="folder of a training run: model, store and output are found")
    result.add_argument("--model", type=Path, help="model.safetensors of vqvc-train")
    result.add_argument("--store", type=Path, help="packed store of vqvc-pack")
    result.add_argument("--out", type=Path, help="folder for evaluate.json and wav/; eval/ in the folder of a run")
    result.add_argument(
        "--strangers", type=Path, metavar="STORE", help="packed store with speakers that the model never trained on"
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
        "--speaker-encoder", default="none", metavar="NAME", help="none, ge2e or ge2e:FILE; the extra speaker brings it"
    )
    result.add_argument(
        "--contours",
        type=int,
        default=12,
        help="conversions made again with other F0 contours; needs --speaker-encoder",
    )
    result.add_argument("--threads", type=int, default=1, help="of the recogniser, which works while speech is made")
    result.add_argument(
        "--codes", type=Path, help="codes.npz of vqvc-encode; otherwise the one beside the model, if any"
    )
    result.add_argument(
        "--align",
        type=Path,
        help="phones.ctm of vqvc-align, for ABX; otherwise align/phones.ctm beside the store, if any",
    )
    result.add_argument("--seed", type=int, default=0, help="of the choice of utterances and of all intervals")
    add_synthesis_options(result)
    result.add_argument("--overwrite", action="store_true", help="replace an earlier evaluate.json")
    return result


def work(args: argparse.Namespace) -> int | None:
    """Convert held-out utterances and measure what came out."""
    from vqvc.evaluation.run_paths import fill_in

    fill_in(args, {"model": "model", "store": "store"}, "eval", "vqvc-evaluate")

    import vqvc
    from vqvc._util.atomic import write_json
    from vqvc.corpus.store import PackedStore
    from vqvc.evaluation import evaluation_set, suite
    from vqvc.evaluation.background import BackgroundJudges
    from vqvc.evaluation.strangers import WithStrangers
    from vqvc.evaluation.tables import evaluation_table

    target = args.out / "evaluate.json"
    refuse_overwrite(target, args.overwrite)
    _check(args)
    options = synthesis_options(args)
    recogniser, encoder = _recogniser(args), _encoder(args)
    store = PackedStore(args.store)
    packed = store.sha256
    converter = vqvc.load(args.model)
    known = list(converter.speakers)
    if args.strangers:
        store = WithStrangers(store, PackedStore(args.strangers), known)
    wanted = [name for name in args.targets.split(",") if name]
    targets = evaluation_set.choose_targets(store, known, wanted, args.target_count)
    few = evaluation_set.choose_few(store, known, targets, args.few_count, args.seed)
    sources = evaluation_set.choose_sources(store, known, targets, args.limit, args.seed)
    with BackgroundJudges(recogniser, encoder, store.sample_rate) as judges:
        made = evaluation_set.make(
            converter, store, sources, targets, args.out, args.seed, options, each=args.each, few=few, ready=judges.add
        )
        judges.wait()
    archive, alignment = _archive(args), _alignment(args, packed)
    evaluation_set.annotate(made, archive, alignment)
    result = {
        "format_version": 1,
        "settings": {
            "limit": args.limit,
            "targets": targets,
            "targets_of_few_sentences": few,
            "targets_each": args.each,
            "sources": [item.utt_id for item in sources],
            "seed": args.seed,
            **options,
        },
        "provenance": {
            "vqvc": vqvc.__version__,
            "store_sha256": store.sha256,
            "model": args.model.name,
            "model_checksum": getattr(converter, "checksum", ""),
            "recogniser": _named(recogniser),
            "speaker_encoder": _named(encoder),
        },
        "figures": _figures(args, made, store, converter, recogniser, encoder, archive, alignment, options),
        "clips": suite.clip_rows(made, store.sample_rate),
    }
    write_json(target, result)
    print(evaluation_table(result))


def _check(args: argparse.Namespace) -> None:
    from vqvc.errors import UsageError

    for name, least in (
        ("limit", 1),
        ("target_count", 1),
        ("each", 0),
        ("few_count", 0),
        ("contours", 0),
        ("threads", 1),
    ):
        if getattr(args, name) < least:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(args, name)}: give at least {least}")


def _recogniser(args: argparse.Namespace):
    """The recogniser, or None when the one that is used without a word is not installed."""
    from vqvc.errors import MissingExtraError
    from vqvc.evaluation.judges.recognisers import make_recogniser

    try:
        return make_recogniser(args.recogniser, args.threads)
    except MissingExtraError as error:
        if args.recogniser != "pocketsphinx":
            raise
        logger.warning("words left out: %s", error)
        return None


def _encoder(args: argparse.Namespace):
    from vqvc.evaluation.judges.speaker_encoders import make_speaker_encoder

    return None if args.speaker_encoder == "none" else make_speaker_encoder(args.speaker_encoder)


def _named(judge) -> dict | None:
    return {"name": judge.name, "sha256": judge.checksum} if judge else None


def _figures(args, made, store, converter, recogniser, encoder, archive, alignment, options: dict) -> dict:
    """Every section, or why it was left out."""
    from functools import cache

    from vqvc.errors import CorpusError
    from vqvc.evaluation import contour_section, encoder_section, speaker_verification, suite, word_section

    rate, seed = store.sample_rate, args.seed

    def words() -> dict:
        if recogniser is None:
            raise CorpusError("no recogniser is installed; install one with: pip install 'vqvc[evaluate]'")
        return word_section.content_figures(made, recogniser, rate, seed)

    @cache
    def enrolled():
        if encoder is None:
            raise CorpusError("no speaker encoder was chosen; give --speaker-encoder ge2e")
        names = dict.fromkeys(clip.voice for clip in made if clip.kind == "conversion")
        return encoder_section.enrol(store, list(names), [clip.utt_id for clip in made], encoder, seed)

    def contours() -> dict:
        if not args.contours:
            raise CorpusError("--contours is 0")
        return contour_section.contour_figures(
            converter, made, store, enrolled(), encoder, args.contours, seed, options
        )

    natural = suite.natural_clips(made, store, seed)
    return {
        "content": suite.section("words", words),
        "encoder": suite.section(
            "voice", lambda: encoder_section.encoder_figures(made, enrolled(), encoder, rate, seed)
        ),
        "contour": suite.section("voice in codes and contour", contours),
        "speaker": suite.section("voice by MFCC", lambda: speaker_verification.speaker_figures(made, store, seed)),
        "prosody": suite.section("pitch", lambda: suite.prosody_figures(made, rate, seed, natural)),
        "spectrum": suite.section("spectrum", lambda: suite.spectrum_figures(made, store, seed)),
        "quality": suite.section("quality", lambda: suite.quality_figures(made, rate, seed)),
        "codes": suite.section("codes", lambda: _codes(archive, store, alignment, converter, seed)),
    }


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
