"""Writing a packed store so that a kill loses nothing finished and a half-made store is never seen.

Work goes into ``<store>.partial``: samples are appended to audio.s16 and each finished item is a line of items.jsonl
with its checksum. A writer for the same inputs takes up what is whole there; ``finish`` renames the folder into place.
"""

import hashlib
import json
import logging
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from vqvc._util import atomic, lock, unfinished
from vqvc.corpus import store
from vqvc.corpus.store import Speaker, Utterance
from vqvc.errors import CorpusError

logger = logging.getLogger("vqvc.corpus")

ITEMS = "items.jsonl"
INPUTS = "inputs.txt"
SYNC_EVERY = 500  # items between fsyncs


@dataclass(frozen=True)
class LeftOut:
    """A line of left_out.tsv: what is not in the result, and why."""

    id: str
    reason: str  # one of few, for counting
    detail: str = ""


class StoreWriter:
    """Collects utterances, in byte order of utt_id, and makes them a store.

    ``fingerprint`` stands for the inputs and settings: unfinished work is only taken up when it is equal.
    """

    def __init__(self, target: str | Path, *, sample_rate: int, level_rms: float, fingerprint: str = ""):
        self.target = Path(target)
        self.partial = unfinished.path_of(self.target)
        self.sample_rate, self.level_rms, self.fingerprint = sample_rate, level_rms, fingerprint
        self.utterances: list[Utterance] = []
        self.left_out: list[LeftOut] = []
        self.limited = 0  # utterances under level_rms because a peak would have clipped
        self._digest = hashlib.sha256()
        self._total = self._unsynced = 0
        self._lock = lock.Lock(self.target)
        try:
            unfinished.take(self.target)
            self.resumed = self._take_up()  # items that were finished before
            self._audio = open(self.partial / store.AUDIO, "ab")
            self._items = open(self.partial / ITEMS, "a", encoding="utf-8")
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files; what is finished stays for the next writer."""
        for file in (self._audio, self._items, self._lock):
            file.close()

    def add(
        self,
        utt_id: str,
        samples: np.ndarray,
        *,
        speaker: str,
        subset: str,
        trim_start_samples: int = 0,
        gain_db: float = 0.0,
        text: str = "",
        limited: bool = False,
    ) -> None:
        """Append ``samples`` (T,), int16 or float in [-1, 1]. Raises CorpusError when ids do not come in order."""
        if self.utterances and utt_id.encode() <= self.utterances[-1].utt_id.encode():
            raise CorpusError(
                f"{self.target}: {utt_id} comes after {self.utterances[-1].utt_id}; ids must be sorted and differ"
            )
        data = quantise(samples).tobytes()
        if not data:
            raise CorpusError(f"{self.target}: {utt_id} holds no samples; leave it out")
        utterance = Utterance(
            utt_id,
            speaker,
            subset,
            self._total,
            len(data) // 2,
            int(trim_start_samples),
            float(gain_db),
            " ".join(text.split()),
        )
        self._audio.write(data)
        self._record({**asdict(utterance), "crc32": zlib.crc32(data), "limited": limited})
        self._keep(utterance, data, limited)

    def leave_out(self, utt_id: str, reason: str, detail: str) -> None:
        """Note an item that cannot be packed, so that it is not tried again after a kill."""
        item = LeftOut(utt_id, reason, detail)
        self._record({"left_out": asdict(item)})
        self.left_out.append(item)

    def finish(self, speakers: list[Speaker], facts: dict | None = None, *, overwrite: bool = False) -> None:
        """Write the tables and let the whole store appear under its name. ``facts`` join store.json."""
        self._sync()
        self._audio.close()
        self._items.close()
        used = {utterance.speaker for utterance in self.utterances}
        table = sorted((speaker for speaker in speakers if speaker.speaker in used), key=lambda s: s.speaker.encode())
        missing = sorted(used - {speaker.speaker for speaker in table})
        table = sorted(table + [Speaker(name) for name in missing], key=lambda s: s.speaker.encode())
        tables = {
            store.UTTERANCES: store.format_table(Utterance, self.utterances),
            store.SPEAKERS: store.format_table(Speaker, table),
        }
        for name, text in tables.items():
            atomic.write_text(self.partial / name, text)
        atomic.write_text(self.partial / store.LEFT_OUT, store.format_table(LeftOut, self.left_out))
        own = {
            "format_version": store.FORMAT_VERSION,
            "sample_rate": self.sample_rate,
            "level_rms": self.level_rms,
            "total_samples": self._total,
            "sha256": self._digest.hexdigest(),
            "tables": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in tables.items()},
            "peak_limited_utterances": self.limited,
            "inputs": self.fingerprint,
        }
        atomic.write_json(self.partial / store.STORE, {**own, **(facts or {})})
        unfinished.finish(self.partial, self.target, overwrite=overwrite, notes=(ITEMS, INPUTS))
        self._lock.close()

    def give_up(self) -> None:
        """Remove what was written: nothing of it is worth going on with."""
        self._audio.close()
        self._items.close()
        unfinished.remove(self.partial)

    def _keep(self, utterance: Utterance, data: bytes, limited: bool) -> None:
        self.utterances.append(utterance)
        self.limited += limited
        self._digest.update(data)
        self._total += utterance.length_samples

    def _record(self, row: dict) -> None:
        self._audio.flush()
        self._items.write(json.dumps(row) + "\n")
        self._items.flush()
        self._unsynced += 1
        if self._unsynced >= SYNC_EVERY:
            self._sync()

    def _sync(self) -> None:
        os.fsync(self._audio.fileno())
        os.fsync(self._items.fileno())
        self._unsynced = 0

    def _take_up(self) -> int:
        """Read what an earlier writer finished; cut off what it did not."""
        audio, items, inputs = self.partial / store.AUDIO, self.partial / ITEMS, self.partial / INPUTS
        known = inputs.read_text(encoding="utf-8") if inputs.exists() else None
        if known != self.fingerprint:
            if known is not None:
                logger.info("%s: unfinished work of other inputs; beginning again", self.target)
            audio.write_bytes(b"")
            items.write_bytes(b"")
            atomic.write_text(inputs, self.fingerprint)
            return 0
        good = 0
        with open(items, "rb+") as lines, open(audio, "rb+") as samples:
            for line in lines:
                if not self._take_line(line, samples):
                    break
                good += len(line)
            lines.truncate(good)
            samples.truncate(2 * self._total)
        return len(self.utterances) + len(self.left_out)

    def _take_line(self, line: bytes, samples) -> bool:
        try:
            row = json.loads(line)
            if not line.endswith(b"\n"):
                return False
            if "left_out" in row:
                self.left_out.append(LeftOut(**row["left_out"]))
                return True
            checksum, limited = row.pop("crc32"), row.pop("limited")
            utterance = Utterance(**row)
        except (ValueError, KeyError, TypeError):
            return False
        data = samples.read(2 * utterance.length_samples)
        if len(data) != 2 * utterance.length_samples or zlib.crc32(data) != checksum:
            return False
        self._keep(utterance, data, limited)
        return True


def quantise(samples: np.ndarray) -> np.ndarray:
    """int16 little endian of int16 or float samples; floats beyond full scale are limited."""
    samples = np.asarray(samples)
    if samples.dtype.kind == "f":
        samples = np.rint(samples * store.FULL_SCALE).clip(-store.FULL_SCALE, store.FULL_SCALE - 1)
    return samples.astype("<i2")
