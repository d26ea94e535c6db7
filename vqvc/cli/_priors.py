"""What the commands that use a prior share."""

import argparse
import logging
from pathlib import Path

from vqvc.errors import UsageError

logger = logging.getLogger("vqvc")
USUAL = Path("prior", "prior.safetensors")  # beside the model


def add_prior(parser: argparse.ArgumentParser, what: str) -> None:
    """``--prior``, of a command that ``what`` describes."""
    parser.add_argument(
        "--prior", help=f"prior.safetensors of vqvc-prior, {what}; {USUAL} beside the model when not given"
    )


def find_prior(args: argparse.Namespace, needed: bool = True):
    """The prior that ``--prior`` names, or that lies beside the model; None for ``none``, or where it is not ``needed``.

    Raises ModelError for one that is damaged, UsageError for one of another model.
    """
    from vqvc.codec import prior_file
    from vqvc.conversion import model_file

    usual = args.model.parent / USUAL
    if args.prior == "none":
        if needed:
            raise UsageError("--prior none: this needs a prior; train one with vqvc-prior")
        return None
    if args.prior is None and not usual.exists():
        if needed:
            raise UsageError(f"{usual}: no such file; train a prior with vqvc-prior, or name one with --prior")
        return None
    prior = prior_file.read(args.prior or usual)
    prior.require(model_file.read_header(args.model).checksum, args.model)
    return prior
