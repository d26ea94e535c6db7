"""LibriTTS and LibriTTS-R as they are unpacked (Zen et al. 2019), whole or a part of it.

    SUBSET/SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_UTT.wav + .normalized.txt and .original.txt     SPEAKERS.txt

The normalized text is used, as it was read.
"""

import re
from pathlib import Path

from vqvc.audio.folder import recordings_in
from vqvc.corpus.layouts.librispeech import chapter_of, in_chapters, read_speakers
from vqvc.corpus.source import Source, read_text_file
from vqvc.errors import CorpusError

NAME = "libritts"
PICTURE = "SUBSET/SPEAKER/CHAPTER/SPEAKER_CHAPTER_PARAGRAPH_UTT.wav with .normalized.txt"
TEXTS = (".normalized.txt", ".original.txt")
_UTTERANCE = re.compile(r"(?P<speaker>\d+)_(?P<chapter>\d+)_\d+_\d+")


def find(source: Path) -> Path | None:
    """``source`` when it holds chapters with their texts, at any of the usual depths."""
    found = in_chapters(source, f"*{TEXTS[0]}")
    return source if any(path.name.startswith(f"{chapter_of(path, '_')}_") for path in found) else None


def read(source: str | Path) -> Source:
    """Read the corpus; raises CorpusError when nothing in it is named as LibriTTS names recordings."""
    source = Path(source)
    result = Source(source, NAME)
    found = recordings_in(source)
    for path in found.recordings:
        match = _UTTERANCE.fullmatch(path.stem)
        if match and (path.parent.parent.name, path.parent.name) == match.groups():
            result.add(path.stem, match["speaker"], path, _text(path))
    if not result.items:
        raise CorpusError(f"{source}: holds no recordings of LibriTTS ({PICTURE}); unpack the corpus again")
    result.leave_out_rest(found)
    read_speakers(source, result)
    return result


def _text(path: Path) -> str:
    beside = (path.with_name(path.stem + suffix) for suffix in TEXTS)
    return next((read_text_file(text) for text in beside if text.is_file()), "")
