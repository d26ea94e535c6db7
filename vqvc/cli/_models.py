"""What the commands that use a model share."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vqvc.cli import _arguments
from vqvc.conversion.options import TEMPERATURE
from vqvc.errors import UsageError
from vqvc.models import RELEASED, code_encoder

if TYPE_CHECKING:
    from vqvc.conversion.code_encoder_file import CodeEncoderFile
    from vqvc.conversion.model_file import Header, ModelFile
    from vqvc.conversion.voice_file import EnrolledVoice


def add_model(parser: argparse.ArgumentParser, purpose: str = "") -> None:
    """``--model``; purpose: what it is for, where that is not all that the command does, as ``for --converted: ``."""
    parser.add_argument(
        "--model", type=Path, default=RELEASED, help=f"{purpose}model file of vqvc-train, or the released one"
    )


def add_target(parser: argparse.ArgumentParser) -> None:
    """``--speaker`` and ``--voice``; ``voice_of`` reads them."""
    parser.add_argument("--speaker", help="the target speaker")
    parser.add_argument("--voice", type=Path, help="a voice file of vqvc-enroll instead of --speaker")


def voice_of(args: argparse.Namespace, header: "Header") -> "EnrolledVoice | None":
    """The enrolled voice of ``--voice``, whose name then stands in ``args.speaker``; None without.

    Raises UsageError beside ``--speaker``, ModelError for a voice of another model than that of the header.
    """
    if args.voice is None:
        return None
    from vqvc.conversion import voice_file

    if args.speaker:
        raise UsageError("--voice takes the place of --speaker; leave that out")
    voice = voice_file.read(args.voice)
    voice.require_model(header.checksum, header.config.decoder, args.model)
    args.speaker = voice.name
    return voice


def add_temperature(parser: argparse.ArgumentParser) -> None:
    """``--temperature``; ``temperature`` reads it."""
    parser.add_argument(
        "--temperature", type=float, default=TEMPERATURE, help="of the draws; 1 is what the model learned"
    )


def temperature(args: argparse.Namespace) -> float:
    """``--temperature``; raises UsageError for one out of range."""
    if not 0 < args.temperature <= 2:
        raise UsageError(f"--temperature {args.temperature}: must be above 0 and at most 2")
    return args.temperature


def read_encoder(name: str | Path | None) -> "CodeEncoderFile | ModelFile":
    """What makes codes: the released model (None), an encoder that comes with the package, by name, or the file of either kind.

    Raises ModelError for a file that is neither, UsageError for a name that there is not.
    """
    from vqvc.conversion import code_encoder_file

    return code_encoder_file.read_either(RELEASED if name is None else code_encoder(name))


def add_speech_options(parser: argparse.ArgumentParser) -> None:
    """The options of every command that makes speech."""
    parser.add_argument("--seed", type=_arguments.seed, default=0, help="of the draws")
    add_synthesis_options(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace outputs that exist")


def add_synthesis_options(parser: argparse.ArgumentParser) -> None:
    """Options of synthesis: ``--temperature``, ``--fold`` and ``--postfilter``; ``synthesis_options`` reads them."""
    add_temperature(parser)
    parser.add_argument("--fold", choices=("auto", "off"), default="auto", help="cut speech into streams, or not")
    _arguments.add_switch(parser, "--postfilter", "correct the spectrum towards the predicted log-mel, or not")


def synthesis_options(args: argparse.Namespace) -> dict:
    """Keywords of ``VoiceConverter`` for what ``add_synthesis_options`` reads; raises UsageError for a temperature out of range."""
    return {"temperature": temperature(args), "fold": args.fold, "postfilter": args.postfilter == "on"}


def add_equalizer(parser: argparse.ArgumentParser) -> None:
    """``--equalizer``; ``equalizer`` reads it."""
    _arguments.add_switch(
        parser,
        "--equalizer",
        "bring the channel of a recording (microphone, room) nearer to that of the training speech before it is encoded, or not",
    )


def equalizer(args: argparse.Namespace) -> dict:
    """The keyword of ``VoiceConverter`` for what ``add_equalizer`` reads."""
    return {"equalizer": args.equalizer == "on"}


class Meter:
    """Counts samples while they are made; a bar on a terminal, and a line of figures at the end."""

    def __init__(self, total_samples: int, sample_rate: int):
        from tqdm import tqdm

        self.rate, self.made, self.begin = sample_rate, 0, time.perf_counter()
        self.bar = tqdm(
            total=total_samples, unit="sample", unit_scale=True, disable=not sys.stderr.isatty(), leave=False
        )

    def __call__(self, samples: int) -> None:
        self.made += samples
        self.bar.update(samples)

    def line(self, output_samples: int) -> str:
        """Amount and speed: samples per second and real-time factor (seconds of work per second of speech)."""
        self.bar.close()
        took = time.perf_counter() - self.begin
        seconds = output_samples / self.rate
        return f"{seconds:.1f} s of speech in {took:.1f} s: {output_samples / took:,.0f} samples/s, RTF {took / max(seconds, 1e-9):.3f}"
