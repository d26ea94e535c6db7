"""vqvc-encode: recordings, or a whole packed store, as codes."""

import argparse
import logging
from pathlib import Path

from vqvc.cli import _outputs
from vqvc.cli._arguments import positive
from vqvc.cli._code_files import SUFFIX, write_code_file
from vqvc.cli._common import parser, run
from vqvc.cli._models import Meter, add_equalizer, equalizer
from vqvc.cli._priors import add_prior, find_prior
from vqvc.errors import UsageError
from vqvc.models import RELEASED, code_encoder

logger = logging.getLogger("vqvc.encode")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-encode."""
    p = parser(
        "Write the codes of one recording, or of every utterance of a packed store. A recording may have any length; its channel\n"
        "is equalized, that of a store's utterances is not.",
        examples="  vqvc-encode a.wav                      (a.vqc: few bytes; under the prior where there is one)\n"
        "  vqvc-encode a.wav --out a.npz          (a.txt: numbers on one line)\n"
        "  vqvc-encode --codes phones a.wav       (prints 25 numbers from 0 to 127 for each second)\n"
        "  vqvc-encode egs/vctk/exp/small         (the folder of a run: codes.npz of the store that it learned from)\n"
        "  vqvc-encode --model model.safetensors --store dump --out codes.npz",
    )
    p.add_argument(
        "--model", type=Path, help="model file of vqvc-train; the released one, or that of the run, when not given"
    )
    p.add_argument(
        "--codes",
        metavar="NAME",
        help="an encoder without a decoder instead of a model: phones (128 units at 25 Hz, 175 bit/s), or a file of one; "
        "without --out, the numbers of a recording are printed",
    )
    p.add_argument("recording", nargs="?", type=Path, help="a sound file, a packed store, or the folder of a run")
    p.add_argument("--store", type=Path, help="packed store, from vqvc-pack")
    p.add_argument(
        "-o",
        "--out",
        type=Path,
        help="codes.npz, or .txt or .vqc for a recording; in the current folder when not given (without --codes)",
    )
    add_prior(p, "under which a .vqc is coded, or none for plain codes")
    add_equalizer(p)
    p.add_argument("--jobs", type=positive, help="cores to use; all by default")
    p.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    return p


def work(args: argparse.Namespace) -> None:
    """Encode."""
    if args.recording is not None and args.store is not None:
        raise UsageError("give either a recording or --store")
    if args.codes is not None and (args.model is not None or args.prior is not None):
        raise UsageError("--codes: names an encoder of its own; give it without --model and --prior")
    _find(args)
    if args.recording is None and args.store is None:
        raise UsageError("give a recording, as in vqvc-encode a.wav, or a packed store, as in vqvc-encode --store dump")
    prints = args.codes is not None and args.out is None and args.store is None
    if args.out is None:
        args.out = Path("codes.npz") if args.store else Path(args.recording.stem + (".txt" if prints else SUFFIX))
    if args.out.suffix not in (".npz", ".txt", SUFFIX) or (args.store and args.out.suffix != ".npz"):
        raise UsageError(f"{args.out}: codes are written as .npz" + ("" if args.store else ", .txt or .vqc"))
    if not prints:
        _outputs.check_output(args.out, args.overwrite, args.recording)

    from vqvc.audio import io

    if args.recording is not None:
        io.info(args.recording)  # fails before the model is read
    prior = find_prior(args, needed=False) if args.out.suffix == SUFFIX and args.codes is None else None

    from vqvc._util.atomic import write_text
    from vqvc.conversion import code_encoder_file, model_file
    from vqvc.conversion.encoding import encode_recording
    from vqvc.corpus import ids
    from vqvc.corpus.codes import CodeArchive

    found = model_file.read(args.model) if args.codes is None else code_encoder_file.read(code_encoder(args.codes))
    if args.out.suffix == SUFFIX:
        print(write_code_file(found, args.recording, args.out, prior, **equalizer(args)))
        return
    if args.store:
        rows = _encode_store(found, args)
    else:
        codes, length_samples = encode_recording(found.model, args.recording, **equalizer(args))
        if prints:
            print(*codes)
            return
        if args.out.suffix == ".txt":
            write_text(args.out, " ".join(map(str, codes)) + "\n")
            print(f"{len(codes)} codes  {args.out}")
            return
        rows = [(ids.spell(args.recording.stem), "", "", length_samples, codes)]  # its speaker is unknown
    settings = found.config
    archive = CodeArchive.build(
        rows, hop_length=settings.hop_length, sample_rate=settings.audio.sample_rate,
        codebook_size=settings.quantizer.codebook_size, model=found.checksum,
    )  # fmt: skip
    archive.save(args.out)
    print(f"{len(archive)} utterances, {len(archive.codes)} codes  {args.out}")


def _find(args: argparse.Namespace) -> None:
    """What a folder in the place of a recording is: a packed store, or a run, whose model and store are then taken."""
    if args.recording is not None and args.recording.is_dir():
        from vqvc.evaluation.run_paths import RunPaths, warn_of_another_store

        if (args.recording / "store.json").exists():
            args.recording, args.store = None, args.recording
        elif (args.recording / "config.yaml").exists() or (args.recording / "model.safetensors").exists():
            paths = RunPaths.find(args.recording)
            paths.require(*([paths.model] if args.model is None else []), paths.store)
            args.recording, args.store = None, paths.store
            args.model, args.out = args.model or paths.model, args.out or paths.codes
            warn_of_another_store(args.model, args.store)
        else:
            raise UsageError(
                f"{args.recording}: is a folder, but no packed store and no run; name one recording, or make a store of the "
                "folder with vqvc-prepare and vqvc-pack"
            )
    args.model = args.model or RELEASED


def _encode_store(found, args: argparse.Namespace) -> list[tuple]:
    """Every utterance of the store by itself, so that a code does not depend on what stands beside it."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    import torch

    from vqvc._util.platform import cores
    from vqvc.conversion import encoding
    from vqvc.corpus.store import PackedStore

    store, sample_rate = PackedStore(args.store), found.config.audio.sample_rate
    if store.sample_rate != sample_rate:
        raise UsageError(f"{args.store}: is at {store.sample_rate} Hz, the model wants {sample_rate} Hz")
    meter = Meter(store.total_samples, store.sample_rate)

    def encode(utterance) -> tuple:
        codes = encoding.encode(found.model, store.waveform(utterance)).astype(np.int16)
        meter(utterance.length_samples)
        return utterance.utt_id, utterance.speaker, utterance.subset, utterance.length_samples, codes

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # one utterance per core is faster than one utterance on all
    try:
        with ThreadPoolExecutor(args.jobs or cores()) as pool:
            rows = list(pool.map(encode, store.utterances))
    finally:
        torch.set_num_threads(threads)
    logger.info("%s", meter.line(store.total_samples))
    return rows


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
