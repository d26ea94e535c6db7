"""Codes of a corpus in one file: what ``vqvc-encode`` writes and probes read.

codes.npz   codes int16 (all), offsets int64 (n + 1), lengths_samples int64 (n), utt_ids, speakers, subsets (text),
            hop_length, sample_rate, codebook_size, model (checksum of the model, text). No pickle.
"""

import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from vqvc._util import atomic
from vqvc._util.archive import DAMAGED, is_bomb
from vqvc.corpus import ids
from vqvc.errors import CorpusError

TEXTS = ("utt_ids", "speakers", "subsets")
SCALARS = {"hop_length": int, "sample_rate": int, "codebook_size": int, "model": str}
KINDS = {"codes": "i", "offsets": "i", "lengths_samples": "i"} | dict.fromkeys(TEXTS, "U")
RANGES = {"hop_length": (1, 1 << 16), "sample_rate": (1, 1_000_000), "codebook_size": (1, 1 << 15)}


@dataclass(frozen=True)
class CodeArchive:
    """Utterance n is ``codes[offsets[n]:offsets[n + 1]]``, from ``lengths_samples[n]`` samples."""

    codes: np.ndarray  # int16, flat
    offsets: np.ndarray  # int64 (n + 1,)
    lengths_samples: np.ndarray  # int64 (n,)
    utt_ids: np.ndarray  # text (n,)
    speakers: np.ndarray  # text (n,), empty where nobody knows
    subsets: np.ndarray  # text (n,)
    hop_length: int  # samples per code
    sample_rate: int  # Hz
    codebook_size: int
    model: str = ""  # checksum of the model that made them

    def __post_init__(self):
        for name, kinds in KINDS.items():
            array = getattr(self, name)
            if array.ndim != 1 or array.dtype.kind not in kinds:
                raise CorpusError(f"codes: {name} is not a row of {'text' if kinds == 'U' else 'whole numbers'}")
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise CorpusError(f"codes: {name} is {getattr(self, name)}, should be {low} to {high}")
        count = len(self.utt_ids)
        sizes = {"offsets": count + 1, "lengths_samples": count, "speakers": count, "subsets": count}
        for name, size in sizes.items():
            if len(getattr(self, name)) != size:
                raise CorpusError(f"codes: {name} has {len(getattr(self, name))} entries, should have {size}")
        if self.offsets[0] != 0 or (np.diff(self.offsets) < 0).any() or self.offsets[-1] != len(self.codes):
            raise CorpusError("codes: offsets do not describe the codes")
        if len(set(self.utt_ids.tolist())) != count:
            raise CorpusError("codes: an utterance stands twice")
        ids.require(self.utt_ids.tolist(), "codes", "utterance")
        ids.require(sorted(set(self.speakers.tolist()) - {""}), "codes", "speaker")
        if len(self.codes) and not 0 <= int(self.codes.min()) <= int(self.codes.max()) < self.codebook_size:
            raise CorpusError(
                f"codes: {int(self.codes.min())} to {int(self.codes.max())} in a codebook of {self.codebook_size}"
            )
        object.__setattr__(self, "_index", {utt_id: n for n, utt_id in enumerate(self.utt_ids.tolist())})

    @classmethod
    def build(cls, rows, *, hop_length: int, sample_rate: int, codebook_size: int, model: str = "") -> "CodeArchive":
        """From an iterable of ``(utt_id, speaker, subset, length_samples, codes)``."""
        rows = list(rows)
        if codebook_size > np.iinfo(np.int16).max + 1:
            raise CorpusError(f"codes: a codebook of {codebook_size} does not fit 16 bits")
        parts = [np.asarray(row[4], dtype=np.int16) for row in rows]
        return cls(
            codes=np.concatenate(parts) if parts else np.zeros(0, np.int16),
            offsets=np.cumsum([0] + [len(part) for part in parts], dtype=np.int64),
            lengths_samples=np.array([row[3] for row in rows], dtype=np.int64),
            **{name: np.array([str(row[n]) for row in rows], dtype=np.str_) for n, name in enumerate(TEXTS)},
            hop_length=hop_length,
            sample_rate=sample_rate,
            codebook_size=codebook_size,
            model=model,
        )

    @classmethod
    def load(cls, path: str | Path) -> "CodeArchive":
        """Read a file; raises CorpusError when it is missing, damaged or pickled."""
        path, again = Path(path), "make it again with vqvc-encode"
        try:
            values = _members(path)
            scalars = {name: kind(values[name].item()) for name, kind in SCALARS.items()}
        except FileNotFoundError:
            raise CorpusError(f"{path}: no such file; make it with vqvc-encode") from None
        except (*DAMAGED, TypeError):
            raise CorpusError(f"{path}: is not a readable code archive; {again}") from None
        try:
            return cls(**{**values, **scalars})
        except CorpusError as error:
            raise CorpusError(f"{path}: {error}; {again}") from None

    def save(self, path: str | Path) -> None:
        """Write the file atomically; equal archives make equal files."""
        with atomic.atomic_path(path, needs_bytes=self.codes.nbytes) as partial, open(partial, "wb") as file:
            np.savez(file, **{field.name: getattr(self, field.name) for field in fields(self)})

    def __len__(self) -> int:
        return len(self.utt_ids)

    def codes_of(self, utt_id: str) -> np.ndarray:
        """(T,) int64 codes of an utterance; raises CorpusError when it is not there."""
        if utt_id not in self._index:
            raise CorpusError(f"codes: no utterance {utt_id!r}; encode the store that holds it")
        n = self._index[utt_id]
        return self.codes[self.offsets[n] : self.offsets[n + 1]].astype(np.int64)

    def speaker_of(self, utt_id: str) -> str:
        """Who spoke an utterance of the archive."""
        return str(self.speakers[self._index[utt_id]])

    def subset(self, name: str) -> list[str]:
        """utt_ids of ``train``, ``dev`` or ``test``."""
        return self.utt_ids[self.subsets == name].tolist()


def _members(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file; raises what is in ``DAMAGED`` for one that is none of ours, before it costs memory."""
    with zipfile.ZipFile(path) as opened:
        if is_bomb(path, sum(member.file_size for member in opened.infolist())):
            raise ValueError("holds far more than its size")
    with np.load(path, allow_pickle=False) as file:
        values = {field.name: file[field.name] for field in fields(CodeArchive)}
    if not all(isinstance(value, np.ndarray) for value in values.values()):
        raise ValueError("holds something else than arrays")
    return values
