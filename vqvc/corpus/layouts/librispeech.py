"""LibriSpeech as it is unpacked (Panayotov et al. 2015), whole or a part of it.

    SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-UTT.flac + SPEAKER-CHAPTER.trans.txt     SPEAKERS.TXT

Speakers are the reader numbers; subsets (dev-clean, train-other-500) are taken together.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

from vqvc._util import textfile
from vqvc.audio.folder import recordings_in
from vqvc.corpus.source import Source, Speaker, clean_text, gender_of
from vqvc.errors import CorpusError

NAME = "librispeech"
PICTURE = "SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-UTT.flac with SPEAKER-CHAPTER.trans.txt"
TEXTS = "*.trans.txt"
DEEPEST = 4  # folders between the source and a chapter's files, at most
_UTTERANCE = re.compile(r"(?P<speaker>\d+)-(?P<chapter>\d+)-\d+")


def find(source: Path) -> Path | None:
    """``source`` when it holds chapters with their transcripts, at any of the usual depths."""
    return (
        source
        if any(path.name == f"{chapter_of(path, '-')}.trans.txt" for path in in_chapters(source, TEXTS))
        else None
    )


def read(source: str | Path) -> Source:
    """Read the corpus; raises CorpusError when nothing in it is named as LibriSpeech names recordings."""
    source = Path(source)
    result = Source(source, NAME)
    found = recordings_in(source)
    takes = {path.stem: path for path in found.recordings if _is_utterance(path)}
    texts = _transcripts({path.parent for path in (*takes.values(), *in_chapters(source, TEXTS))})
    for utt_id, path in sorted(takes.items()):
        result.add(utt_id, utt_id.partition("-")[0], path, texts.get(utt_id, ""))
    if not result.items:
        raise CorpusError(f"{source}: holds no recordings of LibriSpeech ({PICTURE}); unpack the corpus again")
    result.leave_out_texts(set(texts) - set(takes), "it stands in a .trans.txt")
    result.leave_out_rest(found)
    read_speakers(source, result)
    return result


def in_chapters(source: Path, names: str) -> Iterator[Path]:
    """The files of that name (a glob pattern) at any depth at which chapters usually lie."""
    for depth in range(1, DEEPEST + 1):
        yield from source.glob("*/" * depth + names)


def chapter_of(path: Path, separator: str) -> str:
    """How the names of a chapter's files begin: speaker and chapter, which are the folders above."""
    return f"{path.parent.parent.name}{separator}{path.parent.name}"


def _is_utterance(path: Path) -> bool:
    match = _UTTERANCE.fullmatch(path.stem)
    return bool(match) and (path.parent.parent.name, path.parent.name) == (match["speaker"], match["chapter"])


def _transcripts(chapters: Collection[Path]) -> dict[str, str]:
    lines = (
        line
        for folder in sorted(chapters)
        for path in sorted(folder.glob("[!.]*.trans.txt"))
        for line in textfile.read(path).split("\n")
    )
    return {words[0]: clean_text(words[1]) for words in (line.split(maxsplit=1) for line in lines) if len(words) == 2}


def read_speakers(source: Path, result: Source) -> None:
    """Genders from SPEAKERS.TXT (``id | sex | subset | ...``) in the corpus, one folder below or one above ``source``."""
    places = [source, *sorted(entry for entry in source.iterdir() if entry.is_dir()), source.resolve().parent]
    tables = [path for place in places for path in sorted(place.glob("[Ss][Pp][Ee][Aa][Kk][Ee][Rr][Ss].[Tt][Xx][Tt]"))]
    names = {item.speaker for item in result.items}
    if not tables:
        result.notes.append("SPEAKERS.TXT is missing; genders unknown")
        return
    for line in textfile.read(tables[0], fallback="cp1252").split("\n"):
        cells = [cell.strip() for cell in line.split("|")]
        if cells[0] in names and len(cells) > 1:
            result.speakers[cells[0]] = Speaker(cells[0], gender_of(cells[1]))
