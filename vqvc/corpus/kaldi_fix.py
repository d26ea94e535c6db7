"""Mending a Kaldi data directory: what can be put right without guessing, with the old files kept.

Lines are brought to LF, sorted by byte order, equal keys reduced to the first; utterances that some list lacks are
dropped from the others and counted; spk2utt is made again. Pipes are dropped as well: their commands are not run.
"""

import secrets
import shutil
from pathlib import Path

from vqvc._util import atomic, platform
from vqvc.corpus import kaldi_dir
from vqvc.errors import CorpusError

BACKUP = ".backup"
SHOWN = 5


def fix(directory: str | Path) -> list[str]:
    """Mend the directory; returns a line for each change (none: nothing was written).

    Raises CorpusError, with everything untouched, when nothing valid would be left.
    """
    directory = Path(directory)
    tables = kaldi_dir.read_tables(directory)
    if not kaldi_dir.problems_of(tables) and "spk2utt" in tables:
        return []
    found = [problem for table in tables.values() for problem in table.problems]
    changes = [f"{problem}: line dropped" for problem in found if problem.drops]
    changes += [f"{problem}: put right" for problem in found if not problem.drops]
    mended = {name: dict(table.rows) for name, table in tables.items()}
    changes += _drop_bad(mended)
    changes += _drop_unpaired(mended)
    if not mended["utt2spk"]:
        raise CorpusError(f"{directory}: no utterance would be left; nothing was changed")
    mended["spk2utt"] = _inverse(mended["utt2spk"])
    backup = _back_up(directory, list(tables))
    for name, rows in mended.items():
        text = "".join(f"{key} {rows[key]}".rstrip() + "\n" for key in sorted(rows, key=str.encode))
        atomic.write_text(directory / name, text)
    return [*changes, f"spk2utt: made from utt2spk; the old files are in {backup}"]


def _drop_bad(tables: dict[str, dict[str, str]]) -> list[str]:
    """Pipes, and segments that hold nothing."""
    changes = []
    for key in [key for key, value in tables["wav.scp"].items() if value.startswith("|") or value.endswith("|")]:
        del tables["wav.scp"][key]
        changes.append(f"wav.scp: {key}: a shell pipe; dropped, commands are not run")
    for key, value in list(tables.get("segments", {}).items()):
        problem = kaldi_dir.segment_problem(value)
        if problem:
            del tables["segments"][key]
            changes.append(f"segments: {key}: {problem}; dropped")
    return changes


def _drop_unpaired(tables: dict[str, dict[str, str]]) -> list[str]:
    """Keep the utterances that every list knows (text and genders may lack some)."""
    before = {name: set(rows) for name, rows in tables.items()}
    if "segments" in tables:
        known = {key for key, value in tables["segments"].items() if value.split()[0] in tables["wav.scp"]}
        kept = known & set(tables["utt2spk"])
        recordings = {tables["segments"][key].split()[0] for key in kept}
        limits = {"segments": kept, "wav.scp": recordings}
    else:
        kept = set(tables["wav.scp"]) & set(tables["utt2spk"])
        limits = {"wav.scp": kept}
    limits |= {"utt2spk": kept, "text": kept}
    limits["spk2gender"] = {tables["utt2spk"][key] for key in kept}
    changes = []
    for name, allowed in limits.items():
        lost = sorted(before.get(name, set()) - allowed, key=str.encode)
        for key in lost:
            del tables[name][key]
        if lost:
            shown = " ".join(lost[:SHOWN]) + (" ..." if lost[SHOWN:] else "")
            changes.append(f"{name}: {len(lost)} ids that another list lacks; dropped: {shown}")
    return changes


def _inverse(utt2spk: dict[str, str]) -> dict[str, str]:
    result: dict[str, list[str]] = {}
    for utt_id in sorted(utt2spk, key=str.encode):
        result.setdefault(utt2spk[utt_id], []).append(utt_id)
    return {speaker: " ".join(utts) for speaker, utts in result.items()}


def _back_up(directory: Path, names: list[str]) -> Path:
    backup = directory / BACKUP
    while backup.exists():
        backup = directory / f"{BACKUP}-{secrets.token_hex(3)}"
    backup.mkdir()
    for name in names:
        shutil.copy2(directory / name, backup / name)
    platform.fsync_directory(backup)
    return backup
