"""TIMIT's .phn files (Garofolo et al. 1993): lines of ``first_sample end_sample phone`` at 16 kHz."""

from pathlib import Path

from vqvc._util import textfile
from vqvc.corpus.textgrid import Interval, TextGrid, Tier
from vqvc.errors import CorpusError

SAMPLE_RATE = 16000  # Hz


def read(path: str | Path) -> TextGrid:
    """The file as a TextGrid of one tier, ``phones``; raises CorpusError with the path and the line."""
    items: list[Interval] = []
    for number, line in enumerate(textfile.read(path, error=CorpusError).split("\n"), 1):
        words = line.split()
        if not words:
            continue
        try:
            start, end = int(words[0]), int(words[1])
            (label,) = words[2:]
        except (ValueError, IndexError):
            raise CorpusError(f"{path}:{number}: should hold first sample, end sample and phone") from None
        if not 0 <= start < end or (items and start / SAMPLE_RATE < items[-1].end_s):
            raise CorpusError(f"{path}:{number}: {start} to {end} is empty or overlaps the line before")
        items.append(Interval(start / SAMPLE_RATE, end / SAMPLE_RATE, label))
    if not items:
        raise CorpusError(f"{path}: holds no phones")
    end_s = items[-1].end_s
    return TextGrid(0.0, end_s, (Tier("phones", 0.0, end_s, tuple(items)),))
