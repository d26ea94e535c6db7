"""vqvc-enroll: a target voice from half a minute of speech."""

import argparse
import logging
import sys
import time
from pathlib import Path

from vqvc._util import file_names
from vqvc.cli import _arguments, _outputs
from vqvc.cli._common import parser, run
from vqvc.cli._models import add_model
from vqvc.conversion.disclosure import CONSENT
from vqvc.errors import AudioError, UsageError

logger = logging.getLogger("vqvc.enroll")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-enroll."""
    p = parser(
        "Make a target voice for vqvc-convert from recordings of one person: 30 s of clear speech without music, more does no\n"
        "harm, from 10 s on it works. The model stays as it is; the voice is a small file.\n\n" + CONSENT,
        examples="  vqvc-enroll --src me.wav --name me                           (writes me.voice)\n"
        "  vqvc-enroll --src me.wav --src more/ --name me --out voices/me.voice\n"
        "  vqvc-convert --src a.wav --voice me.voice                    (writes a_me.wav)",
    )
    add_model(p)
    p.add_argument("--src", action="append", help="a recording, or a folder of them; may be given several times")
    p.add_argument("--name", help="of the voice; the first recording's when not given")
    p.add_argument("--out", help="the voice file, or a folder for it; NAME.voice in the current folder when not given")
    p.add_argument("--seed", type=_arguments.seed, default=0, help="of the draws of the fit")
    p.add_argument("--overwrite", action="store_true", help="replace a voice file that exists")
    return p


def work(args: argparse.Namespace) -> None:
    """Enroll."""
    from vqvc.conversion import model_file, voice_file

    if not args.src:
        raise UsageError("no recordings; type: vqvc-enroll --src me.wav --name me")
    model_file.read_header(args.model)  # before the recordings are read
    name = args.name or Path(args.src[0]).resolve().stem
    voice_file.require_name(name)
    out = _outputs.place(args.out, file_names.part(name) + voice_file.SUFFIX)
    if out == _outputs.STANDARD:
        raise UsageError("--out -: a voice is a file; name it")
    _outputs.check_output(out, args.overwrite)
    sources = _recordings(args.src)

    import vqvc
    from vqvc.audio import io

    begin = time.perf_counter()
    converter = vqvc.load(args.model)
    for path in sources:
        for note in io.notes_on(path, converter.sample_rate):
            logger.info("%s: %s", path, note)
    with _bar() as bar:
        voice = converter.enroll(sources, name=name, seed=args.seed, progress=bar)
    for warning in voice.provenance["warnings"]:
        logger.warning("%s", warning)
    voice.save(out)
    logger.info(
        "%s: %.0f s of speech, enrolled in %.0f s. %s",
        out, voice.provenance["speech_s"], time.perf_counter() - begin, CONSENT,
    )  # fmt: skip
    _outputs.report(out)


def _recordings(sources: list[str]) -> list[Path]:
    """The files that ``--src`` names, each once."""
    from vqvc.audio import folder

    found: dict[Path, Path] = {}
    for source in map(Path, sources):
        if not source.exists():
            raise AudioError(f"{source}: no such file")
        listed = [source]
        if source.is_dir():
            lying = folder.recordings_in(source)
            for sentence in lying.remedies():
                logger.warning("%s", sentence)
            listed = lying.recordings
            if not listed:
                raise AudioError(f"{source}: holds no sound file that can be read")
        found.update((path.resolve(), path) for path in listed)
    return list(found.values())


class _bar:
    """A bar on a terminal for a share that goes from 0 to 1."""

    def __enter__(self) -> "_bar":
        from tqdm import tqdm

        self.bar = tqdm(total=100, unit="%", disable=not sys.stderr.isatty(), leave=False)
        return self

    def __call__(self, share: float) -> None:
        self.bar.update(round(100 * share) - self.bar.n)

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
