"""A Kaldi data directory: wav.scp, utt2spk and perhaps text, segments, spk2gender. Read by ``kaldi_dir``."""

from pathlib import Path

from vqvc.corpus import kaldi_dir
from vqvc.corpus.source import Source

NAME = "kaldi"
PICTURE = "wav.scp and utt2spk, perhaps text, segments and spk2gender"


def find(source: Path) -> Path | None:
    """``source`` when it has a wav.scp."""
    return source if (source / "wav.scp").is_file() else None


def read(source: str | Path) -> Source:
    """Read the directory; raises CorpusError for lists that cannot be used."""
    return kaldi_dir.read(source)
