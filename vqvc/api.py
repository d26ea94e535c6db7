"""The Python face: a model file as an object that listens, says and converts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vqvc.errors import AudioError, UsageError

if TYPE_CHECKING:
    from vqvc.conversion.voice_file import EnrolledVoice

LONG_S = 60.0  # a longer recording is converted in pieces
TEMPERATURE = 0.9  # of the draws; 1 is what the model learned, less is steadier


@dataclass(frozen=True)
class Analysis:
    """A recording as the model heard it."""

    codes: np.ndarray  # (T,) int64
    loudness: np.ndarray  # (T,) energy at each code
    f0_contour: np.ndarray | None  # (3, T), for a model that is told one
    gain_db: float  # what brought it to the level of training
    length_samples: int


@dataclass(frozen=True)
class Speech:
    """A conversion that is made as it is read."""

    blocks: Iterator[np.ndarray]  # (T,) float32 each, at the model's rate
    source_rate: int  # Hz
    source_length_samples: int  # at that rate


class VoiceConverter:
    """A trained model. Make one with :func:`vqvc.load`.

    sample_rate: Hz, of everything that goes in and out as an array; hop_length: samples per code;
    speakers: names that ``speaker`` may take; checksum: of the model file; model: the network, in evaluation mode.
    """

    def __init__(self, package):
        from vqvc.engine.gpu.sampler import make_sampler

        self._package, self.model = package, package.model
        self._sampler = make_sampler(package.model)
        self.sample_rate: int = package.config.audio.sample_rate
        self.hop_length: int = package.config.hop_length
        self.speakers: tuple[str, ...] = tuple(voice.name for voice in package.speakers)
        self.checksum: str = package.checksum

    @classmethod
    def load(cls, path: str | Path) -> "VoiceConverter":
        """Read a model file; raises ModelError when it is missing, damaged or of another format."""
        from vqvc.conversion import model_file as package

        return cls(package.read(path))

    @property
    def codebook(self) -> np.ndarray:
        """(K, D) float32."""
        return self.model.quantizer.codebook.detach().numpy()

    def encode(self, recording: np.ndarray | str | Path) -> np.ndarray:
        """Codes (ceil(T / hop_length),) int64 of a recording: a path, or samples (T,) float at ``sample_rate``.

        A recording that is read from a path may have any length: it is encoded in pieces, whose codes are those of the whole.
        Raises AudioError for a recording that is unreadable, silent, not finite or shorter than one code.
        """
        from vqvc.conversion import encoding
        from vqvc.conversion import pipeline as convert

        if isinstance(recording, (str, Path)):
            return encoding.encode_recording(self.model, recording)[0]
        return convert.encode(self.model, convert.levelled(self.model, self._samples(recording)).samples)

    def decode(
        self,
        codes: np.ndarray,
        speaker: "str | EnrolledVoice",
        *,
        seed: int = 0,
        temperature: float = TEMPERATURE,
        fold: str = "auto",
        postfilter: bool = True,
        progress: Callable[[int], None] = lambda samples: None,
    ) -> np.ndarray:
        """Speech (T * hop_length,) float32 of codes (T,), at the level of training, in the voice of ``speaker``."""
        from vqvc.conversion import pipeline as convert

        codes = self._checked(codes)
        index, voice = self._target(speaker)
        request = convert.Request(codes, index, seed, voice=voice)
        return convert.synthesize(self.model, self._sampler, [request], temperature, fold, postfilter, progress)[0]

    def convert(
        self,
        recording: np.ndarray | str | Path,
        speaker: "str | EnrolledVoice | None" = None,
        *,
        voice: "EnrolledVoice | str | Path | None" = None,
        seed: int = 0,
        temperature: float = TEMPERATURE,
        fold: str = "auto",
        postfilter: bool = True,
    ) -> np.ndarray:
        """The recording in the voice of ``speaker``: (T,) float32 at ``sample_rate``, as long and as loud as it was.

        speaker: a name of ``speakers``; voice: instead of it, an enrolled voice or the path of its file.
        A recording on disk that is longer than ``LONG_S`` is converted in pieces.
        """
        if (speaker is None) == (voice is None):
            raise UsageError("give either a speaker of the model or voice=, an enrolled voice")
        if voice is not None:
            speaker = self.read_voice(voice) if isinstance(voice, (str, Path)) else voice
        if isinstance(recording, (str, Path)):
            from vqvc.audio import io

            if io.info(recording).duration_s > LONG_S:
                speech = self.convert_file(
                    recording, speaker, seed=seed, temperature=temperature, fold=fold, postfilter=postfilter
                )
                return np.concatenate(list(speech.blocks))
        return self.convert_batch(
            [(recording, speaker)], seed=seed, temperature=temperature, fold=fold, postfilter=postfilter
        )[0]

    def convert_batch(
        self,
        pairs: "Sequence[tuple[np.ndarray | str | Path, str | EnrolledVoice]]",
        *,
        seed: int = 0,
        temperature: float = TEMPERATURE,
        fold: str = "auto",
        postfilter: bool = True,
        progress: Callable[[int], None] = lambda samples: None,
    ) -> list[np.ndarray]:
        """Many recordings at once, which is faster than one after the other: (recording, speaker) -> samples."""
        sources = {id(recording): recording for recording, _ in pairs}  # one with several targets is read once
        heard = {key: self.analyse(recording) for key, recording in sources.items()}
        return self.synthesize(
            [(heard[id(recording)], speaker) for recording, speaker in pairs],
            seed=seed, temperature=temperature, fold=fold, postfilter=postfilter, progress=progress,
        )  # fmt: skip

    def analyse(self, recording: np.ndarray | str | Path) -> "Analysis":
        """What a conversion needs of a recording; raises AudioError as ``encode`` does."""
        from vqvc.conversion import pipeline as convert

        level = convert.levelled(self.model, self._samples(recording))
        codes = convert.encode(self.model, level.samples)
        loudness = convert.loudness(level.samples, self.hop_length)
        f0_contour = convert.f0_contour(self.model, level.samples)
        return Analysis(codes, loudness, f0_contour, level.gain_db, len(level.samples))

    def synthesize(
        self,
        pairs: "Sequence[tuple[Analysis, str | EnrolledVoice]]",
        *,
        seed: int = 0,
        temperature: float = TEMPERATURE,
        fold: str = "auto",
        postfilter: bool = True,
        progress: Callable[[int], None] = lambda samples: None,
    ) -> list[np.ndarray]:
        """What was heard, in other voices: (T,) float32 each, as long and as loud as the recording was."""
        from vqvc.conversion import pipeline as convert

        requests = []
        for heard, speaker in pairs:
            index, voice = self._target(speaker)
            requests.append(convert.Request(heard.codes, index, seed, heard.loudness, heard.f0_contour, voice=voice))
        said = convert.synthesize(self.model, self._sampler, requests, temperature, fold, postfilter, progress)
        return [
            samples[: heard.length_samples] * np.float32(10 ** (-heard.gain_db / 20))
            for samples, (heard, _) in zip(said, pairs)
        ]

    def convert_file(
        self,
        recording: str | Path,
        speaker: "str | EnrolledVoice",
        *,
        seed: int = 0,
        temperature: float = TEMPERATURE,
        fold: str = "auto",
        postfilter: bool = True,
        progress: Callable[[int], None] = lambda samples: None,
    ) -> "Speech":
        """A recording of any length in the voice of ``speaker``, in pieces that memory holds one at a time.

        What belongs to all of it (level, mean pitch) is found in passes over the file before; raises AudioError as
        ``encode`` does.
        """
        from vqvc.conversion import chunking

        index, voice = self._target(speaker)
        found = chunking.survey(recording, self.model)
        blocks = chunking.stream(
            recording, found, self.model, self._sampler, index,
            seed=seed, temperature=temperature, folding=fold, postfilter=postfilter, progress=progress, voice=voice,
        )  # fmt: skip
        return Speech(blocks, found.sample_rate, found.length_samples)

    def enroll(
        self,
        recordings: Sequence[np.ndarray | str | Path] | np.ndarray | str | Path,
        *,
        name: str = "enrolled",
        sources: Sequence[str] | None = None,
        progress: Callable[[float], None] = lambda share: None,
    ) -> "EnrolledVoice":
        """A voice that the model was not trained on, from recordings of one person: good from 30 s, possible from 10 s.

        Recordings are paths, or samples (T,) float at ``sample_rate``. ``EnrolledVoice.save`` writes the voice file, ``convert``
        takes the voice as ``voice=``. It takes under a minute on two cores. sources: names of the recordings for the voice's provenance,
        those of the files when None; progress: is called with the share that is done.
        Enroll only voices whose owners agree. Raises AudioError for recordings that are too short or hold no speech of one person.
        """
        from vqvc.conversion import enrollment

        one = isinstance(recordings, (str, Path)) or (isinstance(recordings, np.ndarray) and recordings.ndim == 1)
        listed = [recordings] if one else list(recordings)
        if sources is None:
            sources = [Path(each).name if isinstance(each, (str, Path)) else "samples" for each in listed]
        samples = [self._samples(each) for each in listed]
        return enrollment.enroll(self.model, samples, name, self.checksum, sources=sources, progress=progress)

    def read_voice(self, path: str | Path) -> "EnrolledVoice":
        """An enrolled voice from its file; raises ModelError for a damaged file and for a voice of another model."""
        from vqvc.conversion import voice_file

        voice = voice_file.read(path)
        self._target(voice)
        return voice

    def _target(self, speaker: "str | EnrolledVoice") -> "tuple[int, EnrolledVoice | None]":
        """The index in the speaker table, or the enrolled voice with an index that means nothing."""
        if isinstance(speaker, str):
            return self._package.speaker_index(speaker), None
        speaker.require_model(self.checksum, self._package.config.decoder.speaker_dim, self._package.path)
        return 0, speaker

    def _samples(self, recording: np.ndarray | str | Path) -> np.ndarray:
        if isinstance(recording, (str, Path)):
            from vqvc.audio import io

            return io.read(recording, self.sample_rate).samples
        samples = np.asarray(recording, np.float32)
        if samples.ndim != 1:
            raise AudioError(f"samples of shape {samples.shape}: give one channel, (T,)")
        return samples

    def _checked(self, codes: np.ndarray) -> np.ndarray:
        codes = np.asarray(codes)
        if codes.ndim != 1 or not len(codes) or codes.dtype.kind not in "iu":
            raise UsageError(f"codes of shape {codes.shape} and type {codes.dtype}: give whole numbers, (T,)")
        size = len(self.model.quantizer.codebook)
        if codes.min() < 0 or codes.max() >= size:
            raise UsageError(f"codes from {codes.min()} to {codes.max()}: this model's codebook has 0 to {size - 1}")
        return codes.astype(np.int64)
