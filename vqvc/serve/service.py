"""What the page does, without the page: checks an upload, converts it, enrolls a voice, reads a voice file.

A mistake of the user raises a VqvcError, whose sentence the page shows; ``sentence`` gives it the name of the user's file in place
of the path at which the server keeps it.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvc._util import file_names
from vqvc.api import Speaker, VoiceConverter
from vqvc.audio import io
from vqvc.conversion import model_file
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.errors import AudioError, UsageError, VqvcError
from vqvc.serve.jobs import Turns

logger = logging.getLogger("vqvc.serve")

MB = 1 << 20  # bytes, as browsers count
WARM_UP_S = 1.0  # of sound that is converted at the start: compiles and loads what the first user would wait for


@dataclass(frozen=True)
class Limits:
    """What the page takes: seconds of a recording, bytes of an upload."""

    longest_s: float = 120.0
    largest_bytes: int = 50 * MB


@dataclass(frozen=True, eq=False)
class Conversion:
    """A recording and what was made of it, at sample_rate, (T,) float32; the file that holds the result at the source's rate."""

    name: str  # of the recording
    speaker: str
    source: np.ndarray
    result: np.ndarray
    sample_rate: int  # Hz
    codes: np.ndarray  # (ceil(T / hop_length),) int64
    hop_length: int
    path: Path
    notes: tuple[str, ...]  # what was converted when the source was read


class Service:
    """A model that is loaded once, for all users. ``turns``: who works with it now."""

    def __init__(self, model: str | Path, limits: Limits | None = None, device: str | None = None):
        loaded = model_file.read(model)
        self.converter = VoiceConverter(loaded, device)
        self.model_name = loaded.path.stem
        self.speakers = loaded.listed_speakers
        self.can_enroll = loaded.model.has_mel
        self.limits = limits or Limits()
        self.turns = Turns()

    def warm_up(self) -> threading.Thread:
        """Convert a second of sound in the background, so that the first user does not wait for compilation."""
        rate = self.converter.sample_rate
        sound = 0.1 * np.random.default_rng(0).standard_normal(int(WARM_UP_S * rate)).astype(np.float32)

        def work(report: Callable[[float], None]) -> None:
            from vqvc.serve import figures

            self.converter.convert((sound, rate), self.speakers[0].name, progress=lambda samples: report(0.5))
            figures.clip("", sound, rate)

        def run() -> None:
            try:
                self.turns.start(work).result()
            except Exception as error:  # what fails here fails for the first user too, who is shown why
                logger.debug("warm-up: %s", error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread

    def check(self, path: str | Path) -> tuple[str, ...]:
        """Notes on a recording that can be converted; raises AudioError or UsageError for one that cannot, before any work."""
        facts = io.info(path)
        seconds = facts.length_samples / facts.sample_rate
        if seconds > self.limits.longest_s:
            raise UsageError(
                f"{path}: {seconds:.0f} s long, and this page takes {self.limits.longest_s:.0f} s; give a part of it, "
                "or use vqvc-convert"
            )
        if Path(path).stat().st_size > self.limits.largest_bytes:  # the server ends an upload before it is so large
            raise UsageError(f"{path}: larger than the {self.limits.largest_bytes / MB:g} MB that this page takes")
        return io.notes_on(path, self.converter.sample_rate)

    def convert(
        self,
        path: str | Path,
        speaker: Speaker,
        folder: str | Path,
        report: Callable[[float], None] = lambda share: None,
    ) -> Conversion:
        """Convert a recording and write the result into ``folder``, as vqvc-convert writes it. report: takes the share done."""
        self.check(path)
        path, rate, made = Path(path), self.converter.sample_rate, 0
        source = io.read(path, rate).samples
        codes = self.converter.encode(path)

        def progress(samples: int) -> None:
            nonlocal made
            made += samples  # a lost addition of another thread's moves the bar by a pixel
            report(min(made / len(source), 1.0))  # streams overlap, so a little more is made

        name = speaker if isinstance(speaker, str) else speaker.name
        (_, speech), *_ = self.converter.convert_each([(path, speaker)], progress=progress)
        out = speech.write(Path(folder, f"{file_names.beginning(path.stem, 180)}_{file_names.part(name)}.wav"))
        result = io.read(out, rate).samples
        report(1.0)
        return Conversion(
            path.name, name, source, result, rate, codes, self.converter.hop_length, out, tuple(speech.notes)
        )

    def enroll(
        self, path: str | Path | None, name: str, agreed: bool, report: Callable[[float], None] = lambda share: None
    ) -> EnrolledVoice:
        """A voice from a recording. agreed: its owner agrees; without, as for a name that is taken, raises UsageError."""
        if path is None:
            raise UsageError("no recording of the voice: upload or record one, 30 s of clear speech are good")
        name = name.strip() or Path(path).stem
        self._require_new(name)
        if not agreed:
            raise UsageError("tick that the owner of the voice agrees; without that it is not enrolled")
        self.check(path)
        return self.converter.enroll(path, name=name, progress=report)

    def open_voice(self, path: str | Path) -> EnrolledVoice:
        """The voice of a file of vqvc-enroll; raises ModelError for one of another model."""
        voice = self.converter.read_voice(path)
        self._require_new(voice.name)
        return voice

    def _require_new(self, name: str) -> None:
        if name in self.converter.speakers:
            raise UsageError(f"{name} is a voice of the model; give the enrolled voice another name")


def sentence(error: VqvcError, path: str | Path | None = None) -> str:
    """The error's sentence, with the name of the file at ``path`` in place of where the server keeps it."""
    if path is None:
        return f"{error}."
    if isinstance(error, AudioError) and not Path(path).exists():
        return f"{Path(path).name} is no longer kept here; upload or record it again."
    return f"{str(error).replace(str(path), Path(path).name)}."
