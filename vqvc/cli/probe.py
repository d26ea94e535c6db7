"""vqvc-probe: how well do the codes tell the phones, beside what they must beat?"""

import argparse
import logging
from pathlib import Path

from vqvc.cli._common import parser, refuse_overwrite, run

logger = logging.getLogger("vqvc.probe")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-probe."""
    result = parser(
        "Fit a map from codes to the 41 phone classes on subset train, score it on test (unseen speakers and sentences) and dev "
        "(unseen sentences), beside a constant guess, random codes and k-means on MFCC.",
        examples="  vqvc-probe --codes exp/small/codes.npz --align align/phones.ctm --store dump --out exp/small/probe",
    )
    result.add_argument("--codes", required=True, type=Path, help="codes.npz of vqvc-encode")
    result.add_argument("--align", required=True, type=Path, help="phones.ctm of vqvc-align")
    result.add_argument("--store", type=Path, help="packed store, for k-means on MFCC (left out when not given)")
    result.add_argument("--out", required=True, type=Path, help="folder for probe.json and heatmap.png")
    result.add_argument(
        "--baseline-minutes", type=float, default=60.0, help="most speech (per subset) for k-means on MFCC"
    )
    result.add_argument("--no-picture", action="store_true", help="do not draw the heat map (needs no matplotlib)")
    result.add_argument("--seed", type=int, default=0, help="of random codes, k-means, subsampling and intervals")
    result.add_argument("--overwrite", action="store_true", help="replace an earlier probe.json")
    return result


def work(args: argparse.Namespace) -> int | None:
    """Fit and score the maps from codes to phones."""
    import numpy as np

    from vqvc._util.atomic import write_json
    from vqvc.corpus.alignment import stream_ctm
    from vqvc.corpus.codes import CodeArchive
    from vqvc.corpus.phones import CLASSES
    from vqvc.evaluation import ladder, plots, probe
    from vqvc.evaluation.codes import label, labelled

    target = args.out / "probe.json"
    refuse_overwrite(target, args.overwrite)
    archive = CodeArchive.load(args.codes)
    labels, aligned = label(archive, stream_ctm(args.align))
    train, missing = labelled(archive, labels, aligned, "train")
    left_out = {"train": missing}
    scored = {}
    for name in ladder.SETS:
        data, left_out[name] = labelled(archive, labels, aligned, name)
        if data.frames:
            scored[name] = data
        else:
            logger.warning("subset %s has no aligned utterance: it is not scored", name)
    joint = probe.joint_counts(train, len(CLASSES))
    ladder.check_all(joint, train, scored)
    rate_hz = int(archive.sample_rate) / int(archive.hop_length)
    kmeans = _kmeans(args, train, scored, int(archive.hop_length), int(archive.sample_rate)) if args.store else None
    figures = ladder.ladder(train, scored, rate_hz, args.seed, kmeans)
    result = {
        "format_version": 1,
        "codes": {
            "file": args.codes.name,
            "model": str(archive.model),
            "codebook_size": train.codebook_size,
            "hop_length": int(archive.hop_length),
            "sample_rate": int(archive.sample_rate),
            "rate_hz": rate_hz,
        },
        "seed": args.seed,
        "fitted_on": _describe(train, left_out["train"]) | {"subset": "train"},
        "sets": {name: _describe(data, left_out[name]) | {"what": ladder.SETS[name]} for name, data in scored.items()},
        "figures": figures,
        "about_the_codes": ladder.code_figures(
            scored.get("test") or next(iter(scored.values())), rate_hz, "the scored set"
        ),
    }
    write_json(target, result)
    np.save(args.out / "joint_counts.npy", joint)
    if not args.no_picture:
        title = f"P(phone | code), {train.codebook_size} codes at {rate_hz:g} Hz, training subset"
        plots.heat_map(joint, CLASSES, args.out / "heatmap.png", title)
    print(ladder.table(figures))


def _describe(data, left_out: int) -> dict:
    from vqvc.evaluation.ladder import SILENCE

    return {
        "utterances": len(data.utt_ids),
        "speakers": len(set(data.speakers)),
        "frames": data.frames,
        "silence_share": round(float((data.labels == SILENCE).mean()), 4),
        "utterances_without_alignment": left_out,
    }


def _kmeans(args: argparse.Namespace, train, scored: dict, hop_length: int, sample_rate: int):
    from tqdm import tqdm

    from vqvc.corpus.store import PackedStore
    from vqvc.evaluation.ladder import kmeans_ladder

    store = PackedStore(args.store)
    logger.info(
        "k-means on MFCC with %d codes, at most %g minutes per subset", train.codebook_size, args.baseline_minutes
    )
    with tqdm(desc="MFCC", unit="utt", disable=None) as bar:
        return kmeans_ladder(
            train,
            scored,
            lambda utt_id: store.waveform(store.utterance(utt_id)),
            hop_length,
            sample_rate,
            args.baseline_minutes,
            args.seed,
            bar.update,
        )


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
