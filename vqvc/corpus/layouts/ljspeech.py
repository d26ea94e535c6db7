"""LJ Speech (Ito, Johnson 2017), and the many corpora of one speaker that copy its layout.

    wavs/UTT.wav     metadata.csv: lines of ``UTT|text|normalized text``, without quotes or header

The speaker of LJ Speech is LJ; that of another corpus is called as its folder.
"""

import re
from pathlib import Path

from vqvc._util import textfile
from vqvc.audio.folder import recordings_in
from vqvc.corpus import ids
from vqvc.corpus.source import Source, Speaker, clean_text, find_root, require_root
from vqvc.errors import CorpusError

NAME = "ljspeech"
PICTURE = "wavs/UTT.wav with metadata.csv (UTT|text|normalized text)"
_LJ = re.compile(r"LJ\d{3}-\d{4}")


def find(source: Path) -> Path | None:
    """The folder with ``wavs`` and metadata.csv: ``source`` or one below; None when there is none."""
    return find_root(source, lambda root: (root / "wavs").is_dir() and (root / "metadata.csv").is_file())


def read(source: str | Path) -> Source:
    """Read the corpus; raises UsageError when ``source`` is none, CorpusError when it holds no audio."""
    source = Path(source)
    root = require_root(source, find(source), "LJ Speech", PICTURE)
    result = Source(source, NAME)
    texts = _texts(root / "metadata.csv")
    found = recordings_in(root)
    takes = {path: ids.spell(path.stem) for path in found.recordings if path.parent == root / "wavs"}
    if not takes:
        raise CorpusError(f"{root / 'wavs'}: holds no recordings; unpack the corpus again")
    is_lj = all(_LJ.fullmatch(name) for name in takes.values())
    speaker = "LJ" if is_lj else ids.spell(root.resolve().name)
    names = {
        path: name if is_lj or name.startswith((f"{speaker}_", f"{speaker}-")) else f"{speaker}_{name}"
        for path, name in takes.items()
    }
    last = {path: ids.with_hash(name, path.name) for path, name in names.items()}
    utt_ids = ids.first_unique({path: (names[path], last[path]) for path in takes})
    for path in takes:
        result.add(utt_ids[path], speaker, path, texts.get(path.stem, ""))
    result.leave_out_texts(set(texts) - {path.stem for path in takes}, f"{root / 'metadata.csv'}")
    result.leave_out_rest(found)
    if is_lj:
        result.speakers["LJ"] = Speaker("LJ", "f", "American")
    return result


def _texts(path: Path) -> dict[str, str]:
    """UTT -> text; the third column where there is one, for it spells numbers out."""
    texts = {}
    for line in textfile.read(path, error=CorpusError).split("\n"):
        cells = line.split("|")
        if len(cells) > 1 and cells[0].strip():
            name = re.split(r"[/\\]", cells[0].strip())[-1]
            texts[name.removesuffix(".wav")] = clean_text(cells[2] if len(cells) > 2 and cells[2].strip() else cells[1])
    return texts
