"""vqvc-sample: unconditional sampling."""

import argparse
import logging
from pathlib import Path

from vqvc.cli import _arguments, _outputs
from vqvc.cli._common import parser, refuse_overwrite, run
from vqvc.cli._models import add_model
from vqvc.cli._priors import add_prior, find_prior
from vqvc.errors import UsageError

logger = logging.getLogger("vqvc.sample")


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-sample."""
    p = parser(
        "Draw codes from the prior and decode them to speech in the voice of a speaker.",
        examples="  vqvc-sample                                                 (5 s of the model's first speaker: sample.wav)\n"
        "  vqvc-sample --model exp/small/model.safetensors --speaker p225 --seconds 5 --out sample.wav\n"
        "  vqvc-sample --model ... --speaker p225 --opening a.wav --opening-seconds 2 --out goes-on.wav",
    )
    add_model(p)
    add_prior(p, "to draw from")
    p.add_argument("--speaker", help="the target speaker; the model's first when not given")
    p.add_argument("--seconds", type=float, default=5.0, help="speech to draw")
    p.add_argument("-o", "--out", help="sound file or folder; sample.wav in the current folder when not given")
    _outputs.add_output(p)
    p.add_argument("--count", type=int, default=1, help="samples to draw; several are numbered: sample-1.wav, ...")
    p.add_argument(
        "--temperature", type=float, default=1.0, help="of the codes: 1 is what was learned, less is likelier"
    )
    p.add_argument(
        "--top-p", type=float, default=1.0, help="draw only from the likeliest codes that together hold this share"
    )
    p.add_argument("--voice-temperature", type=float, default=0.9, help="of the waveform's draws")
    p.add_argument(
        "--opening", type=Path, help="a recording whose first seconds come first; the draws continue from them"
    )
    p.add_argument("--opening-seconds", type=float, default=1.0, help="length of the opening")
    p.add_argument(
        "--anyone", action="store_true", help="do not condition the prior on the speaker (the decoder is in any case)"
    )
    p.add_argument("--picture", action="store_true", help="also draw the spectrogram, beside the sound, as .png")
    p.add_argument("--seed", type=_arguments.seed, default=0, help="of all draws")
    p.add_argument("--overwrite", action="store_true", help="replace outputs that exist")
    return p


def work(args: argparse.Namespace) -> None:
    """Draw codes and decode them."""
    _check(args)
    from vqvc.conversion import disclosure, model_file

    header = model_file.read_header(args.model)
    if args.speaker is None:
        args.speaker = (header.listed_speakers or header.speakers)[0].name
        logger.info("no --speaker: %s, the model's first", args.speaker)
    tags = disclosure.tags_of(header, header.speaker_index(args.speaker))  # fails before the weights are read
    first = _outputs.place(args.out, f"sample{_outputs.suffix(args)}")
    if first == _outputs.STANDARD:
        raise UsageError("--out -: samples go to files; name one")
    outs = [first]
    if args.count > 1:
        outs = [first.with_name(f"{first.stem}-{n + 1}{first.suffix}") for n in range(args.count)]
    form = _outputs.form_of(first, args)
    _outputs.check_form(first, form, header.config.audio.sample_rate)
    for out in outs:
        _outputs.check_output(out, args.overwrite, args.opening)
        if args.picture:
            refuse_overwrite(out.with_suffix(".png"), args.overwrite)
    prior = find_prior(args)

    import numpy as np
    from tqdm import tqdm

    import vqvc
    from vqvc.codec.draw import draw_several
    from vqvc.evaluation import plots

    converter = vqvc.load(args.model)
    opening = np.zeros(0, np.int64)
    if args.opening is not None:
        wanted = round(args.opening_seconds * converter.sample_rate / converter.hop_length)
        opening = converter.encode(args.opening)[:wanted]
    speaker = 0 if args.anyone else prior.speaker_index(args.speaker)
    if not speaker and not args.anyone:
        logger.warning(
            "%s: the prior was not trained on this speaker; it is not conditioned on the speaker", args.speaker
        )
    size = prior.codes_in(args.seconds)
    with tqdm(total=len(outs) * size, desc="draw", unit="code", disable=None) as bar:
        codes = draw_several(
            prior.integers, len(outs), size, seed=args.seed, opening=opening, speaker=speaker,
            temperature=args.temperature, top_p=args.top_p, progress=bar.update,
        )  # fmt: skip
    for n, (out, one) in enumerate(zip(outs, codes)):
        samples = converter.decode(one, args.speaker, seed=args.seed + n, temperature=args.voice_temperature)
        _outputs.deliver(out, [samples], converter.sample_rate, len(samples), args, tags)
        print(f"{len(samples) / converter.sample_rate:.2f} s  {out}")
        if args.picture:
            plots.spectrogram(out.with_suffix(".png"), samples, converter.sample_rate)
            print(out.with_suffix(".png"))


def _check(args: argparse.Namespace) -> None:
    for name, value, most in (
        ("seconds", args.seconds, 3600),
        ("count", args.count, 10_000),
        ("temperature", args.temperature, 4),
        ("top-p", args.top_p, 1),
        ("voice-temperature", args.voice_temperature, 2),
        ("opening-seconds", args.opening_seconds, 3600),
    ):
        if not 0 < value <= most:
            raise UsageError(f"--{name} {value}: must be above 0 and at most {most}")


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
