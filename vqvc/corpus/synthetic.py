"""The built-in voices: a small parallel corpus that vqvc synthesizes itself, with exact phone times.

    out/wav/SPEAKER/SPEAKER_001.wav   22,050 Hz, int16      out/txt/SPEAKER/SPEAKER_001.txt
    out/phones/SPEAKER/SPEAKER_001.TextGrid                 out/speakers.tsv (speaker, gender, accent)

Twelve formant voices of eSpeak NG, which differ in pitch, vocal tract, rate and accent. The first eight sentences are
common to all speakers (parallel references); the others are mostly a speaker's own. Each speaker is synthesized by a fresh
process, for the library's noise depends on what it synthesized before: the bytes are the same however many jobs there are.
"""

import functools
import logging
import multiprocessing
import wave
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from vqvc._util import atomic, lock, unfinished
from vqvc.corpus import espeak, phones, textgrid
from vqvc.errors import CorpusError, UsageError

logger = logging.getLogger("vqvc.corpus")

COMMON = 8  # sentences that every speaker reads
STRIDE = 25  # sentences between the first own one of a speaker and of the next
KINDS, SPEAKERS = ("wav", "txt", "phones"), "speakers.tsv"
STOPS = ("b", "ch", "d", "g", "jh", "k", "p", "t")


@dataclass(frozen=True)
class Voice:
    """A speaker. Pitch and its range run from 0 to 100, 50 being the variant's own; rate in words per minute."""

    name: str
    gender: str
    accent: str
    variant: str  # eSpeak NG's voice+variant
    pitch: int
    pitch_range: int
    rate_wpm: int


# No variant with a "breath" line: eSpeak NG 1.52 reads unset memory for it, and the noise differs from run to run.
VOICES = (
    Voice("amber", "f", "American", "en-us+f1", 58, 60, 165),
    Voice("basil", "m", "American", "en-us+m3", 50, 50, 160),
    Voice("clove", "f", "American", "en-us+Annie", 55, 60, 175),
    Voice("dill", "m", "American", "en-us+m8", 42, 40, 150),
    Voice("elder", "f", "English", "en-gb-x-rp+belinda", 30, 45, 155),
    Voice("fennel", "m", "American", "en-us+Michael", 68, 60, 185),
    Voice("ginger", "f", "American", "en-us+steph", 40, 70, 150),
    Voice("heath", "m", "Scottish", "en-gb-scotland+m5", 58, 70, 165),
    Voice("iris", "f", "American", "en-us+shelby", 70, 75, 190),
    Voice("juniper", "m", "American", "en-us+adam", 85, 45, 170),
    Voice("kelp", "f", "American", "en-us+grandma", 45, 75, 160),
    Voice("laurel", "m", "English", "en-gb-x-rp+david", 45, 60, 160),
)


@dataclass(frozen=True)
class Made:
    """What was generated."""

    speakers: int
    utterances: int
    seconds: float  # of speech


def sentences() -> tuple[str, ...]:
    """All prompts, written for this corpus."""
    return tuple(resources.files("vqvc.corpus").joinpath("sentences.txt").read_text(encoding="utf-8").splitlines())


def prompts(place: int, count: int) -> tuple[str, ...]:
    """The first ``count`` prompts of the speaker at ``place`` in VOICES; a larger count only adds to them."""
    common, own = sentences()[:COMMON], sentences()[COMMON:]
    chosen = common + tuple(own[(place * STRIDE + step) % len(own)] for step in range(len(own)))
    return chosen[:count]


def generate(out: str | Path, *, speakers: int = 8, count: int = 40, jobs: int = 1, overwrite: bool = False) -> Made:
    """Write the corpus into the folder ``out``; raises UsageError, MissingExtraError or CorpusError.

    The work is done in ``<out>.partial``, which becomes ``out`` when all of it is there.
    """
    if not 1 <= speakers <= len(VOICES):
        raise UsageError(f"speakers: there are {len(VOICES)} built-in voices; give 1 to {len(VOICES)}, not {speakers}")
    if not 1 <= count <= len(sentences()):
        raise UsageError(f"sentences: there are {len(sentences())}; give 1 to {len(sentences())}, not {count}")
    out = Path(out)
    if out.exists() and not overwrite:
        raise UsageError(f"{out}: exists already; give --overwrite to replace it")
    if out.exists():
        unfinished.require_only(out, (*KINDS, SPEAKERS))
    with lock.Lock(out):
        with unfinished.replacing(out, overwrite=overwrite) as partial:
            seconds = sum(_synthesize_all(partial, speakers, count, jobs))
            table = ["speaker\tgender\taccent"] + [
                f"{voice.name}\t{voice.gender}\t{voice.accent}" for voice in VOICES[:speakers]
            ]
            atomic.write_text(partial / SPEAKERS, "\n".join(table) + "\n")
    return Made(speakers, speakers * count, seconds)


def _synthesize_all(folder: Path, speakers: int, count: int, jobs: int) -> Iterator[float]:
    """Seconds of speech of each speaker, as they are done."""
    with ThreadPoolExecutor(max(1, min(jobs, speakers))) as threads:
        for place, seconds in enumerate(
            threads.map(functools.partial(_in_fresh_process, folder, count), range(speakers))
        ):
            logger.info("%s: %d sentences, %.1f s of speech", VOICES[place].name, count, seconds)
            yield seconds


def _in_fresh_process(folder: Path, count: int, place: int) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(synthesize_speaker, folder, place, count).result()
        except BrokenProcessPool:
            raise CorpusError(f"{VOICES[place].name}: its process died (out of memory?); run again") from None


def synthesize_speaker(folder: Path, place: int, count: int) -> float:
    """Write one speaker's utterances into ``folder``; returns seconds of speech. Call once per process."""
    voice = VOICES[place]
    synthesiser = espeak.Synthesiser()
    synthesiser.voice(voice.variant, pitch=voice.pitch, pitch_range=voice.pitch_range, rate_wpm=voice.rate_wpm)
    for kind in KINDS:
        (folder / kind / voice.name).mkdir(parents=True, exist_ok=True)
    total = 0.0
    for number, text in enumerate(prompts(place, count), 1):
        utt_id = f"{voice.name}_{number:03d}"
        speech = synthesiser.synthesize(text)
        with wave.open(str(folder / "wav" / voice.name / f"{utt_id}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(speech.sample_rate)
            file.writeframes(speech.pcm)
        (folder / "txt" / voice.name / f"{utt_id}.txt").write_text(text + "\n", encoding="utf-8")
        grid = textgrid.format_long(phone_grid(speech))
        (folder / "phones" / voice.name / f"{utt_id}.TextGrid").write_text(grid, encoding="utf-8")
        total += speech.length_samples / speech.sample_rate
    return total


def phone_grid(speech: espeak.Synthesis) -> textgrid.TextGrid:
    """One tier ``phones`` of the 41 classes, without gaps.

    Boundaries are the synthesiser's, to the sample, but that the silence before a stop (its closure) goes to the stop
    and a nameless glide between vowels to the vowel before. A phoneme that stands for two classes is cut in its middle.
    """
    rate = speech.sample_rate
    end_s = speech.length_samples / rate
    intervals = tuple(textgrid.Interval(start / rate, end / rate, phone) for start, end, phone in _spans(speech))
    return textgrid.TextGrid(0.0, end_s, (textgrid.Tier("phones", 0.0, end_s, intervals),))


def _spans(speech: espeak.Synthesis) -> list[tuple[int, int, str]]:
    """(first sample, end sample, class), none empty, covering everything."""
    sounding = np.flatnonzero(np.frombuffer(speech.pcm, np.int16))
    events = [(0, ""), *((min(start, speech.length_samples), label) for start, label in speech.phonemes)]
    result: list[tuple[int, int, str]] = []
    for (start, label), (end, _) in zip(events, [*events[1:], (speech.length_samples, "")]):
        if end <= start:
            continue
        classes = phones.from_espeak(label)
        before = int(np.searchsorted(sounding, start))
        joined = result and label == "" and before < len(sounding) and sounding[before] < end  # a glide
        joined = joined or (result and classes == (phones.PAUSE,) == (result[-1][2],))
        if joined:
            start, _, phone = result.pop()
            classes = (phone,)
        elif result and classes[0] in STOPS and result[-1][2] != phones.PAUSE:
            silence = max(int(sounding[before - 1]) + 1, result[-1][0] + 1) if before else start
            result[-1] = (result[-1][0], min(silence, start), result[-1][2])
            start = result[-1][1]
        cuts = [start + (end - start) * part // len(classes) for part in range(len(classes) + 1)]
        result += [(first, last, phone) for first, last, phone in zip(cuts, cuts[1:], classes) if last > first]
    return result
