"""vqvc-train: learn a model from a packed store."""

import argparse
import logging
import os
from pathlib import Path

from vqvc._util import settings
from vqvc.cli._arguments import require_possible
from vqvc.cli._common import parser, run
from vqvc.errors import UsageError

logger = logging.getLogger("vqvc.train")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-train."""
    p = parser(
        "Train a model on the train subset of a packed store. The same command goes on where it was stopped.",
        examples="  vqvc-train --conf small --store dump --out exp/small --max-minutes 60\n"
        "  vqvc-train --conf small --init vqvc/models/vctk-small-3.1.safetensors --store my/dump --out exp/mine\n"
        "  vqvc-train --conf small --show-config > my.yaml\n"
        "  torchrun --nproc-per-node 2 -m vqvc.cli.train --conf ... (several workers)",
    )
    p.add_argument(
        "--conf",
        required=True,
        type=Path,
        help="YAML file with the model and training settings, or a configuration that vqvc brings, by its name: small",
    )
    p.add_argument("--store", type=Path, help="packed store, from vqvc-pack")
    p.add_argument("--out", type=Path, help="folder for checkpoints, log and model.safetensors")
    p.add_argument("--init", type=Path, metavar="MODEL", help="begin from this model file instead of random weights")
    p.add_argument(
        "--targets",
        type=Path,
        metavar="FILE",
        help="a model or an encoder: predict clusters of its encoder's output (training.units_weight) instead of units found in "
        "cepstra, or learn codes of a layer of its encoder (training.target_layer), up to which the new encoder is the same",
    )
    p.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a setting; repeatable"
    )
    p.add_argument(
        "--show-config",
        action="store_true",
        help="print all settings that --conf, its bases and --set come to, as YAML that --conf reads, and end",
    )
    p.add_argument(
        "--max-minutes",
        type=float,
        help="end after so many minutes of training (scoring unseen speech not counted), with a finished learning-rate decay",
    )
    p.add_argument(
        "--unlisted",
        action="append",
        default=[],
        metavar="PATTERN",
        help="train on the speakers that match (as p3*), but do not offer them in --list-speakers; repeatable",
    )
    p.add_argument("--threads", type=int, help="CPU threads; all cores by default")
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or mps (a Mac's GPU)")
    return p


def work(args: argparse.Namespace) -> int:
    """Train; 0 when finished, 130 or 143 when stopped by a signal."""
    from vqvc import config as configuration

    config = configuration.load(args.conf, args.set)
    if args.show_config:
        print(settings.to_yaml(config.to_dict()), end="")
        return 0
    for option, what in (("store", "the packed store that vqvc-pack wrote"), ("out", "the folder of the run")):
        if getattr(args, option) is None:
            raise UsageError(f"--{option}: is missing; name {what}")
    require_possible(args.max_minutes, args.threads)

    import torch

    from vqvc._util import devices
    from vqvc._util.platform import keep_freed_memory
    from vqvc.conversion import code_encoder_file, model_file
    from vqvc.corpus.store import PackedStore
    from vqvc.training import distributed
    from vqvc.training.initialization import Initialization
    from vqvc.training.loop import Loop
    from vqvc.training.vqvae_task import VQVAETask, trained_speakers

    keep_freed_memory()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = devices.choose(args.device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    store = PackedStore(args.store)
    speakers = trained_speakers(store)
    names = tuple(speaker.speaker for speaker in speakers)
    unlisted = model_file.match_speakers(names, args.unlisted)
    if config.training.target_layer:
        return _learn_codes(args, config, store, names, device)
    start = None
    if args.init:
        begin = model_file.read(args.init)
        start = Initialization(begin.model, tuple(speaker.name for speaker in begin.speakers), args.init)
    targets_from = code_encoder_file.read_either(args.targets).model if args.targets else None
    with devices.explained(device), distributed.workers(device) as worker:
        task = VQVAETask(config, store, names, device=device, worker=worker, start=start, targets_from=targets_from)
        finished = Loop(task, args.out, minutes_limit=args.max_minutes, worker=worker).run()
        if worker[0] == 0:
            facts = {
                "steps": finished.step,
                "minutes": round(finished.minutes, 2),
                "samples": finished.step * task.units_per_step,
                "store": store.sha256,
                "settings": task.configuration()["training"],
            }
            if finished.held_out:
                facts["held_out"] = finished.held_out.as_dict()
            model_file.write(args.out / "model.safetensors", finished.model, speakers, facts, unlisted=unlisted)
            if not config.training.decoder_weight:
                code_encoder_file.write(args.out / "encoder.safetensors", finished.model, facts)
                print(f"encoder and codebook      {args.out / 'encoder.safetensors'}")
            if finished.held_out:
                print(f"held-out bits per sample  {finished.held_out.bits_per_sample:.3f}")
                print(f"  with others' codes      {finished.held_out.bits_shuffled_codes:.3f}")
                if finished.held_out.bits_without_f0 is not None:
                    print(f"  without the f0 contour  {finished.held_out.bits_without_f0:.3f}")
                print(f"codes in use              {finished.held_out.codes_used} of {finished.held_out.codebook_size}")
            print(f"model                     {args.out / 'model.safetensors'}")
    return 128 + finished.signal if finished.signal else 0


def _learn_codes(args: argparse.Namespace, config, store, speakers: tuple[str, ...], device) -> int:
    """Codes of a layer of the encoder of --targets; 0 when they are written."""
    from vqvc.conversion import code_encoder_file
    from vqvc.training import layer_codes

    if not args.targets:
        raise UsageError("--targets: is missing; name the encoder for whose layer training.target_layer wants codes")
    if args.init or args.max_minutes:
        raise UsageError("--init, --max-minutes: do not go with training.target_layer; set training.steps instead")
    store.verify()
    source = code_encoder_file.read_either(args.targets).model
    args.out.mkdir(parents=True, exist_ok=True)
    model = layer_codes.learn(config, source, store, speakers, device)
    facts = {"steps": config.training.steps, "store": store.sha256, "settings": config.to_dict()["training"]}
    code_encoder_file.write(args.out / "encoder.safetensors", model, facts)
    print(f"encoder and codebook      {args.out / 'encoder.safetensors'}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
