"""vqvc-encode: recordings, or a whole packed store, as codes."""

import argparse
import logging
from pathlib import Path

from vqvc.cli._code_files import SUFFIX, write_code_file
from vqvc.cli._common import parser, refuse_overwrite, run
from vqvc.cli._models import Meter, add_model
from vqvc.cli._priors import add_prior, find_prior
from vqvc.errors import UsageError

logger = logging.getLogger("vqvc.encode")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-encode."""
    p = parser(
        "Write the codes of one recording, or of every utterance of a packed store.",
        examples="  vqvc-encode --model model.safetensors --store dump --out codes.npz\n"
        "  vqvc-encode --model model.safetensors a.wav --out a.npz   (a.txt: numbers on one line)\n"
        "  vqvc-encode --model model.safetensors a.wav --out a.vqc   (few bytes; under the prior where there is one)",
    )
    add_model(p)
    p.add_argument("recording", nargs="?", type=Path, help="a sound file")
    p.add_argument("--store", type=Path, help="packed store, from vqvc-pack")
    p.add_argument("-o", "--out", type=Path, required=True, help="codes.npz, or .txt or .vqc for a recording")
    add_prior(p, "under which a .vqc is coded, or none for plain codes")
    p.add_argument("--jobs", type=int, help="cores to use; all by default")
    p.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    return p


def work(args: argparse.Namespace) -> None:
    """Encode."""
    if (args.recording is None) == (args.store is None):
        raise UsageError("give either a recording or --store")
    if args.out.suffix not in (".npz", ".txt", SUFFIX) or (args.store and args.out.suffix != ".npz"):
        raise UsageError(f"{args.out}: codes are written as .npz" + ("" if args.store else ", .txt or .vqc"))
    refuse_overwrite(args.out, args.overwrite, args.recording)

    import vqvc
    from vqvc._util.atomic import write_text
    from vqvc.corpus.codes import CodeArchive

    prior = find_prior(args, needed=False) if args.out.suffix == SUFFIX else None
    converter = vqvc.load(args.model)
    if args.out.suffix == SUFFIX:
        print(write_code_file(converter, args.recording, args.out, prior))
        return
    if args.store:
        rows = _encode_store(converter, args)
    else:
        codes = converter.encode(args.recording)
        if args.out.suffix == ".txt":
            write_text(args.out, " ".join(map(str, codes)) + "\n")
            print(f"{len(codes)} codes  {args.out}")
            return
        rows = [(args.recording.stem, "", "", len(codes) * converter.hop_length, codes)]
    archive = CodeArchive.build(
        rows, hop_length=converter.hop_length, sample_rate=converter.sample_rate,
        codebook_size=len(converter.codebook), model=converter.checksum,
    )  # fmt: skip
    archive.save(args.out)
    print(f"{len(archive)} utterances, {len(archive.codes)} codes  {args.out}")


def _encode_store(converter, args: argparse.Namespace) -> list[tuple]:
    """Every utterance of the store by itself, so that a code does not depend on what stands beside it."""
    from concurrent.futures import ThreadPoolExecutor

    import torch

    from vqvc._util.platform import cores
    from vqvc.corpus.store import PackedStore
    from vqvc.synthesis import convert

    store = PackedStore(args.store)
    if store.sample_rate != converter.sample_rate:
        raise UsageError(f"{args.store}: is at {store.sample_rate} Hz, the model wants {converter.sample_rate} Hz")
    meter = Meter(store.total_samples, store.sample_rate)

    def encode(utterance) -> tuple:
        codes = convert.encode(converter.model, store.waveform(utterance))
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
