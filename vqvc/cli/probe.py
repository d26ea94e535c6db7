"""vqvc-probe: accuracy of phones predicted from codes, beside baselines."""

import argparse
import math
import tempfile
from pathlib import Path

from vqvc.cli import _arguments, _outputs
from vqvc.cli._common import parser, run
from vqvc.cli._models import read_encoder
from vqvc.errors import UsageError

PROBE, COUNTS, PICTURE = "probe.json", "joint_counts.npy", "heatmap.png"  # what is written into --out


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
    result.add_argument(
        "--seed", type=_arguments.seed, default=0, help="of random codes, k-means, subsampling and intervals"
    )
    result.add_argument("--overwrite", action="store_true", help="replace an earlier probe.json")
    return result


def work(args: argparse.Namespace) -> int | None:
    """Fit and score the maps from codes to phones."""
    from vqvc.evaluation.run_paths import RunPaths, fill_in

    files = (args.run, args.codes, args.align)
    if args.labelled is not None:
        if any(given is not None for given in (*files, args.store)):
            raise UsageError(
                "--labelled: brings recordings and labels; give it without a run, --codes, --align and --store"
            )
    elif not any(files):
        if args.store is not None:
            raise UsageError("--store: is for --codes and --align; give those too, or the folder of a run")
    else:
        if args.model is not None:
            raise UsageError(
                "--model: is for the built-in voices and --labelled; codes, or the folder of a run, are probed as they are"
            )
        fill_in(args, {"codes": "codes", "align": "alignment"}, "probe", "vqvc-probe")
        if args.run is not None and args.store is None:
            args.store = RunPaths.find(args.run).existing_store
    if not 0 < args.baseline_minutes < math.inf:
        raise UsageError(f"--baseline-minutes {args.baseline_minutes}: must be above 0 and finite")
    if args.out is not None:
        for name in (PROBE, COUNTS, *([] if args.no_picture else [PICTURE])):
            _outputs.check_output(args.out / name, args.overwrite)

    import numpy as np
    from tqdm import tqdm

    from vqvc._util import extras
    from vqvc._util.atomic import write_json
    from vqvc.evaluation import labelled_corpus, probe_baselines, probe_codes
    from vqvc.evaluation.probe_codes import Probed

    with tempfile.TemporaryDirectory(prefix="vqvc-probe-") as scratch:
        if args.labelled is not None:
            model = read_encoder(args.model)
            corpus = labelled_corpus.encode(model, args.labelled)
            probed = Probed(corpus.archive, corpus.segments.items(), corpus.waveform, model.path.name)
        elif not any(files):
            extras.load("espeakng_loader", "synthetic")  # before a model is read
            probed = Probed.built_in(read_encoder(args.model), Path(scratch))
            print(
                f"{probed.file} on the built-in voices (eSpeak NG, {len(probed.archive)} sentences): synthetic speech, so "
                "the figures compare models and are not those of recordings"
            )
        else:
            probed = Probed.of_files(args.codes, args.align, args.store)
        with tqdm(desc="MFCC", unit="utt", disable=None if probed.waveform else True) as bar:
            result = probe_codes.measure(probed, args.seed, args.baseline_minutes, bar.update)
    print(probe_baselines.table(result.figures))
    for name in sorted(result.figures):  # dev, test
        accuracy = probe_baselines.cell(result.figures[name]["without_silence"]["codes"])
        print(f"phone accuracy ({probe_baselines.SETS[name]}{probe_baselines.REMARKS[name]}): {accuracy} %")
    if args.out is None:
        return
    write_json(args.out / PROBE, result.report)
    np.save(args.out / COUNTS, result.joint)
    if not args.no_picture:
        result.draw(args.out / PICTURE)
    print(args.out / PROBE)


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
