"""vqvc-live: conversion while somebody speaks, between microphone and loudspeaker or from file to file."""

import argparse
import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vqvc.cli import _arguments, _outputs
from vqvc.cli._common import parser, run
from vqvc.cli._models import add_equalizer, add_model, add_target, add_temperature, equalizer, temperature, voice_of
from vqvc.errors import UsageError, VqvcError

if TYPE_CHECKING:
    import numpy as np

    from vqvc.conversion.live import Figures, Pace, Playout
    from vqvc.conversion.stream import Stream

logger = logging.getLogger("vqvc.live")
WARM_UP_S = 0.4  # of silence that is converted first; longer than the latency, so that everything has run once
METER_S, METER_DB, METER_WIDTH = 0.2, 60.0, 20  # between two lines, range, letters


def make_parser() -> argparse.ArgumentParser:
    """The options of vqvc-live."""
    p = parser(
        "Convert speech while it is spoken, from the microphone to the loudspeaker (use headphones), until Ctrl-C; or a file as if\n"
        "it were spoken. Level and median pitch of the source are those so far, which settle within the first second of speech.",
        examples="  vqvc-live --speaker p225\n"
        "  vqvc-live --list-devices\n"
        "  vqvc-live --voice me.voice --input-device 3 --output-device headphones --out recorded.wav\n"
        "  vqvc-live --speaker p225 --in a.wav --out b.wav --realtime      (needs no sound devices)",
    )
    add_model(p)
    add_target(p)
    p.add_argument("--list-devices", action="store_true", help="print the sound devices and end")
    p.add_argument(
        "--input-device", help="number of a device, or a part of its name; the system's choice when not given"
    )
    p.add_argument("--output-device", help="likewise")
    p.add_argument("--in", dest="src", metavar="IN", help="a recording in place of the microphone; wants --out")
    p.add_argument("--out", help="a sound file for the converted speech")
    p.add_argument(
        "--realtime", action="store_true", help="with --in: take as long as the recording, and count dropouts"
    )
    p.add_argument("--seconds", type=float, help="end after so much input")
    p.add_argument("--block-ms", type=float, default=20.0, help="length of a block")
    p.add_argument(
        "--cushion-ms", type=float, help="speech kept ready against dropouts, in whole blocks; two when not given"
    )
    p.add_argument("--source-f0", type=float, metavar="HZ", help="mean F0 of the source, where it is known")
    p.add_argument(
        "--gate", type=float, default=-60.0, metavar="DB", help="level of the source below which there is silence"
    )
    p.add_argument("--seed", type=_arguments.seed, default=0, help="of the draws")
    add_temperature(p)
    _arguments.add_switch(p, "--postfilter", "correct the spectrum, which adds 16 ms, or not")
    add_equalizer(p)
    p.add_argument("--threads", type=_arguments.positive, default=1, help="cores that the network uses")
    _outputs.add_output(p)
    p.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    return p


def work(args: argparse.Namespace) -> int:
    """Convert until the end of the input; 130 or 143 when a signal ended it first."""
    from vqvc.conversion import disclosure, model_file

    if args.list_devices:
        return _list_devices()
    _check(args)
    header = model_file.read_header(args.model)
    voice = voice_of(args, header)
    if not args.speaker:
        raise UsageError("whose voice? Add --speaker p225, for example; vqvc-convert --list-speakers names all")
    # an unknown speaker fails before the weights are read
    tags = disclosure.tags_of(header, header.speaker_index(args.speaker) if voice is None else voice)
    out = Path(args.out) if args.out else None
    if out is not None:
        _outputs.check_output(out, args.overwrite, Path(args.src) if args.src else None)

    from vqvc.training.interrupt import Interrupt

    place = _File(args) if args.src else _Devices(args, header.config.audio.sample_rate)
    if out is not None:
        _outputs.check_form(out, _outputs.form_of(out, args), place.sample_rate)
    stream = _stream(args, voice, place.sample_rate)
    with Interrupt() as interrupt:
        session = Session(args, stream, place, lambda: interrupt.received is not None)
        session.run(out, tags)
    if out is not None:
        _outputs.report(out)
    if place.failure:
        raise VqvcError(place.failure)
    if interrupt.received is not None:
        return 128 + interrupt.received
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.src and not args.out:
        raise UsageError(f"--in {args.src}: where does it go? Add --out b.wav")
    if args.realtime and not args.src:
        raise UsageError("--realtime belongs to --in: a microphone is in real time anyway")
    for name, low, high in (
        ("block_ms", 1, 1000),
        ("cushion_ms", 0, 1000),
        ("seconds", 0, float("inf")),
        ("gate", -200, 0),
    ):
        value = getattr(args, name)
        if value is not None and not low <= value <= high:
            raise UsageError(f"--{name.replace('_', '-')} {value:g}: must be from {low:g} to {high:g}")
    temperature(args)


def _list_devices() -> int:
    from vqvc.audio import devices

    for one in devices.devices():
        marks = [f"default {kind}" for kind in ("input", "output") if getattr(one, f"is_default_{kind}")]
        print(one.number, one.name, f"{one.inputs} in", f"{one.outputs} out", f"{one.default_hz} Hz", *marks, sep="\t")
    return 0


def _stream(args: argparse.Namespace, voice: object, sample_rate: int) -> "Stream":
    """The stream, warmed up: what is compiled at its first use would be a dropout."""
    import numpy as np
    import torch

    import vqvc

    torch.set_num_threads(args.threads)
    converter = vqvc.load(args.model)
    options = {
        "temperature": args.temperature, "postfilter": args.postfilter == "on", "sample_rate": sample_rate,
        "source_f0_hz": args.source_f0, "gate_db": args.gate, "seed": args.seed,
        **equalizer(args),
    }  # fmt: skip
    target = {"voice": voice} if voice is not None else {"speaker": args.speaker}
    warm_up = converter.stream(**target, **options)
    block = np.zeros(max(round(sample_rate * args.block_ms / 1000), 1), np.float32)
    for _ in range(math.ceil(WARM_UP_S * sample_rate / len(block))):
        warm_up.convert(block)
    return converter.stream(**target, **options)


class _File:
    """A recording as the source: as fast as it can be converted, or in real time."""

    failure = None

    def __init__(self, args: argparse.Namespace) -> None:
        from vqvc.conversion.source import Source

        self.source, self.realtime = Source.of(args.src, 0), args.realtime
        self.pace: Pace | None = None
        self.sample_rate = self.source.sample_rate
        for note in self.source.notes(self.sample_rate):
            logger.info("%s: %s", args.src, note)

    def describe(self, parts: str) -> str:
        return f"latency {parts}" if self.realtime else f"latency {parts}, if it were live"

    def blocks(self, size: int, playout: "Playout", stop: Callable[[], bool]) -> "Iterator[np.ndarray]":
        from vqvc.conversion.live import Pace, blocks_of

        blocks = blocks_of(self.source.stream(), size)
        self.pace = Pace(self.sample_rate, playout) if self.realtime else None
        for block in self.pace.blocks(blocks) if self.pace else blocks:
            if stop():
                return
            yield block

    def play(self, playout: "Playout", made: "np.ndarray") -> None:
        if self.pace:
            self.pace.play(made)


class _Devices:
    """Microphone and loudspeaker."""

    def __init__(self, args: argparse.Namespace, model_hz: int) -> None:
        from vqvc.audio import devices

        self.input = devices.choose(args.input_device, "input")
        self.output = devices.choose(args.output_device, "output")
        self.sample_rate = devices.common_rate(self.input, self.output, model_hz)
        self.failure: str | None = None
        self.faults = 0

    def describe(self, parts: str) -> str:
        return f"{self.input.name} to {self.output.name} at {self.sample_rate} Hz; latency {parts}, and the devices'; Ctrl-C ends"

    def blocks(self, size: int, playout: "Playout", stop: Callable[[], bool]) -> "Iterator[np.ndarray]":
        from vqvc.audio import devices

        with devices.Duplex(self.input, self.output, self.sample_rate, size, playout.read) as duplex:
            logger.info("the devices add %.0f ms by their own account", 1000 * duplex.latency_s)
            yield from duplex.blocks(stop, playout.skip)
        self.failure, playout.dropouts = duplex.failure, playout.dropouts + duplex.faults

    def play(self, playout: "Playout", made: "np.ndarray") -> None:
        playout.write(made)


class Session:
    """One run: from the place's blocks through the stream to its loudspeaker and to a file."""

    def __init__(
        self, args: argparse.Namespace, stream: "Stream", place: "_File | _Devices", stop: Callable[[], bool]
    ) -> None:
        from vqvc.conversion.live import Figures, Playout, cushion_samples

        self.args, self.stream, self.place, self.stop = args, stream, place, stop
        rate = stream.sample_rate
        self.block = max(round(rate * args.block_ms / 1000), 1)
        cushion = cushion_samples(args.cushion_ms, self.block, rate)
        self.figures, self.playout = Figures(rate), Playout(stream.latency_samples + self.block + cushion)
        ms = 1000 / rate
        parts = f"{ms * stream.latency_samples:.0f} ms, two blocks {2 * ms * self.block:.0f} ms, the cushion {ms * cushion:.0f} ms"
        logger.info("%s", place.describe(parts))

    def run(self, out: Path | None, tags: dict[str, str]) -> None:
        """Convert to the end and log the figures; writes ``out`` if given."""
        if out is None:
            for _ in self._outputs():
                pass
        else:
            _outputs.deliver(out, self._outputs(), self.stream.sample_rate, None, self.args, tags)
        logger.info("%s", summary(self.figures, self.playout))

    def _outputs(self) -> "Iterator[np.ndarray]":
        from vqvc.conversion.live import converted

        meter = _Meter(self.figures, self.playout)
        blocks = self._limited(self.place.blocks(self.block, self.playout, self.stop))
        for made in converted(blocks, self.stream, self.figures):
            self.place.play(self.playout, made)
            meter.show()
            yield made
        meter.close()

    def _limited(self, blocks: "Iterable[np.ndarray]") -> "Iterator[np.ndarray]":
        left = None if self.args.seconds is None else round(self.args.seconds * self.stream.sample_rate)
        for block in blocks:
            yield block[:left]
            if left is not None:
                left -= len(block)
                if left <= 0:
                    return


def summary(figures: "Figures", playout: "Playout") -> str:
    """How it went, as a line."""
    if not figures.taken:
        return "0.0 s of speech"
    return (
        f"{figures.taken / figures.sample_rate:.1f} s of speech, RTF {figures.real_time_factor:.3f}, block time "
        f"{figures.percentile_ms(0.5):.1f} ms (median), {figures.percentile_ms(0.99):.1f} ms (99 %), {playout.dropouts} dropouts"
    )


class _Meter:
    """A line of levels, load and dropouts on a terminal, renewed now and then; nothing elsewhere."""

    def __init__(self, figures: "Figures", playout: "Playout") -> None:
        self.figures, self.playout, self.is_shown, self.last = figures, playout, sys.stderr.isatty(), 0.0

    def show(self) -> None:
        now = time.monotonic()
        if self.is_shown and now - self.last > METER_S:
            self.last = now
            sys.stderr.write(f"\r{meter_line(self.figures, self.playout)} ")
            sys.stderr.flush()

    def close(self) -> None:
        if self.is_shown:
            sys.stderr.write("\n")


def meter_line(figures: "Figures", playout: "Playout") -> str:
    """Levels of the latest block in and out, as bars and in dB of full scale, RTF and dropouts."""

    def bar(level_db: float) -> str:
        share = min(max(1 + level_db / METER_DB, 0.0), 1.0)
        return "#" * round(share * METER_WIDTH) + "-" * (METER_WIDTH - round(share * METER_WIDTH))

    shown = [f"{name} {bar(level)} {level:4.0f} dB" for name, level in (("in", figures.in_db), ("out", figures.out_db))]
    return "  ".join([*shown, f"RTF {figures.real_time_factor:.2f}", f"dropouts {playout.dropouts}"])


def main(argv: list[str] | None = None) -> int:
    """Entry point."""
    return run(make_parser, work, argv)


if __name__ == "__main__":
    raise SystemExit(main())
