"""The packed store: every utterance of a corpus in one file of 16-bit samples, read by memory map.

    dump/audio.s16      int16 little endian, utterances one after the other, no header
    dump/utts.tsv       one line per utterance, in byte order of utt_id
    dump/speakers.tsv   speaker, gender, accent
    dump/store.json     format version, sample rate, level, total, checksums of the other files
    dump/perturbed-1.s16, ..., perturbed.json   where they were asked for: perturbed copies, see ``perturbation``
    dump/converted-1.s16, ..., converted.json   likewise: conversions by a model, see ``converted_copies``

A sample is int16 / 32768. Needs NumPy alone. The writer is in ``store_writer``.
"""

import json
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np

from vqvc._util.checksum import sha256_of_file
from vqvc.corpus import ids
from vqvc.errors import CorpusError

FORMAT_VERSION = 1
FULL_SCALE = 32768.0
AUDIO, UTTERANCES, SPEAKERS, STORE, LEFT_OUT = "audio.s16", "utts.tsv", "speakers.tsv", "store.json", "left_out.tsv"
PERTURBED, CONVERTED = COPIES = ("perturbed", "converted")  # kinds of copies of the audio
WRITTEN = (
    AUDIO,
    UTTERANCES,
    SPEAKERS,
    STORE,
    LEFT_OUT,
    "perturbed.json",
    "perturbed-*.s16*",
    "converted.json",
    "converted-*.s16*",
    ".partial-*",
)  # and nothing else


@dataclass(frozen=True)
class Utterance:
    """A line of utts.tsv; lengths in samples of the store's rate."""

    utt_id: str
    speaker: str
    subset: str  # train, dev or test
    offset_samples: int  # where it begins in audio.s16
    length_samples: int
    trim_start_samples: int  # silence cut from the source's start
    gain_db: float  # what the source was multiplied by
    text: str  # empty when unknown


@dataclass(frozen=True)
class Speaker:
    """A line of speakers.tsv; unknown fields are empty."""

    speaker: str
    gender: str = ""  # f or m
    accent: str = ""


class PackedStore:
    """A store on disk. Opening reads the tables; samples are read when asked for. May be pickled to workers."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        facts = self._read_facts()
        self.sample_rate: int = facts["sample_rate"]  # Hz
        self.level_rms: float = facts["level_rms"]
        self.total_samples: int = facts["total_samples"]
        self.sha256: str = facts["sha256"]
        self.inputs: str = facts.get("inputs", "")  # fingerprint of what it was made from
        self.tables: dict[str, str] = facts.get("tables", {})  # SHA-256 of each table; stores of old versions have none
        self.utterances: tuple[Utterance, ...] = tuple(read_table(self.path / UTTERANCES, Utterance))
        self.speakers: tuple[Speaker, ...] = tuple(read_table(self.path / SPEAKERS, Speaker))
        self._check_tables()
        self.copies_facts: dict[str, dict] = {kind: self._read_copies_facts(kind) for kind in COPIES}

    def __reduce__(self):
        return type(self), (self.path,)

    def __len__(self) -> int:
        return len(self.utterances)

    def _read_facts(self) -> dict:
        target = self.path / STORE
        try:
            facts = json.loads(target.read_text(encoding="utf-8"))
            version = facts["format_version"]
            whole = version != FORMAT_VERSION or _are_facts(facts)
        except FileNotFoundError:
            raise CorpusError(
                f"{self.path}: no packed store here ({STORE} is missing); make one with vqvc-pack"
            ) from None
        except (ValueError, KeyError, TypeError):
            raise CorpusError(f"{target}: is damaged; run vqvc-pack again") from None
        if version != FORMAT_VERSION:
            raise CorpusError(
                f"{target}: format {version}, this version reads format {FORMAT_VERSION}; run vqvc-pack again"
            )
        if not whole:
            raise CorpusError(f"{target}: is damaged; run vqvc-pack again")
        return facts

    def _check_tables(self) -> None:
        audio = self.path / AUDIO
        held = audio.stat().st_size if audio.exists() else -1
        if held != 2 * self.total_samples:
            raise CorpusError(
                f"{audio}: {2 * self.total_samples} bytes expected, {max(held, 0)} found; run vqvc-pack again"
            )
        ids.require([utterance.utt_id for utterance in self.utterances], self.path / UTTERANCES)
        ids.require([speaker.speaker for speaker in self.speakers], self.path / SPEAKERS, "speaker")
        unlisted = {utterance.speaker for utterance in self.utterances} - {speaker.speaker for speaker in self.speakers}
        if unlisted:
            raise CorpusError(
                f"{self.path / SPEAKERS}: lacks {ids.shown(min(unlisted))}, a speaker of {UTTERANCES}; run vqvc-pack again"
            )
        end = 0
        for utterance in self.utterances:
            if utterance.offset_samples != end or utterance.length_samples < 1:
                raise CorpusError(
                    f"{self.path / UTTERANCES}: {utterance.utt_id} does not follow the one before; run vqvc-pack again"
                )
            end += utterance.length_samples
        if end != self.total_samples:
            raise CorpusError(
                f"{self.path / UTTERANCES}: describes {end} of {self.total_samples} samples; run vqvc-pack again"
            )
        for name, checksum in self.tables.items():
            if name not in (UTTERANCES, SPEAKERS) or sha256_of_file(self.path / name) != checksum:
                raise CorpusError(f"{self.path / name}: is not the one that was packed; run vqvc-pack again")

    @cached_property
    def audio(self) -> np.ndarray:
        """(total_samples,) int16, mapped read-only."""
        if self.total_samples == 0:
            return np.zeros(0, "<i2")
        return np.memmap(self.path / AUDIO, dtype="<i2", mode="r")

    def _read_copies_facts(self, kind: str) -> dict:
        target = self.path / copies_table(kind)
        if not target.exists():
            return {}
        try:
            facts = json.loads(target.read_text(encoding="utf-8"))
            sizes = [
                (self.path / copy_name(kind, number)).stat().st_size for number, _ in enumerate(facts["sha256"], 1)
            ]
            sound = facts["audio_sha256"] == self.sha256 and all(size == 2 * self.total_samples for size in sizes)
        except (ValueError, KeyError, TypeError, OSError):
            sound = False
        if not sound:
            option = {PERTURBED: "--perturb", CONVERTED: "--converted"}[kind]
            raise CorpusError(
                f"{target}: its copies are not those of {AUDIO}; delete it and run vqvc-pack {option} again"
            )
        return facts

    @property
    def copies_sha256(self) -> dict[str, str]:
        """The checksum of every copy, by file name: perturbed ones, then converted ones."""
        return {
            copy_name(kind, number): checksum
            for kind, facts in self.copies_facts.items()
            for number, checksum in enumerate(facts.get("sha256", ()), 1)
        }

    @cached_property
    def copies(self) -> tuple[np.ndarray, ...]:
        """Copies of ``audio``: the same words at the same times in other voices. Each (total_samples,) int16, mapped read-only."""
        return tuple(np.memmap(self.path / name, dtype="<i2", mode="r") for name in self.copies_sha256)

    @cached_property
    def _by_id(self) -> dict[str, Utterance]:
        return {utterance.utt_id: utterance for utterance in self.utterances}

    def utterance(self, utt_id: str) -> Utterance:
        """The utterance of that name; raises CorpusError when there is none."""
        try:
            return self._by_id[utt_id]
        except KeyError:
            raise CorpusError(f"{self.path}: holds no utterance {utt_id!r}; {UTTERANCES} lists what it holds") from None

    def subset(self, name: str) -> tuple[Utterance, ...]:
        """The utterances of ``train``, ``dev`` or ``test``; empty when there are none."""
        return tuple(utterance for utterance in self.utterances if utterance.subset == name)

    def waveform(self, utterance: Utterance | str) -> np.ndarray:
        """(length_samples,) float32 in [-1, 1), a copy."""
        if isinstance(utterance, str):
            utterance = self.utterance(utterance)
        start = utterance.offset_samples
        return self.audio[start : start + utterance.length_samples].astype(np.float32) / np.float32(FULL_SCALE)

    def verify(self) -> None:
        """Read all samples, those of copies too, and compare checksums; raises CorpusError when one differs."""
        for name, expected in {AUDIO: self.sha256, **self.copies_sha256}.items():
            found = sha256_of_file(self.path / name)
            if found != expected:
                raise CorpusError(
                    f"{self.path / name}: checksum {found[:12]}, expected {expected[:12]}; run vqvc-pack again"
                )


def _are_facts(facts: dict) -> bool:
    """Whether store.json holds what a store needs, in its types and ranges."""
    rate, level, total = facts["sample_rate"], facts["level_rms"], facts["total_samples"]
    return (
        isinstance(rate, int)
        and 0 < rate <= 1_000_000
        and isinstance(level, (int, float))
        and 0 < level <= 1
        and isinstance(total, int)
        and total >= 0
        and isinstance(facts["sha256"], str)
        and isinstance(facts.get("inputs", ""), str)
        and isinstance(facts.get("tables", {}), dict)
    )


def copy_name(kind: str, number: int | str) -> str:
    """The file of copy 1, 2, ... of a kind of ``COPIES``; of ``*``, the pattern of all of them."""
    return f"{kind}-{number}.s16"


def copies_table(kind: str) -> str:
    """The file that says how the copies of a kind were made."""
    return f"{kind}.json"


def read_table(path: Path, kind: type) -> list:
    """The lines of a TSV file with a header as dataclasses of ``kind``; raises CorpusError with the line."""
    names = [field.name for field in fields(kind)]
    converters = [field.type if callable(field.type) else str for field in fields(kind)]
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise CorpusError(f"{path}: no such file; run the stage that writes it again") from None
    except UnicodeDecodeError:
        raise CorpusError(f"{path}: is not UTF-8 text; run the stage that writes it again") from None
    if lines[0].split("\t") != names:
        raise CorpusError(f"{path}:1: the header should be {' '.join(names)}")
    result = []
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        try:
            result.append(kind(*(convert(value) for convert, value in zip(converters, line.split("\t"), strict=True))))
        except ValueError:
            raise CorpusError(f"{path}:{number}: should hold {len(names)} fields: {' '.join(names)}") from None
    return result


def format_table(kind: type, rows: list) -> str:
    """The text that ``read_table`` reads."""
    names = [field.name for field in fields(kind)]
    lines = ["\t".join(names)]
    lines += ["\t".join(_cell(getattr(row, name)) for name in names) for row in rows]
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else " ".join(str(value).split())
