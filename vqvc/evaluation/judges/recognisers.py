"""Speech recognisers for word errors: pocketsphinx, which needs no download, and Whisper, which is far better."""

import re
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from vqvc._util import extras
from vqvc._util.checksum import sha256_of_file
from vqvc._util.nearest import nearest
from vqvc.errors import ModelError, UsageError

SAMPLE_RATE = 16000  # Hz, of both recognisers
WHISPER_MODEL = "base.en"  # the default


class Recogniser(Protocol):
    """The interface of a recogniser. Its methods must be thread-safe.

    name: of the recogniser and its model. checksum: SHA-256 of its weights; "" if the package's version determines
        them.
    recipe: a sentence for the definition of a figure.
    """

    name: str
    checksum: str
    recipe: str

    def words(self, samples: np.ndarray, sample_rate: int) -> str:
        """Recognise samples (T,) float: normalised words, or "" if there are none."""
        ...

    def normalise(self, text: str) -> str:
        """Normalise a text in the same way; word errors compare normalised texts."""
        ...


def plain_words(text: str) -> str:
    """``text`` in lower case, letters and apostrophes only, single spaces."""
    text = text.lower().replace("\u2019", "'")
    return " ".join(word.strip("'") for word in re.sub(r"[^a-z' ]+", " ", text).split() if word.strip("'"))


class PocketsphinxRecogniser:
    """pocketsphinx 5 with the US English model of its wheel. Recordings are independent of each other."""

    name = "pocketsphinx"
    checksum = ""
    recipe = (
        "pocketsphinx 5 with the US English model of its wheel, each recording alone (batch mean normalisation), 16 kHz; "
        "capitals and punctuation removed"
    )

    def __init__(self) -> None:
        package = extras.load("pocketsphinx", "evaluate")
        self._make = partial(package.Decoder, samprate=SAMPLE_RATE, loglevel="FATAL", cmn="batch")
        self._own = threading.local()  # a decoder per thread, since it has state

    def words(self, samples: np.ndarray, sample_rate: int) -> str:
        """See ``Recogniser``."""
        samples = _at_16_khz(samples, sample_rate)
        loudest = float(np.abs(samples).max()) if len(samples) else 0.0
        if not loudest:
            return ""
        pcm = (samples * min(1.0, 0.99 / loudest) * 32767).astype("<i2")
        if not hasattr(self._own, "decoder"):
            self._own.decoder = self._make()
        decoder = self._own.decoder
        decoder.start_utt()
        decoder.process_raw(pcm.tobytes(), no_search=False, full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        if not hypothesis:
            return ""
        return plain_words(re.sub(r"\(\d+\)|<[^>]*>|\[[^\]]*\]", " ", hypothesis.hypstr))

    def normalise(self, text: str) -> str:
        """See ``Recogniser``."""
        return plain_words(text)


class WhisperRecogniser:
    """Whisper (Radford et al. 2022) through faster-whisper: int8, beam 5, temperature 0, English, each recording alone.

    model: a name that faster-whisper downloads (``base.en``, ``large-v3``), or a folder with model.bin. threads:
    recordings that may be transcribed at the same time, each on one core. Words are normalised by Whisper's English
    normaliser (numbers, spelling, contractions, fillers).

    Raises MissingExtraError if the extra is not installed, UsageError for an unknown model, ModelError for one that
    cannot be loaded.
    """

    def __init__(self, model: str = WHISPER_MODEL, threads: int = 1) -> None:
        package = extras.load("faster_whisper", "whisper", "faster-whisper")
        normalisers = extras.load("whisper_normalizer.english", "whisper", "whisper-normalizer")
        self._normaliser: Callable[[str], str] = normalisers.EnglishTextNormalizer()
        folder = _whisper_folder(model)
        try:
            self._model = package.WhisperModel(
                str(folder),
                device="cpu",
                compute_type="int8",
                cpu_threads=1,
                num_workers=threads,
                local_files_only=True,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise ModelError(
                f"{folder}: is not a Whisper model of faster-whisper: {extras.first_line(error)}"
            ) from None
        self.name = f"whisper {Path(model).name}"
        self.checksum = sha256_of_file(folder / "model.bin")
        self.recipe = (
            f"Whisper {Path(model).name} by faster-whisper (int8, beam 5, temperature 0), 16 kHz; texts normalised by "
            "Whisper's English normaliser"
        )

    def words(self, samples: np.ndarray, sample_rate: int) -> str:
        """See ``Recogniser``."""
        samples = _at_16_khz(samples, sample_rate)
        if not np.any(samples):
            return ""
        segments, _ = self._model.transcribe(
            samples,
            language="en",
            beam_size=5,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return self.normalise(" ".join(segment.text for segment in segments))

    def normalise(self, text: str) -> str:
        """See ``Recogniser``."""
        return " ".join(self._normaliser(text).split())


def make_recogniser(spec: str, threads: int = 1) -> Recogniser:
    """Make the recogniser that a command line names.

    spec: ``pocketsphinx``, ``whisper``, ``whisper:MODEL`` or ``whisper:FOLDER``; UsageError is raised for anything
        else.
    """
    kind, _, model = spec.partition(":")
    if kind == "whisper":
        return WhisperRecogniser(model or WHISPER_MODEL, threads)
    if spec == "pocketsphinx":
        return PocketsphinxRecogniser()
    raise UsageError(f"recogniser {spec!r} is not one of pocketsphinx, whisper, whisper:MODEL, whisper:FOLDER")


def _whisper_folder(model: str) -> Path:
    """The folder of a model; faster-whisper downloads it if ``model`` is not a folder."""
    utils = extras.load("faster_whisper.utils", "whisper", "faster-whisper")
    folder = Path(model)
    if (folder / "model.bin").is_file():
        return folder
    names = utils.available_models()
    if model not in names:
        near = ", ".join(nearest(model, names))
        raise UsageError(f"whisper:{model}: no folder with model.bin and no model of faster-whisper; near it: {near}")
    try:
        return Path(utils.download_model(model))
    except Exception as error:  # the hub's client raises errors of many packages
        raise ModelError(
            f"whisper:{model}: cannot be downloaded ({extras.first_line(error)}); give a folder: whisper:FOLDER"
        ) from None


def _at_16_khz(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    from vqvc.audio.resample import resample

    return np.ascontiguousarray(resample(np.asarray(samples, np.float32), sample_rate, SAMPLE_RATE), np.float32)
