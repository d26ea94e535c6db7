"""VCTK in its own layouts, 0.80 and 0.92, with each release's known faults found, named and counted.

    0.80   wav48/p225/p225_001.wav                                txt/...   speaker-info.txt (ids without p)
    0.92   wav48_silence_trimmed/p225/p225_001_mic{1,2}.flac      txt/...   speaker-info.txt (ids with p)

An utterance is called p225_001 in both, so the same audio makes the same store. Faults are recognised by what is on
disk, not by a list of names: so a repaired copy has none, and a subset has only its own.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from vqvc._util import textfile
from vqvc.corpus.source import Item, LeftOut, Source, Speaker, find_root, gender_of, read_text_file, subfolders
from vqvc.errors import CorpusError, UsageError

NAME = "vctk"
PICTURE = "wav48/SPEAKER (release 0.80) or wav48_silence_trimmed/SPEAKER (0.92), with txt/SPEAKER"
MICS = ("mic1", "mic2")
_NAME = re.compile(r"^(?P<utt>(?P<speaker>[A-Za-z0-9]+)_\d+)(?:_(?P<mic>mic[12]))?\.(?:wav|flac)$")


@dataclass(frozen=True)
class Release:
    """One layout of the corpus."""

    name: str
    audio: str  # folder
    has_mics: bool


RELEASES = (Release("0.92", "wav48_silence_trimmed", True), Release("0.80", "wav48", False))


def find(source: Path) -> Path | None:
    """The folder of the corpus: ``source`` or one below; None when it is not VCTK."""
    return find_root(source, lambda root: _release(root) is not None)


def _release(root: Path) -> Release | None:
    return next((release for release in RELEASES if (root / release.audio).is_dir()), None)


def read(source: str | Path, mic: str = "mic2") -> Source:
    """Read a release; raises UsageError when ``source`` holds none, CorpusError when it holds no audio."""
    source = Path(source)
    if mic not in MICS:
        raise UsageError(f"--mic {mic}: is not one of {', '.join(MICS)}")
    root = find(source)
    if root is None:
        names = " or ".join(release.audio for release in RELEASES)
        raise UsageError(f"{source}: is not VCTK (no folder {names}); give the folder that holds it")
    release = _release(root)
    result = Source(source, NAME, release.name, mic if release.has_mics else "")
    takes = _takes(root / release.audio, release, result)
    if not takes:
        raise CorpusError(f"{root / release.audio}: holds no recordings; unpack the corpus again")
    texts = _transcripts(root / "txt")
    for utt_id in sorted(takes):
        path = takes[utt_id].get(result.mic) or takes[utt_id][min(takes[utt_id])]
        text = read_text_file(texts[utt_id]) if utt_id in texts else ""
        result.items.append(Item(utt_id, _speaker(utt_id), path, text))
    _note_microphones(takes, result)
    _note_transcripts(takes, texts, result)
    _read_speakers(root, result)
    return result


def _speaker(utt_id: str) -> str:
    return utt_id.partition("_")[0]


def _takes(audio: Path, release: Release, result: Source) -> dict[str, dict[str, Path]]:
    """utt_id -> microphone ("" in 0.80) -> recording. Folders are read by their names, so s5 counts like p225."""
    found: dict[str, dict[str, Path]] = {}
    for folder in subfolders(audio):
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
        if not names:
            result.notes.append(f"{folder.name}: its folder is empty")
        for name in names:
            match = _NAME.match(name)
            if not match or match["speaker"] != folder.name or bool(match["mic"]) != release.has_mics:
                shown = f"{folder.name}/{name}".encode(errors="replace").decode()
                result.left_out.append(
                    LeftOut("_".join(shown.split()), "unknown file name", f"not an utterance of VCTK {release.name}")
                )
                continue
            takes = found.setdefault(match["utt"], {})
            if (match["mic"] or "") in takes:
                result.left_out.append(
                    LeftOut(f"{folder.name}/{name}", "second file of one utterance", "the first is used")
                )
            else:
                takes[match["mic"] or ""] = folder / name
        if not folder.name.startswith("p"):
            result.notes.append(f"{folder.name}: does not begin with p like the others; read all the same")
    strange = sum(item.reason == "unknown file name" for item in result.left_out)
    if strange:
        result.notes.append(f"{strange} files whose names are not those of utterances; left out")
    return found


def _transcripts(folder: Path) -> dict[str, Path]:
    """utt_id -> transcript file."""
    return {path.stem: path for speaker in subfolders(folder) for path in sorted(speaker.glob("[!.]*.txt"))}


def _note_microphones(takes: dict[str, dict[str, Path]], result: Source) -> None:
    if not result.mic:
        return
    total = Counter(_speaker(utt_id) for utt_id in takes)
    lacking = Counter(_speaker(utt_id) for utt_id, found in takes.items() if result.mic not in found)
    other = next(mic for mic in MICS if mic != result.mic)
    for speaker, count in sorted(lacking.items()):
        whole = (
            f"no {result.mic} recordings"
            if count == total[speaker]
            else f"{count} of {total[speaker]} lack {result.mic}"
        )
        result.notes.append(f"{speaker}: {whole}; {other} used for {count} utterances")


def _note_transcripts(takes: dict[str, dict[str, Path]], texts: dict[str, Path], result: Source) -> None:
    total = Counter(map(_speaker, takes))
    without = Counter(_speaker(utt_id) for utt_id in takes if utt_id not in texts)
    for speaker, count in sorted(without.items()):
        whole = "no transcripts" if count == total[speaker] else f"{count} of {total[speaker]} lack a transcript"
        result.notes.append(f"{speaker}: {whole}; {count} utterances kept without text")
    alone = sorted(set(texts) - set(takes))
    result.left_out += [LeftOut(utt_id, "transcript without audio", f"{utt_id}.txt") for utt_id in alone]
    for speaker, count in sorted(Counter(map(_speaker, alone)).items()):
        result.notes.append(f"{speaker}: {count} transcripts without audio; left out")


def _read_speakers(root: Path, result: Source) -> None:
    """Gender and accent from speaker-info.txt, whose ids have a ``p`` in 0.92 and none in 0.80."""
    names = {item.speaker for item in result.items}
    path = root / "speaker-info.txt"
    if not path.is_file():
        result.notes.append("speaker-info.txt is missing; genders and accents unknown")
        return
    listed = set()
    for line in textfile.read(path, fallback="cp1252").split("\n")[1:]:
        words = line.split("(")[0].split()
        if len(words) < 3:
            continue
        name = words[0] if words[0] in names or not words[0].isdigit() else f"p{words[0]}"
        listed.add(name)
        if name in names:
            result.speakers[name] = Speaker(name, gender_of(words[2]), words[3] if len(words) > 3 else "")
    for name in sorted(names - listed):
        result.notes.append(f"{name}: not in speaker-info.txt; gender and accent unknown")
    missing = sorted(listed - names)
    if missing:
        result.notes.append(
            f"{len(missing)} speakers in speaker-info.txt without recordings: {' '.join(missing[:5])}{' ...' if missing[5:] else ''}"
        )
