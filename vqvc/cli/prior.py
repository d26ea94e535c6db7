"""vqvc-prior: learn a prior over codes, or score it."""

import argparse
import logging
from pathlib import Path

from vqvc.cli import _arguments
from vqvc.cli._arguments import require_possible
from vqvc.cli._common import parser, refuse_overwrite, run
from vqvc.errors import UsageError

logger = logging.getLogger("vqvc.prior")
FILE = "prior.safetensors"


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-prior."""
    p = parser(
        "Learn a causal model of codes on subset train; the same command goes on where it was stopped. With --score: what "
        "codes of unseen sentences and speakers cost under it, beside uniform, unigram and bigram models, and as files.",
        examples="  vqvc-prior egs/vctk/exp/small\n"
        "  vqvc-prior egs/vctk/exp/small --score\n"
        "  vqvc-prior --codes exp/small/codes.npz --out exp/small/prior --max-minutes 20\n"
        "  vqvc-prior --score --codes exp/small/codes.npz --out exp/small/prior --model exp/small/model.safetensors",
    )
    p.add_argument("run", nargs="?", type=Path, help="folder of a training run: its codes.npz, and prior/ in it")
    p.add_argument("--codes", type=Path, help="codes.npz of vqvc-encode")
    p.add_argument("--out", type=Path, help=f"folder of the prior: checkpoints, log, {FILE}, score.json")
    p.add_argument("--conf", type=Path, help="YAML file with the prior's settings, or a name: prior/wavenet")
    p.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting; repeatable"
    )
    p.add_argument("--max-minutes", type=float, help="end after so many minutes, with a finished learning-rate decay")
    p.add_argument("--threads", type=int, help="CPU threads; all cores by default")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (a Mac's GPU)")
    p.add_argument("--score", action="store_true", help=f"score {FILE} of --out; writes score.json")
    p.add_argument("--model", type=Path, help="with --score: the model file, for its decoder's bits per sample")
    p.add_argument("--decoder-bits", type=float, help="with --score: the decoder's bits per sample on unseen sentences")
    p.add_argument("--align", type=Path, help="with --score: phones.ctm; are the phones of drawn codes English-like?")
    p.add_argument(
        "--draw-seconds", type=float, default=300.0, help="with --align: codes to draw, in seconds of speech"
    )
    p.add_argument("--seed", type=_arguments.seed, default=0, help="with --align: of the draws")
    p.add_argument(
        "--overwrite", action="store_true", help="begin again where other codes were learned; replace score.json"
    )
    return p


def work(args: argparse.Namespace) -> int:
    """Train or score."""
    require_possible(args.max_minutes, args.threads)
    from vqvc.evaluation.run_paths import fill_in

    fill_in(args, {"codes": "codes"} | ({"model": "model"} if args.run and args.score else {}), "prior", "vqvc-prior")
    return _score(args) if args.score else _train(args)


def _train(args: argparse.Namespace) -> int:
    from vqvc import config as configuration

    kind = configuration.PriorSettings
    settings = (
        configuration.load(args.conf, args.set, kind) if args.conf else configuration.from_dict({}, args.set, kind)
    )

    import torch

    from vqvc._util import devices
    from vqvc._util.platform import keep_freed_memory
    from vqvc.codec import prior_file
    from vqvc.corpus.codes import CodeArchive
    from vqvc.training.code_crops import train_speakers
    from vqvc.training.loop import Loop
    from vqvc.training.prior_task import PriorTask

    keep_freed_memory()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = devices.choose(args.device)
    archive = CodeArchive.load(args.codes)
    speakers = train_speakers(archive)
    with devices.explained(device):
        task = PriorTask(settings, archive, speakers, device=device)
        finished = Loop(task, args.out, minutes_limit=args.max_minutes, restart=args.overwrite).run()
    facts = {"steps": finished.step, "minutes": round(finished.minutes, 2), "train_codes": task.crops.total_codes}
    if finished.held_out is not None:
        facts["held_out_bits_per_code"] = finished.held_out.bits_per_code
        print(f"held-out bits per code  {finished.held_out.bits_per_code:.3f}")
    prior_file.write(
        args.out / FILE, finished.model, settings, speakers, facts, codes_of_model=archive.model,
        codebook_size=archive.codebook_size, hop_length=archive.hop_length, sample_rate=archive.sample_rate,
    )  # fmt: skip
    print(f"prior                   {args.out / FILE}")
    return 128 + finished.signal if finished.signal else 0


def _score(args: argparse.Namespace) -> int:
    target = args.out / "score.json"
    refuse_overwrite(target, args.overwrite)

    import torch
    from tqdm import tqdm

    from vqvc._util.atomic import write_json
    from vqvc.codec import prior_file
    from vqvc.conversion import model_file
    from vqvc.corpus.codes import CodeArchive
    from vqvc.evaluation import phone_statistics, prior_score

    if args.threads:
        torch.set_num_threads(args.threads)
    archive, prior = CodeArchive.load(args.codes), prior_file.read(args.out / FILE)
    prior.require(archive.model, args.codes)
    decoder_bits = args.decoder_bits
    if args.model:
        header = model_file.read_header(args.model)
        prior.require(header.checksum, args.model)
        if decoder_bits is None:
            decoder_bits = prior_score.decoder_bits_of(header)
        if decoder_bits is None and header.has_decoder:
            raise UsageError(f"{args.model}: does not hold its held-out bits per sample; give them with --decoder-bits")
    with tqdm(desc="score", unit="utt", disable=None) as bar:
        result = prior_score.score(archive, prior, decoder_bits, bar.update)
    if args.align:
        with tqdm(desc="draw", unit="code", disable=None) as bar:
            result["phones"] = phone_statistics.of_prior(
                archive, prior, args.align, args.draw_seconds, args.seed, bar.update
            )
    write_json(target, result)
    print(prior_score.table(result))
    if args.align:
        print(phone_statistics.table(result["phones"]))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
