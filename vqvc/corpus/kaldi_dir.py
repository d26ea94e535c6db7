"""Kaldi data directories: read, write, and two verbs for what is wrong with one.

    wav.scp  utt2spk  spk2utt  and perhaps  text  spk2gender  segments

``validate`` looks and never writes; ``fix`` (in ``kaldi_fix``) writes and keeps a backup. An entry of wav.scp that is
a shell pipe is refused: nothing is ever run.
"""

import codecs
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vqvc._util import atomic, textfile
from vqvc.corpus import ids
from vqvc.corpus.source import Item, LeftOut, Source, Speaker, clean_text, gender_of, require_directory
from vqvc.errors import CorpusError

FIELDS = {
    "wav.scp": (2, None),
    "utt2spk": (2, 2),
    "text": (1, None),
    "segments": (4, 5),
    "spk2gender": (2, 2),
    "spk2utt": (2, None),
}
REQUIRED = ("wav.scp", "utt2spk")
SHOWN = 5  # ids named when lists disagree


@dataclass(frozen=True)
class Problem:
    """Something wrong with a data directory."""

    file: str
    line: int  # from 1; 0 for the file as a whole
    message: str
    drops: bool = False  # the line cannot be used
    readable: bool = False  # not as Kaldi has it, but what is meant is plain: an editor's encoding or line ends

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}" if self.line else f"{self.file}: {self.message}"


@dataclass
class Table:
    """A file of ``key value...`` lines."""

    rows: dict[str, str]
    lines: dict[str, int]  # where each key stands
    problems: list[Problem]


def read_table(path: Path) -> Table:
    """Parse one file; what is wrong with its lines is collected, the first of two equal keys is kept."""
    name = path.name
    table = Table({}, {}, [])
    low, high = FIELDS[name]
    previous = b""

    def report(line: int, message: str, **kind: bool) -> None:
        table.problems.append(Problem(name, line, message, **kind))

    data = _as_utf8(path.read_bytes(), report)

    lines = data.split(b"\n")
    if lines.pop():  # what stands after the last line end
        lines.append(data.rpartition(b"\n")[2])
        report(len(lines), "the last line has no line end")
    for number, raw in enumerate(lines, 1):
        if raw.endswith(b"\r"):
            report(number, "ends in CR LF; lines end in LF", readable=True)
        try:
            words = raw.decode("utf-8").split()
        except UnicodeDecodeError:
            report(number, "is not UTF-8", drops=True)
            continue
        count = len(words)
        if count < low or (high is not None and count > high):
            wanted = str(low) if high == low else f"{low} or {high}" if high else f"at least {low}"
            report(number, f"has {count} fields, should have {wanted}", drops=True)
            continue
        key = words[0]
        checked = words if name == "utt2spk" else words[:1]
        if wrong := next((f"id {ids.shown(word)} {ids.problem(word)}" for word in checked if ids.problem(word)), ""):
            report(number, wrong, drops=True)
            continue
        if key in table.rows:
            report(number, f"{key} stands twice (first on line {table.lines[key]})", drops=True)
            continue
        if key.encode() < previous:
            report(number, f"{key} is out of order (sort with LC_ALL=C)")
        previous = max(previous, key.encode())
        table.rows[key] = raw.decode("utf-8").strip().partition(words[0])[2].strip()
        table.lines[key] = number
    return table


def _as_utf8(data: bytes, report: Callable) -> bytes:
    """A list as UTF-8 without byte order mark, whatever an editor made of it."""
    encoding = textfile.encoding_of(data)
    if encoding != "utf-8-sig":
        try:
            data = data.decode(encoding).encode()
        except UnicodeDecodeError:
            report(1, f"is not {encoding.upper()}", drops=True)
            return b""
        report(1, "is in UTF-16; lists are in UTF-8", readable=True)
    if data.startswith(codecs.BOM_UTF8):
        report(1, "begins with a byte order mark", readable=True)
        data = data[len(codecs.BOM_UTF8) :]
    return data


def read_tables(directory: Path) -> dict[str, Table]:
    """All known files of the directory; raises CorpusError when a required one is missing."""
    require_directory(directory)
    missing = [name for name in REQUIRED if not (directory / name).is_file()]
    if missing:
        raise CorpusError(f"{directory}: no {missing[0]}; a data directory needs {' and '.join(REQUIRED)}")
    return {name: read_table(directory / name) for name in FIELDS if (directory / name).is_file()}


def validate(directory: str | Path) -> list[Problem]:
    """Everything wrong with a data directory, in the order of its files. Nothing is written, no audio is opened."""
    return problems_of(read_tables(Path(directory)))


def problems_of(tables: dict[str, Table], *, look_into_segments: bool = True) -> list[Problem]:
    """The same for tables already read; the times in ``segments`` may be left to the reader of its lines."""
    problems = [problem for table in tables.values() for problem in table.problems]
    scp, utt2spk = tables["wav.scp"], tables["utt2spk"]
    for key, value in scp.rows.items():
        if value.endswith("|") or value.startswith("|"):
            problems.append(
                Problem("wav.scp", scp.lines[key], f"{key} is a shell pipe; commands are not run, write the file first")
            )
    utterances = tables["segments"].rows if "segments" in tables else scp.rows
    owner = "segments" if "segments" in tables else "wav.scp"
    problems += _difference("utt2spk", set(utt2spk.rows), owner, set(utterances))
    if "text" in tables:
        problems += _missing("text", set(tables["text"].rows) - set(utt2spk.rows), "utt2spk")
    if "segments" in tables and look_into_segments:
        problems += _segments(tables["segments"], scp)
    if "spk2gender" in tables:
        problems += _missing("spk2gender", set(tables["spk2gender"].rows) - set(utt2spk.rows.values()), "utt2spk")
    if "spk2utt" in tables:
        listed = {(spk, utt) for spk, utts in tables["spk2utt"].rows.items() for utt in utts.split()}
        wanted = {(spk, utt) for utt, spk in utt2spk.rows.items()}
        wrong = sorted(utt for _, utt in listed ^ wanted)
        if wrong:
            problems.append(
                Problem(
                    "spk2utt", 0, f"is not the inverse of utt2spk for {len(set(wrong))} utterances: {_first(wrong)}"
                )
            )
    return problems


def _segments(segments: Table, scp: Table) -> list[Problem]:
    found = []
    for key, value in segments.rows.items():
        message = segment_problem(value) or (
            "" if value.split()[0] in scp.rows else f"recording {value.split()[0]} is not in wav.scp"
        )
        if message:
            found.append(Problem("segments", segments.lines[key], f"{key}: {message}"))
    return found


def segment_problem(value: str) -> str:
    """What is wrong with ``recording start end``, or nothing."""
    try:
        start, end = (float(word) for word in value.split()[1:3])
    except ValueError:
        return "start and end must be seconds"
    if not 0 <= start < float("inf"):
        return f"starts at {start:g} s, before the recording"
    if end != -1 and not end > start:
        return f"is empty ({start:g} s to {end:g} s)"
    return ""


def _difference(first: str, a: set[str], second: str, b: set[str]) -> list[Problem]:
    return _missing(first, a - b, second) + _missing(second, b - a, first)


def _missing(file: str, names: set[str], other: str) -> list[Problem]:
    return [Problem(file, 0, f"{len(names)} ids are not in {other}: {_first(sorted(names))}")] if names else []


def _first(names: list[str]) -> str:
    return " ".join(names[:SHOWN]) + (" ..." if len(names) > SHOWN else "")


def require_valid(directory: str | Path, problems: list[Problem] | None = None) -> None:
    """Raise CorpusError with the first problem and their number when there is any that keeps it from being read."""
    problems = validate(directory) if problems is None else problems
    problems = [problem for problem in problems if not problem.readable]
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        remedy = "see all with: vqvc-prepare --validate DIR, and mend with: vqvc-prepare --fix DIR"
        raise CorpusError(f"{directory}/{problems[0]}{more}; {remedy}")


def read(directory: str | Path) -> Source:
    """A data directory as a corpus. Bad segments are left out by line; anything else wrong raises CorpusError.

    Relative paths in wav.scp are taken from the directory itself, else from the working directory.
    """
    directory = Path(directory)
    tables = read_tables(directory)
    problems = problems_of(tables, look_into_segments=False)
    require_valid(directory, problems)
    result = Source(directory, "kaldi")
    for name in dict.fromkeys(problem.file for problem in problems):
        result.notes.append(f"{next(problem for problem in problems if problem.file == name)}; read all the same")
    text = tables["text"].rows if "text" in tables else {}
    genders = tables["spk2gender"].rows if "spk2gender" in tables else {}
    paths = {key: _path(directory, value) for key, value in tables["wav.scp"].rows.items()}
    speakers = tables["utt2spk"].rows
    if "segments" not in tables:
        result.items = [Item(utt, spk, paths[utt], clean_text(text.get(utt, ""))) for utt, spk in speakers.items()]
    else:
        _read_segments(tables["segments"], paths, speakers, text, result)
    result.speakers = {spk: Speaker(spk, gender_of(genders.get(spk, ""))) for spk in sorted(set(speakers.values()))}
    return result


def _read_segments(
    segments: Table, paths: dict[str, Path], speakers: dict[str, str], text: dict[str, str], result: Source
) -> None:
    for utt, value in segments.rows.items():
        recording, start, end = value.split()[:3]
        origin = f"segments:{segments.lines[utt]}"
        problem = segment_problem(value) or ("" if recording in paths else f"recording {recording} is not in wav.scp")
        if problem:
            result.left_out.append(LeftOut(utt, "bad segment", f"{origin}: {problem}"))
            continue
        end_s = None if float(end) == -1 else float(end)
        words = clean_text(text.get(utt, ""))
        result.items.append(Item(utt, speakers[utt], paths[recording], words, float(start), end_s, recording, origin))


def _path(directory: Path, value: str) -> Path:
    inside = directory / value
    return inside if inside.exists() else Path(os.path.abspath(value))


def write(directory: str | Path, items: Iterable[Item], speakers: dict[str, Speaker]) -> None:
    """Write the items as a data directory, sorted by byte order, each file atomically; paths are made absolute."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    items = sorted(items, key=lambda item: item.utt_id.encode())
    segmented = any(item.start_s is not None for item in items)
    recordings = {(item.recording_id or item.utt_id): os.path.abspath(item.path) for item in items}
    spk2utt: dict[str, list[str]] = {}
    for item in items:
        spk2utt.setdefault(item.speaker, []).append(item.utt_id)
    files = {
        "wav.scp": recordings,
        "utt2spk": {item.utt_id: item.speaker for item in items},
        "spk2utt": {speaker: " ".join(utts) for speaker, utts in spk2utt.items()},
        "text": {item.utt_id: item.text for item in items if item.text},
        "spk2gender": {name: speakers[name].gender for name in spk2utt if name in speakers and speakers[name].gender},
    }
    if segmented:
        files["segments"] = {item.utt_id: _segment(item) for item in items}
    for name, rows in files.items():
        atomic.write_text(directory / name, "".join(f"{key} {rows[key]}\n" for key in sorted(rows, key=str.encode)))


def _segment(item: Item) -> str:
    end = "-1" if item.end_s is None else f"{item.end_s:.6f}"
    return f"{item.recording_id or item.utt_id} {item.start_s or 0:.6f} {end}"
