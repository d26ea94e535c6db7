"""JVS, a hundred speakers of Japanese (Takamichi et al. 2019).

    jvs001/STYLE/wav24kHz16bit/UTT.wav + jvs001/STYLE/transcripts_utf8.txt (lines of ``UTT:text``)
    gender_f0range.txt (lines of ``jvs001 M 70 300``)

Names repeat between the styles (parallel100, nonpara30, whisper10, falset10), so the style stands in the id:
jvs001_whisper10_VOICEACTRESS100_001.
"""

import re
from pathlib import Path

from vqvc._util import textfile
from vqvc.audio.folder import recordings_in
from vqvc.corpus import ids
from vqvc.corpus.source import Source, Speaker, clean_text, find_root, gender_of, require_root, subfolders
from vqvc.errors import CorpusError

NAME = "jvs"
PICTURE = "jvs001/STYLE/wav24kHz16bit/UTT.wav with transcripts_utf8.txt"
AUDIO, TEXTS, GENDERS = "wav24kHz16bit", "transcripts_utf8.txt", "gender_f0range.txt"
_SPEAKER = re.compile(r"jvs\d{3}")


def find(source: Path) -> Path | None:
    """The folder that holds the speakers: ``source`` or one below; None when there is none."""
    return find_root(source, lambda root: any(next(folder.glob(f"*/{AUDIO}"), None) for folder in _speakers(root)))


def _speakers(root: Path) -> list[Path]:
    return [folder for folder in subfolders(root) if _SPEAKER.fullmatch(folder.name)]


def read(source: str | Path) -> Source:
    """Read the corpus; raises UsageError when ``source`` is none, CorpusError when it holds no audio."""
    source = Path(source)
    root = require_root(source, find(source), "JVS", PICTURE)
    result = Source(source, NAME)
    for folder in _speakers(root):
        for style in subfolders(folder):
            _read_style(folder.name, style, result)
    if not result.items:
        raise CorpusError(f"{root}: holds no recordings; unpack the corpus again")
    result.leave_out_rest(recordings_in(root))
    _read_speakers(root / GENDERS, result)
    return result


def _read_style(speaker: str, style: Path, result: Source) -> None:
    texts = _texts(style / TEXTS)
    takes = {path.stem: path for path in recordings_in(style / AUDIO).recordings} if (style / AUDIO).is_dir() else {}
    for stem, path in takes.items():
        result.add(ids.spell(f"{speaker}_{style.name}_{stem}"), speaker, path, texts.get(stem, ""))
    alone = set(texts) - set(takes)
    result.leave_out_texts((f"{speaker}_{style.name}_{stem}" for stem in alone), str(style / TEXTS))


def _texts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    pairs = (line.partition(":") for line in textfile.read(path, error=CorpusError).split("\n"))
    return {name.strip(): clean_text(text) for name, _, text in pairs if name.strip() and text.strip()}


def _read_speakers(path: Path, result: Source) -> None:
    if not path.is_file():
        result.notes.append(f"{GENDERS} is missing; genders unknown")
        return
    names = {item.speaker for item in result.items}
    for line in textfile.read(path, error=CorpusError).split("\n"):
        words = line.split()
        if len(words) > 1 and words[0] in names:
            result.speakers[words[0]] = Speaker(words[0], gender_of(words[1]))
