#!/usr/bin/env python3
"""Eight people for benchmarks/enrollment.py, from packages of Debian 12: other microphones and languages than those of training.

    apt-get download asterisk-core-sounds-{en,fr,it,ru}-g722=1.6.1-1 fillets-ng-data-{cs,nl}=1.0.1-1.1
    for package in *.deb; do dpkg -x $package packages; done
    python benchmarks/people.py --packages packages --out people

--out gets a folder for each person with WAV files of 8 s or more: the prompts or lines of 3 s or more, in the order of their names,
put one after the other until there are --seconds of them. Prompts in G.722, which holds 7 kHz, are decoded by PyAV (extra `whisper`).

The prompts of Asterisk are read by professional speakers, whom the packages name. The lines of the game Fish Fillets are acted; the
packages do not name the actors of its two fish. Nothing is synthesized. Recordings are not in this repository.
"""

import argparse
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvc.cli._common import parser, run
from vqvc.errors import AudioError

logger = logging.getLogger("vqvc.people")
PROMPT_S, RECORDING_S = 3.0, 8.0  # at least: of a prompt that is taken, and of a recording that is written
ASTERISK, FILLETS = "usr/share/asterisk/sounds", "usr/share/games/fillets-ng/sound"


@dataclass(frozen=True)
class Person:
    """Who reads which files of a package, and the files' licence."""

    package: str
    folder: str
    pattern: str  # of paths below the folder
    who: str
    licence: str


def _asterisk(language: str, folder: str, who: str, licence: str) -> Person:
    return Person(f"asterisk-core-sounds-{language}-g722", f"{ASTERISK}/{folder}", "*.g722", who, licence)


def _fillets(language: str, fish: str, who: str) -> Person:
    return Person(f"fillets-ng-data-{language}", FILLETS, f"*/{language}/*-{fish}-*.ogg", who, "GPL 2")


PEOPLE = {
    "en_allison": _asterisk("en", "en_US_f_Allison", "Allison Smith, English of the US", "CC BY-SA 3.0"),
    "fr_june": _asterisk("fr", "fr_CA_f_June", "June Wallack, French of Canada", "CC BY-SA 3.0"),
    "it_carlo": _asterisk("it", "it_IT_m_Carlo", "Carlo Flora, Italian", "CC BY 3.0"),
    "ru_ivrvoice": _asterisk("ru", "ru_RU_f_IvrvoiceRU", "a woman of ivrvoice.ru, Russian", "CC BY 3.0"),
    "cs_small": _fillets("cs", "m", "the small fish, Czech"),
    "cs_big": _fillets("cs", "v", "the big fish, Czech"),
    "nl_small": _fillets("nl", "m", "the small fish, Dutch"),
    "nl_big": _fillets("nl", "v", "the big fish, Dutch"),
}


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    p = parser("Write recordings of eight people out of unpacked Debian packages.")
    p.add_argument("--packages", type=Path, required=True, help="the folder that the packages were unpacked into")
    p.add_argument("--out", type=Path, required=True, help="folder for a folder of each person")
    p.add_argument("--seconds", type=float, default=100.0, help="of each person")
    return p


def decode(path: Path) -> tuple[np.ndarray, int]:
    """Samples (T,) float32 and their rate in Hz of a prompt, G.722 without a header among them."""
    from vqvc._util import extras
    from vqvc.audio import io

    if path.suffix != ".g722":
        found = io.read(path)
        return found.samples, found.sample_rate
    av = extras.load("av", "whisper")
    with av.open(str(path), format="g722") as container:
        rate = container.streams.audio[0].codec_context.sample_rate
        parts = [frame.to_ndarray()[0] for frame in container.decode(audio=0)]
    return np.concatenate(parts).astype(np.float32) / 32768, rate


def recordings(paths: list[Path], seconds: float) -> Iterator[tuple[np.ndarray, int]]:
    """Prompts one after the other, RECORDING_S or more at a time."""
    together, rate = [], 0
    for path in paths:
        if seconds <= 0:
            return
        samples, rate = decode(path)
        if len(samples) < PROMPT_S * rate:
            continue
        together.append(samples)
        if sum(map(len, together)) >= RECORDING_S * rate:
            whole, together = np.concatenate(together), []
            seconds -= len(whole) / rate
            yield whole, rate


def work(args: argparse.Namespace) -> None:
    """Write."""
    from vqvc.audio import io

    for name, person in PEOPLE.items():
        paths = sorted((args.packages / person.folder).rglob(person.pattern))
        paths = [path for path in paths if path.parent.name != "silence"]
        if not paths:
            raise AudioError(
                f"{args.packages / person.folder}: holds no {person.pattern}; unpack {person.package} there"
            )
        total = 0.0
        for number, (samples, rate) in enumerate(recordings(paths, args.seconds)):
            io.write(args.out / name / f"{name}_{number:02}.wav", samples, rate, "FLOAT")
            total += len(samples) / rate
        logger.info("%s: %.0f s of %s (%s, %s)", name, total, person.who, person.package, person.licence)


if __name__ == "__main__":
    raise SystemExit(run(make_parser, work))
