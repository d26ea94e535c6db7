"""The Python API: a model file as an object that encodes, decodes and converts.

A source is a path, samples (T,) at the model's rate, or a pair of samples and their rate in Hz. Samples are an array or a tensor:
floats of full scale 1, or int16, int32 or uint8 as in sound files. A source may have any length:
what is longer than ``chunking.LONG_S`` is converted in pieces, with level and median pitch of the whole.
"""

import logging
import os
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, Unpack, overload

import numpy as np

from vqvc.conversion.options import TEMPERATURE, Conversion, Synthesis, settled
from vqvc.errors import UsageError, VqvcError

if TYPE_CHECKING:
    from vqvc.audio.io import Recording
    from vqvc.conversion.analysis import Analysis
    from vqvc.conversion.model_file import ModelFile
    from vqvc.conversion.source import Given, Source
    from vqvc.conversion.speech import Speech
    from vqvc.conversion.statistics import Statistics
    from vqvc.conversion.stream import Stream
    from vqvc.conversion.voice_file import EnrolledVoice

logger = logging.getLogger("vqvc.convert")

TOGETHER_S = 60.0  # recordings are converted together up to this length
PathLike = str | Path
Speaker: TypeAlias = "str | EnrolledVoice"  # a name of the speaker table, or a voice of ``enroll``
Voice: TypeAlias = "EnrolledVoice | PathLike | None"
Item = TypeVar("Item", bound="Given")


class VoiceConverter:
    """A trained model. Make one with :func:`vqvc.load`.

    sample_rate: Hz, of the samples that it returns; hop_length: samples per code; speakers: names that ``speaker`` may take;
    checksum: of the model file; device: where it runs; model: the network, in evaluation mode.

    Keywords of ``convert``, ``convert_each``, ``synthesize`` and ``decode``, see :class:`Synthesis`: seed, temperature, fold,
    postfilter, progress. The first two take equalizer too. Same keywords, same machine: same samples.
    """

    def __init__(self, model_file: "ModelFile", device: str | None = None) -> None:
        from vqvc._util import devices
        from vqvc.engine.gpu.sampler import make_sampler

        model_file.require_decoder()
        self.device = devices.choose(device or "auto")
        self._file, self.model = model_file, model_file.model.to(self.device)
        self._sampler = make_sampler(self.model, device=self.device)
        self.sample_rate: int = model_file.config.audio.sample_rate
        self.hop_length: int = model_file.config.hop_length
        self.speakers: tuple[str, ...] = tuple(speaker.name for speaker in model_file.speakers)
        self.checksum: str = model_file.checksum

    @classmethod
    def load(cls, path: PathLike, device: str | None = None) -> "VoiceConverter":
        """Read a model file; raises ModelError when it is missing, damaged or of another format."""
        from vqvc.conversion import model_file

        return cls(model_file.read(path), device)

    @property
    def codebook(self) -> np.ndarray[Any, Any]:
        """(K, D) float32."""
        return self.model.quantizer.codebook.detach().cpu().numpy()

    # --- from a source to codes

    def encode(self, source: "Given", *, equalizer: bool = True) -> np.ndarray[Any, Any]:
        """Codes (ceil(T / hop_length),) int64 of a recording of any length; those of pieces are those of the whole.

        equalizer: correct its channel, see ``conversion.equalizer``. Raises AudioError for a recording that is unreadable,
        silent, not finite or shorter than one code.
        """
        from vqvc.conversion import encoding

        return encoding.encode_recording(self.model, self._source(source), equalizer=equalizer)[0]

    def analyse(self, source: "Given", *, equalizer: bool = True) -> "Analysis":
        """All that a conversion takes from a recording of any length. equalizer, errors: as of ``encode``."""
        from vqvc.conversion import analysis, chunking

        source = self._source(source)
        if source.duration_s > chunking.LONG_S:
            return chunking.analyse(source, self.model, equalizer)
        return analysis.analyse_recording(self.model, source.read(self.sample_rate).samples, equalizer)

    # --- from codes to speech

    def decode(
        self, codes: np.ndarray[Any, Any], speaker: Speaker, **options: Unpack[Synthesis]
    ) -> np.ndarray[Any, Any]:
        """Speech (T * hop_length,) float32 of codes (T,) as a speaker, at the level of training."""
        from vqvc.conversion import pipeline

        seed, rest = settled(options)
        request = pipeline.Request(self._checked(codes), self._target(speaker), seed)
        return pipeline.synthesize(self.model, self._sampler, [request], **rest)[0]

    def synthesize(
        self, pairs: "Sequence[tuple[Analysis, Speaker]]", **options: Unpack[Synthesis]
    ) -> list[np.ndarray[Any, Any]]:
        """Analyses as other speakers, all at once: (T,) float32 each, as long and as loud as the recording was."""
        from vqvc.conversion import pipeline

        seed, rest = settled(options)
        requests = [pipeline.Request.of(source, self._target(speaker), seed) for source, speaker in pairs]
        made = pipeline.synthesize(self.model, self._sampler, requests, **rest) if requests else []
        return [_as_source(samples, source) for samples, (source, _) in zip(made, pairs)]

    # --- from a source to speech

    @overload
    def convert(
        self, source: list[Item], speaker: "Speaker | Sequence[Speaker] | None" = None, *, voice: Voice = None, out: None = None,
        **options: Unpack[Conversion],
    ) -> list[np.ndarray[Any, Any]]:  # fmt: skip
        """A batch as samples."""

    @overload
    def convert(
        self, source: list[Item], speaker: "Speaker | Sequence[Speaker] | None" = None, *, voice: Voice = None,
        out: Sequence[PathLike], sample_rate: int | None = None, subtype: str | None = None, normalise: bool = False,
        tag: bool = True, overwrite: bool = False, **options: Unpack[Conversion],
    ) -> list[Path]:  # fmt: skip
        """A batch written to files."""

    @overload
    def convert(
        self, source: "Given", speaker: "Speaker | None" = None, *, voice: Voice = None, out: None = None,
        **options: Unpack[Conversion],
    ) -> np.ndarray[Any, Any]:  # fmt: skip
        """One recording as samples."""

    @overload
    def convert(
        self, source: "Given", speaker: "Speaker | None" = None, *, voice: Voice = None, out: PathLike,
        sample_rate: int | None = None, subtype: str | None = None, normalise: bool = False, tag: bool = True,
        overwrite: bool = False, **options: Unpack[Conversion],
    ) -> Path:  # fmt: skip
        """One recording written to a file."""

    def convert(
        self, source: Any, speaker: Any = None, *, voice: Any = None, out: Any = None, sample_rate: int | None = None,
        subtype: str | None = None, normalise: bool = False, tag: bool = True, overwrite: bool = False, **options: Unpack[Conversion],
    ) -> Any:  # fmt: skip
        """A recording as ``speaker``: (T,) float32 at ``self.sample_rate``, as long and as loud as it was.

        voice: in place of ``speaker``, an enrolled voice or the path of its file. source: see the module; a list of sources is a batch, with one speaker or one for each, and gives a list.
        out: a sound file to write instead, whose name is returned, at ``sample_rate`` Hz (the source's when None), in the
        format that its suffix names; one for each of a batch. It is written while it is made, so memory does not grow with its
        length. sample_rate, subtype, normalise, tag: of that file, see ``Speech.write``. Raises AudioError as ``encode`` does, UsageError
        for a speaker that is none and, before any work, for a file that exists (without ``overwrite``) or cannot be written.
        """
        from vqvc.conversion import outputs

        speaker = self._one_of(speaker, voice)
        batch = isinstance(source, list)
        sources = [self._source(each) for each in (source if batch else [source])]
        several = isinstance(speaker, Sequence) and not isinstance(speaker, (str, bytes))
        speakers = list(speaker) if several else [speaker] * len(sources)
        files = outputs.FileOptions(sample_rate, subtype, normalise, tag)
        outs = outputs.outputs_of(out, len(sources), batch, files)
        if len(speakers) != len(sources) or len(outs) != len(sources):
            raise UsageError(f"{len(sources)} sources, {len(speakers)} speakers, {len(outs)} outputs: give as many")
        outputs.require_possible(outs, sources, files, overwrite)
        made: list[Any] = []
        for index, speech in self.convert_each(zip(sources, speakers), **options):
            path = outs[index]
            made.append(speech.samples() if path is None else speech.write(path, **files.of_speech()))
        return made if batch else made[0]

    def convert_each(
        self,
        pairs: "Iterable[tuple[Given, Speaker]]",
        *,
        skip: Container[int] = (),
        failed: Callable[[int, VqvcError], object] | None = None,
        **options: Unpack[Conversion],
    ) -> "Iterator[tuple[int, Speech]]":
        """Convert (source, speaker) one after the other: yields the number of each pair with its speech, in their order.

        Short recordings are converted together, which is faster, a long one as its blocks are read; read one's blocks
        before going on to the next. skip: numbers of pairs that are not wanted; the others are what they are without it.
        failed: called with number and error of a pair that cannot be converted; the error is raised when None.
        """
        group: list[tuple[int, Source, int | EnrolledVoice]] = []
        seconds = 0.0
        for number, (given, speaker) in enumerate(pairs):
            try:
                item = number, self._source(given), self._target(speaker)
            except VqvcError as error:
                _report(failed, number, error)
                continue
            if group and seconds + item[1].duration_s > TOGETHER_S:
                yield from self._group(group, skip, failed, options)
                group, seconds = [], 0.0
            group.append(item)
            seconds += item[1].duration_s
        yield from self._group(group, skip, failed, options)

    def _group(
        self,
        group: "list[tuple[int, Source, int | EnrolledVoice]]",
        skip: Container[int],
        failed: Callable[[int, VqvcError], object] | None,
        options: Conversion,
    ) -> "Iterator[tuple[int, Speech]]":
        """Speech made together depends on each other a little (where streams are cut), so all of a group is made or none."""
        from vqvc.conversion import analysis, chunking
        from vqvc.conversion.disclosure import tags_of
        from vqvc.conversion.pipeline import Request, synthesize
        from vqvc.conversion.speech import Speech

        if all(number in skip for number, _, _ in group):
            return
        (seed, rest), equalizer = settled(options, Conversion), options.get("equalizer", True)
        requests: list[tuple[int, Recording, Analysis, int | EnrolledVoice]] = []
        read: dict[Any, tuple[Recording, Analysis]] = {}
        for number, source, target in group:
            try:
                if source.duration_s > chunking.LONG_S:
                    minutes = source.duration_s / 60
                    logger.info("%s: %.1f min; read through first, then converted in pieces", source.name, minutes)
                    whole = chunking.survey(source, self.model, equalizer)
                    blocks = chunking.stream(source, whole, self.model, self._sampler, target, seed=seed, **rest)
                    facts = whole.sample_rate, whole.length_samples, source.notes(self.sample_rate)
                    yield number, Speech(blocks, self.sample_rate, *facts, tags_of(self._file, target))
                    continue
                key = source.path, id(source.samples), source.sample_rate
                if key not in read:  # one with several targets is read once
                    recording = source.read(self.sample_rate)
                    read[key] = recording, analysis.analyse_recording(self.model, recording.samples, equalizer)
                requests.append((number, *read[key], target))
            except VqvcError as error:
                _report(failed, number, error)
        wanted = [Request.of(found, target, seed) for _, _, found, target in requests]
        made = synthesize(self.model, self._sampler, wanted, **rest) if requests else []
        for (number, recording, found, target), samples in zip(requests, made):
            if number not in skip:
                given = recording.source_rate, recording.source_length_samples, recording.notes
                blocks = iter([_as_source(samples, found)])
                yield number, Speech(blocks, self.sample_rate, *given, tags_of(self._file, target))

    def stream(
        self, speaker: "Speaker | None" = None, *, voice: Voice = None, seed: int = 0, temperature: float = TEMPERATURE,
        postfilter: bool = True, equalizer: bool = True, sample_rate: int | None = None,
        statistics: "Statistics | None" = None, source_f0_hz: float | None = None, gate_db: float | None = None,
    ) -> "Stream":  # fmt: skip
        """A conversion while somebody speaks: ``stream.convert(block)`` as often as there is more, then ``stream.flush()``.

        Blocks may have any size; what comes back is ``stream.latency_samples`` behind. speaker, voice: as of ``convert``. The rest:
        see ``conversion.stream.Stream``. Raises UsageError for a model whose encoder does not read the waveform itself.
        """
        from vqvc.conversion.source import checked_rate
        from vqvc.conversion.stream import Stream

        checked: Conversion = {
            "seed": seed,
            "temperature": temperature,
            "postfilter": postfilter,
            "equalizer": equalizer,
        }
        settled(checked, Conversion)  # for its errors
        sample_rate = None if sample_rate is None else checked_rate(sample_rate)
        target = self._target(self._one_of(speaker, voice))
        return Stream(
            self.model, self._sampler, target, seed=seed, temperature=temperature, postfilter=postfilter, equalizer=equalizer,
            sample_rate=sample_rate, statistics=statistics, source_f0_hz=source_f0_hz, gate_db=gate_db,
        )  # fmt: skip

    # --- voices outside the speaker table

    def enroll(
        self,
        recordings: "Given | list[Given]",
        *,
        name: str = "enrolled",
        seed: int = 0,
        progress: Callable[[float], object] | None = None,
    ) -> "EnrolledVoice":
        """A voice that the model was not trained on, from recordings of one person: good from 30 s, possible from 10 s.

        recordings: a source, see the module, or a list of them; seed: of the draws, from 0 on; progress: called with the share done.
        Enroll only voices whose owners agree. Raises AudioError for recordings too short or without speech. ``EnrolledVoice.save`` writes it.
        """
        from vqvc.conversion import enrollment

        given = [self._source(each) for each in (recordings if isinstance(recordings, list) else [recordings])]
        return enrollment.enroll(self.model, given, name, self.checksum, seed=seed, progress=progress)

    def read_voice(self, path: PathLike) -> "EnrolledVoice":
        """An enrolled voice from its file; raises ModelError for a damaged file and for a voice of another model."""
        from vqvc.conversion import voice_file

        voice = voice_file.read(path)
        self._target(voice)
        return voice

    def _target(self, speaker: Speaker) -> "int | EnrolledVoice":
        """What ``pipeline.Request`` takes: an index in the speaker table, or the enrolled voice, which must be one of this model."""
        if isinstance(speaker, str):
            return self._file.speaker_index(speaker)
        if not hasattr(speaker, "require_model"):
            kind = type(speaker).__name__
            raise UsageError(f"{kind}: is no speaker; give one of converter.speakers, or a voice of converter.enroll")
        speaker.require_model(self.checksum, self._file.config.decoder, self._file.path)
        return speaker

    def _one_of(self, speaker: Any, voice: Voice) -> Any:
        """The speaker, or the voice in its place; raises UsageError for both and for none."""
        if (speaker is None) == (voice is None):
            raise UsageError("give either a speaker of the model or voice=, an enrolled voice")
        if voice is None:
            return speaker
        return self.read_voice(voice) if isinstance(voice, (str, os.PathLike)) else voice

    def _source(self, given: "Given") -> "Source":
        from vqvc.conversion.source import Source

        return Source.of(given, self.sample_rate)

    def _checked(self, codes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        codes = np.asarray(codes)
        if codes.ndim != 1 or not len(codes) or codes.dtype.kind not in "iu":
            raise UsageError(f"codes of shape {codes.shape} and type {codes.dtype}: give whole numbers, (T,)")
        size = len(self.model.quantizer.codebook)
        if codes.min() < 0 or codes.max() >= size:
            raise UsageError(f"codes from {codes.min()} to {codes.max()}: this model's codebook has 0 to {size - 1}")
        return codes.astype(np.int64)


def _as_source(samples: np.ndarray[Any, Any], source: "Analysis") -> np.ndarray[Any, Any]:
    """Samples at the level of training, as long and as loud as their source."""
    level: np.ndarray[Any, Any] = samples[: source.length_samples] * np.float32(10 ** (-source.gain_db / 20))
    return level


def _report(failed: Callable[[int, VqvcError], object] | None, number: int, error: VqvcError) -> None:
    if failed is None:
        raise error
    failed(number, error)
