"""vqvc-decode: codes as speech."""

import argparse
import logging
from pathlib import Path

from vqvc._util import textfile
from vqvc.cli import _outputs
from vqvc.cli._code_files import SUFFIX, read_code_file
from vqvc.cli._common import parser, run
from vqvc.cli._models import Meter, add_model, add_speech_options, add_target, synthesis_options, voice_of
from vqvc.cli._priors import add_prior
from vqvc.errors import UsageError

logger = logging.getLogger("vqvc.decode")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-decode."""
    p = parser(
        "Decode codes to speech in the voice of a speaker, and print the name of the sound file.",
        examples="  vqvc-decode a.vqc --speaker p225                            (writes a_p225.wav)\n"
        "  vqvc-decode a.vqc --voice me.voice                          (made by vqvc-enroll; writes a_me.wav)\n"
        "  vqvc-decode --model model.safetensors codes.npz --utt p226_022 --speaker p225 --out b.wav",
    )
    add_model(p)
    p.add_argument("codes", nargs="?", type=Path, help=".npz or .vqc of vqvc-encode, or a text file with numbers")
    p.add_argument("--utt", help="which utterance, when the file holds several")
    add_target(p)
    p.add_argument(
        "-o",
        "--out",
        help="sound file, folder, or - for stdout; CODES_SPEAKER.wav in the current folder when not given",
    )
    add_prior(p, "with which a .vqc was coded")
    _outputs.add_output(p)
    add_speech_options(p)
    return p


def work(args: argparse.Namespace) -> None:
    """Decode."""
    from vqvc.conversion import disclosure, model_file

    if args.codes is None:
        raise UsageError("nothing to decode; type: vqvc-decode a.vqc --speaker p225")
    options = synthesis_options(args)
    header = model_file.read_header(args.model)
    voice = voice_of(args, header)
    if args.speaker is None:
        raise UsageError(
            f"{args.codes}: whose voice? Add --speaker p225, for example; vqvc-convert --list-speakers names all"
        )
    # an unknown speaker fails before the weights are read
    tags = disclosure.tags_of(header, header.speaker_index(args.speaker) if voice is None else voice)
    stem = f"{args.codes.stem}_{args.utt}" if args.utt else args.codes.stem
    out = _outputs.place(args.out, _outputs.name_for(stem, args.speaker, _outputs.suffix(args)))
    form = _outputs.form_of(out, args)
    _outputs.check_output(out, args.overwrite, args.codes)
    _outputs.check_form(out, form, header.config.audio.sample_rate)
    codes, length = _read(args, header)

    import vqvc

    converter = vqvc.load(args.model)
    meter = Meter(len(codes) * converter.hop_length, converter.sample_rate)
    samples = converter.decode(codes, voice or args.speaker, seed=args.seed, progress=meter, **options)[:length]
    logger.info("%s", meter.line(len(samples)))
    _outputs.deliver(out, [samples], converter.sample_rate, len(samples), args, tags)
    _outputs.report(out)


def _read(args: argparse.Namespace, header) -> tuple:
    """The codes (T,) and the number of samples that they stand for; raises UsageError for what are no codes of the model."""
    import numpy as np

    from vqvc.audio.formats import READABLE_SUFFIXES

    suffix, size = args.codes.suffix.lower(), header.config.quantizer.codebook_size
    if suffix in READABLE_SUFFIXES:
        raise UsageError(
            f"{args.codes}: is a recording; convert it with vqvc-convert, or make codes of it with vqvc-encode"
        )
    if args.utt is not None and suffix in (".txt", SUFFIX):
        raise UsageError(f"--utt {args.utt}: is for .npz files, which hold several utterances; leave it out")
    if suffix == SUFFIX:
        return read_code_file(args, header)
    if suffix != ".txt":
        return _of_archive(args, header)
    try:
        codes = np.array(textfile.read(args.codes, error=UsageError).split(), np.int64)
    except (ValueError, OverflowError):
        raise UsageError(f"{args.codes}: must hold whole numbers, between blanks") from None
    if not len(codes) or codes.min() < 0 or codes.max() >= size:
        found = f"numbers from {codes.min()} to {codes.max()}" if len(codes) else "no numbers"
        raise UsageError(f"{args.codes}: holds {found}; the codes of {args.model} are 0 to {size - 1}")
    return codes, len(codes) * header.config.hop_length


def _of_archive(args: argparse.Namespace, header) -> tuple:
    from vqvc._util.nearest import nearest
    from vqvc.corpus.codes import CodeArchive

    archive = CodeArchive.load(args.codes)
    if archive.model and archive.model != header.checksum:
        raise UsageError(f"{args.codes}: was made by another model than {args.model}, whose codes mean other sounds")
    if args.utt is None and len(archive) != 1:
        raise UsageError(f"{args.codes}: holds {len(archive)} utterances; name one with --utt")
    names = archive.utt_ids.tolist()
    utt = names[0] if args.utt is None else args.utt
    if utt not in names:
        raise UsageError(f"{args.codes}: holds no utterance {utt!r}; the nearest are {', '.join(nearest(utt, names))}")
    return archive.codes_of(utt), int(archive.lengths_samples[names.index(utt)])


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
