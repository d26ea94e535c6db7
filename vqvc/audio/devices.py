"""Microphone and loudspeaker, by the package sounddevice (extra: ``live``), which needs the library PortAudio."""

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from vqvc._util import extras
from vqvc.errors import MissingExtraError, UsageError, VqvcError

BACKLOG_S = 0.5  # of input that may wait to be converted; what is older is left out
LOOK_S = 0.2  # between two looks at whether to stop


@dataclass(frozen=True)
class Device:
    """A sound device. number: what names it; inputs, outputs: channels; default_hz: its own sample rate."""

    number: int
    name: str
    inputs: int
    outputs: int
    default_hz: int
    is_default_input: bool
    is_default_output: bool


def sounddevice() -> ModuleType:
    """The package; raises MissingExtraError without it, VqvcError without PortAudio."""
    try:
        return extras.load("sounddevice", "live")
    except MissingExtraError as error:
        if isinstance(error.__cause__, OSError) and "portaudio" in str(error.__cause__).lower():
            raise VqvcError(
                "the library PortAudio is not installed, which the package sounddevice needs; install libportaudio2 "
                "(Debian, Ubuntu) or portaudio (Fedora, Homebrew), or convert a file: --in a.wav --out b.wav"
            ) from error
        raise


def devices() -> list[Device]:
    """All sound devices of this machine; raises VqvcError where there are none."""
    package = sounddevice()
    try:
        found, defaults = package.query_devices(), package.default.device
    except package.PortAudioError as error:
        raise VqvcError(f"sound devices cannot be listed: {extras.first_line(error)}") from None
    if not len(found):
        raise VqvcError("this machine has no sound devices; convert a file instead: --in a.wav --out b.wav")
    return [
        Device(
            number, each["name"], each["max_input_channels"], each["max_output_channels"],
            round(each["default_samplerate"]), number == defaults[0], number == defaults[1],
        )
        for number, each in enumerate(found)
    ]  # fmt: skip


def choose(given: str | None, kind: str) -> Device:
    """The device of a number or a part of a name, the default one when None. kind: "input" or "output".

    Raises UsageError for none, and for several.
    """
    able = [one for one in devices() if getattr(one, f"{kind}s")]
    if given is None:
        found = [one for one in able if getattr(one, f"is_default_{kind}")] or able[:1]
    elif given.isdigit():
        found = [one for one in able if one.number == int(given)]
    else:
        found = [one for one in able if given.lower() in one.name.lower()]
        found = [one for one in found if one.name == given] or found
    if len(found) == 1:
        return found[0]
    named = f"no {kind} device" if given is None else f"--{kind}-device {given}: {'several' if found else 'no'} such"
    listed = f": {', '.join(f'{one.number} {one.name}' for one in found)}" if found else ""
    raise UsageError(f"{named}{listed}; vqvc-live --list-devices names all")


def common_rate(source: Device, target: Device, wanted_hz: int) -> int:
    """A sample rate in Hz that both devices take: ``wanted_hz``, or one of their own. Raises UsageError where there is none."""
    package = sounddevice()
    for rate in dict.fromkeys((wanted_hz, target.default_hz, source.default_hz)):
        try:
            package.check_input_settings(source.number, _channels(source.inputs), "float32", samplerate=rate)
            package.check_output_settings(target.number, _channels(target.outputs), "float32", samplerate=rate)
        except (package.PortAudioError, ValueError):
            continue
        return rate
    raise UsageError(f"{source.name} and {target.name} have no sample rate in common; choose other devices")


class Duplex:
    """A context in which a microphone is read and a loudspeaker is fed, ``block`` samples at a time.

    read: (count) -> (count,) float32, what the loudspeaker is to play next. faults: blocks that the devices themselves lost. failure:
    why they stopped by themselves, or None.
    """

    def __init__(
        self, source: Device, target: Device, sample_rate: int, block: int, read: Callable[[int], np.ndarray]
    ) -> None:
        package = sounddevice()
        self.sample_rate, self.read, self.faults = sample_rate, read, 0
        self.failure: str | None = None
        self.waiting: queue.Queue[np.ndarray] = queue.Queue()
        self.names = f"{source.name} and {target.name}"
        try:
            self.stream = package.Stream(
                samplerate=sample_rate, blocksize=block, device=(source.number, target.number), dtype="float32",
                channels=(_channels(source.inputs), _channels(target.outputs)), latency="low", callback=self._turn,
            )  # fmt: skip
        except (package.PortAudioError, ValueError) as error:
            raise VqvcError(f"{self.names}: cannot be opened: {extras.first_line(error)}; choose others") from None

    @property
    def latency_s(self) -> float:
        """Of the devices, in and out together, as they state it."""
        return float(sum(self.stream.latency))

    def __enter__(self) -> "Duplex":
        self.stream.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stream.close()

    def _turn(self, arrived: np.ndarray, wanted: np.ndarray, frames: int, _: Any, status: Any) -> None:
        self.faults += bool(status)
        self.waiting.put(arrived[:, 0].copy())
        wanted[:] = self.read(frames)[:, None]

    def blocks(self, stop: Callable[[], bool], skipped: Callable[[int], None]) -> Iterator[np.ndarray]:
        """What the microphone takes up, until ``stop`` or until the devices fail.

        skipped: called with the number of samples that were left out, because too many waited.
        """
        while not stop():
            try:
                block = self.waiting.get(timeout=LOOK_S)
            except queue.Empty:
                if not self.stream.active:
                    self.failure = f"{self.names}: stopped; see whether they are still connected"
                    return
                continue
            while self.waiting.qsize() * len(block) > BACKLOG_S * self.sample_rate:
                skipped(len(block))
                block = self.waiting.get()
            yield block


def _channels(count: int) -> int:
    return min(count, 2)
