"""vqvc-probe: accuracy of phones predicted from codes, beside baselines."""

import argparse
import logging
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vqvc.cli._common import parser, refuse_overwrite, run
from vqvc.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    from vqvc.corpus.alignment import Segment
    from vqvc.corpus.codes import CodeArchive

logger = logging.getLogger("vqvc.probe")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-probe."""
    result = parser(
        "Fit a map from codes to the 41 phone classes on subset train, score it on test (unseen speakers and sentences, the harder "
        "set) and dev (unseen sentences of known speakers, the paper's setting), beside a constant guess, random codes and k-means on MFCC. Without arguments a small corpus with "
        "exact phone times is synthesized by the built-in voices, and the released model is probed on it.",
        examples="  vqvc-probe\n"
        "  vqvc-probe --labelled TIMIT --model phones\n"
        "  vqvc-probe egs/vctk/exp/small\n"
        "  vqvc-probe --codes exp/small/codes.npz --align align/phones.ctm --store dump --out exp/small/probe",
    )
    result.add_argument(
        "run",
        nargs="?",
        type=Path,
        help="folder of a training run, as the recipes make it: codes, alignment and store are found",
    )
    result.add_argument(
        "--model",
        type=Path,
        help="model file, or phones (as vqvc-encode --codes), for the built-in voices and --labelled; the released one when not given",
    )
    result.add_argument(
        "--labelled",
        type=Path,
        metavar="DIR",
        help="TIMIT as it is unpacked, or recordings with NAME.phn or NAME.TextGrid beside them, instead of codes and alignment",
    )
    result.add_argument("--codes", type=Path, help="codes.npz of vqvc-encode")
    result.add_argument("--align", type=Path, help="phones.ctm of vqvc-align")
    result.add_argument("--store", type=Path, help="packed store, for k-means on MFCC (left out when not given)")
    result.add_argument("--out", type=Path, help="folder for probe.json and heatmap.png; probe/ in the folder of a run")
    result.add_argument(
        "--baseline-minutes", type=float, default=60.0, help="most speech (per subset) for k-means on MFCC"
    )
    result.add_argument("--no-picture", action="store_true", help="do not draw the heat map (needs no matplotlib)")
    result.add_argument("--seed", type=int, default=0, help="of random codes, k-means, subsampling and intervals")
    result.add_argument("--overwrite", action="store_true", help="replace an earlier probe.json")
    return result


@dataclass(frozen=True)
class Given:
    """What is probed: an archive of codes, phone segments by utterance, and recordings for k-means, if there are any."""

    archive: "CodeArchive"
    alignment: Iterable[tuple[str, "Sequence[Segment]"]]
    waveform: "Callable[[str], np.ndarray] | None"
    file: str  # the codes' file or the model's, for probe.json


def work(args: argparse.Namespace) -> int | None:
    """Fit and score the maps from codes to phones."""
    from vqvc.evaluation.run_paths import RunPaths, fill_in

    with tempfile.TemporaryDirectory(prefix="vqvc-probe-") as scratch:
        if args.labelled is not None:
            if any(given is not None for given in (args.run, args.codes, args.align, args.store)):
                raise UsageError(
                    "--labelled: brings recordings and labels; give it without a run, --codes, --align and --store"
                )
            _refuse_overwrite(args)
            return _probe(args, _by_hand(args.model, args.labelled))
        if args.run is None and args.codes is None and args.align is None:
            if args.store is not None:
                raise UsageError("--store: is for --codes and --align; give those too, or the folder of a run")
            _refuse_overwrite(args)
            return _probe(args, _built_in(args.model, Path(scratch)))
        if args.model is not None:
            raise UsageError(
                "--model: is for the built-in voices and --labelled; codes, or the folder of a run, are probed as they are"
            )
        fill_in(args, {"codes": "codes", "align": "alignment"}, "probe", "vqvc-probe")
        if args.run is not None and args.store is None:
            args.store = RunPaths.find(args.run).existing_store
        _refuse_overwrite(args)
        return _probe(args, _given(args))


def _refuse_overwrite(args: argparse.Namespace) -> None:
    """Raise UsageError when --out holds a probe.json that may not be replaced."""
    if args.out is not None:
        refuse_overwrite(args.out / "probe.json", args.overwrite)


def _given(args: argparse.Namespace) -> Given:
    from vqvc.corpus.alignment import require_store, stream_ctm
    from vqvc.corpus.codes import CodeArchive
    from vqvc.corpus.store import PackedStore

    store = PackedStore(args.store) if args.store else None
    if store is not None:
        require_store(args.align, store.sha256)
    waveform = (lambda utt_id: store.waveform(store.utterance(utt_id))) if store else None
    return Given(CodeArchive.load(args.codes), stream_ctm(args.align), waveform, args.codes.name)


def _built_in(model: Path | None, scratch: Path) -> Given:
    from vqvc._util import extras
    from vqvc.cli._models import read_encoder
    from vqvc.evaluation.builtin_corpus import synthesize_and_encode

    extras.load("espeakng_loader", "synthetic")  # before a model is read
    found = read_encoder(model)
    corpus = synthesize_and_encode(found, scratch / "corpus")
    print(
        f"{found.path.name} on the built-in voices (eSpeak NG, {len(corpus.archive)} sentences): synthetic speech, so the "
        "figures compare models and are not those of recordings"
    )
    return Given(corpus.archive, corpus.segments.items(), corpus.waveform, found.path.name)


def _by_hand(model: Path | None, folder: Path) -> Given:
    from vqvc.cli._models import read_encoder
    from vqvc.evaluation import labelled_corpus

    found = read_encoder(model)
    corpus = labelled_corpus.encode(found, folder)
    return Given(corpus.archive, corpus.segments.items(), corpus.waveform, found.path.name)


def _probe(args: argparse.Namespace, given: Given) -> None:
    import numpy as np

    from vqvc._util.atomic import write_json
    from vqvc.corpus.phones import CLASSES
    from vqvc.evaluation import plots, probe, probe_baselines
    from vqvc.evaluation.metrics.codes import label, labelled

    archive = given.archive
    labels, aligned = label(archive, given.alignment)
    train, missing = labelled(archive, labels, aligned, "train")
    left_out = {"train": missing}
    scored = {}
    for name in probe_baselines.SETS:
        data, left_out[name] = labelled(archive, labels, aligned, name)
        if data.frames:
            scored[name] = data
        else:
            logger.warning("subset %s has no aligned utterance: it is not scored", name)
    joint = probe.joint_counts(train, len(CLASSES))
    probe_baselines.check_all(joint, train, scored)
    rate_hz = int(archive.sample_rate) / int(archive.hop_length)
    kmeans = _kmeans(args, train, scored, given) if given.waveform else None
    figures = probe_baselines.compare(train, scored, rate_hz, args.seed, kmeans)
    result = {
        "format_version": 1,
        "codes": {
            "file": given.file,
            "model": str(archive.model),
            "codebook_size": train.codebook_size,
            "hop_length": int(archive.hop_length),
            "sample_rate": int(archive.sample_rate),
            "rate_hz": rate_hz,
        },
        "seed": args.seed,
        "fitted_on": _describe(train, left_out["train"]) | {"subset": "train"},
        "sets": {
            name: _describe(data, left_out[name]) | {"what": probe_baselines.SETS[name]}
            for name, data in scored.items()
        },
        "figures": figures,
        "about_the_codes": probe_baselines.code_figures(
            scored.get("test") or next(iter(scored.values())), rate_hz, "the scored set"
        ),
    }
    print(probe_baselines.table(figures))
    for name in sorted(figures):  # dev, test
        accuracy = probe_baselines.cell(figures[name]["without_silence"]["codes"])
        print(f"phone accuracy ({probe_baselines.SETS[name]}{probe_baselines.REMARKS[name]}): {accuracy} %")
    if args.out is None:
        return
    write_json(args.out / "probe.json", result)
    np.save(args.out / "joint_counts.npy", joint)
    if not args.no_picture:
        title = f"P(phone | code), {train.codebook_size} codes at {rate_hz:g} Hz, training subset"
        plots.heat_map(joint, CLASSES, args.out / "heatmap.png", title)
    print(args.out / "probe.json")


def _describe(data, left_out: int) -> dict:
    from vqvc.evaluation.probe_baselines import SILENCE

    return {
        "utterances": len(data.utt_ids),
        "speakers": len(set(data.speakers)),
        "frames": data.frames,
        "silence_share": round(float((data.labels == SILENCE).mean()), 4),
        "utterances_without_alignment": left_out,
    }


def _kmeans(args: argparse.Namespace, train, scored: dict, given: Given):
    from tqdm import tqdm

    from vqvc.evaluation.probe_baselines import kmeans_baselines

    logger.info(
        "k-means on MFCC with %d codes, at most %g minutes per subset", train.codebook_size, args.baseline_minutes
    )
    with tqdm(desc="MFCC", unit="utt", disable=None) as bar:
        return kmeans_baselines(
            train,
            scored,
            given.waveform,
            int(given.archive.hop_length),
            int(given.archive.sample_rate),
            args.baseline_minutes,
            args.seed,
            bar.update,
        )


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
