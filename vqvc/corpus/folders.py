"""Any corpus of one folder per speaker, the speaker's name being the folder's.

wav/SPEAKER/UTT.wav + txt/SPEAKER/UTT.txt + speakers.tsv     (speakers.tsv: speaker, gender, accent)
SPEAKER/.../UTT.flac + UTT.txt or UTT.lab beside it, or LibriSpeech's *.trans.txt
"""

import os
from pathlib import Path

from vqvc.corpus.source import (
    AUDIO_SUFFIXES,
    Item,
    LeftOut,
    Source,
    Speaker,
    clean_text,
    gender_of,
    name_problem,
    read_text_file,
)
from vqvc.errors import CorpusError

SKIPPED = {"txt", "phones"}  # folders beside wav/ that hold no recordings


def read(source: str | Path) -> Source:
    """Read the corpus; raises CorpusError when no folder in it holds recordings."""
    source = Path(source)
    root = source / "wav" if (source / "wav").is_dir() else source
    result = Source(source, "folders")
    seen: dict[str, Path] = {}
    for folder in sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")):
        if root == source and folder.name in SKIPPED:
            continue
        paths = _recordings(folder)
        speaker = "_".join(folder.name.split())
        trans = _trans_files(folder) if paths else {}
        for path in paths:
            _add(result, seen, source, speaker, path, trans)
    if not result.items:
        raise CorpusError(f"{source}: no recordings in folders of speakers (SPEAKER/*.wav); see --help for the layouts")
    _read_speakers(source, result)
    return result


def _recordings(folder: Path) -> list[Path]:
    found = []
    for base, folders, names in os.walk(folder):
        folders.sort()
        found += [
            Path(base, name) for name in names if name.lower().endswith(AUDIO_SUFFIXES) and not name.startswith(".")
        ]
    return sorted(found)


def _add(result: Source, seen: dict[str, Path], source: Path, speaker: str, path: Path, trans: dict[str, str]) -> None:
    stem = "_".join(path.stem.split()).encode(errors="replace").decode()
    utt_id = stem if stem.startswith((f"{speaker}_", f"{speaker}-")) else f"{speaker}_{stem}"
    problem = name_problem(path)
    if problem:
        result.left_out.append(LeftOut(utt_id, "file name cannot be listed", problem))
    elif utt_id in seen:
        result.left_out.append(LeftOut(utt_id, "duplicate utterance id", f"{path}: {seen[utt_id]} has it"))
    else:
        seen[utt_id] = path
        result.items.append(Item(utt_id, speaker, path, _text(source, path, trans)))


def _text(source: Path, path: Path, trans: dict[str, str]) -> str:
    if path.stem in trans:
        return trans[path.stem]
    candidates = [path.with_suffix(".txt"), path.with_suffix(".lab")]
    if path.is_relative_to(source / "wav"):
        candidates.append((source / "txt" / path.relative_to(source / "wav")).with_suffix(".txt"))
    return next((read_text_file(candidate) for candidate in candidates if candidate.is_file()), "")


def _trans_files(folder: Path) -> dict[str, str]:
    """LibriSpeech: lines of ``utt_id WORDS`` in *.trans.txt."""
    lines = (
        line for path in sorted(folder.rglob("*.trans.txt")) for line in path.read_text(encoding="utf-8").splitlines()
    )
    return {words[0]: clean_text(words[1]) for words in (line.split(maxsplit=1) for line in lines) if len(words) == 2}


def _read_speakers(source: Path, result: Source) -> None:
    table = source / "speakers.tsv"
    names = {item.speaker for item in result.items}
    if not table.is_file():
        return
    header, *lines = table.read_text(encoding="utf-8").splitlines() or [""]
    columns = header.split("\t")
    for line in lines:
        row = dict(zip(columns, line.split("\t")))
        name = row.get("speaker", "")
        if name in names:
            result.speakers[name] = Speaker(name, gender_of(row.get("gender", "")), row.get("accent", ""))
