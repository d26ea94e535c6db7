"""From prepared data directories to the packed store: decode, resample, level, append. Memory stays flat."""

import hashlib
import json
import logging
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvc._util import lock, unfinished
from vqvc.audio import io, level
from vqvc.corpus import kaldi_dir, splits
from vqvc.corpus.prepare import SPEAKERS, read_summary
from vqvc.corpus.source import Item, LeftOut, Speaker
from vqvc.corpus.store import FORMAT_VERSION, STORE, WRITTEN, PackedStore, read_table
from vqvc.corpus.store_writer import INPUTS, ITEMS, StoreWriter, quantise
from vqvc.errors import AudioError, CorpusError, UsageError

logger = logging.getLogger("vqvc.corpus")

AHEAD_PER_JOB = 4  # utterances decoded before they are written
MIN_LENGTH_S = 0.1  # of what is left after trimming


@dataclass(frozen=True)
class Task:
    """One utterance to pack."""

    item: Item
    subset: str


@dataclass(frozen=True)
class Packed:
    """What a worker made of it."""

    samples: np.ndarray  # (T,) int16
    trim_start_samples: int
    gain_db: float
    limited: bool


def read_data(data: Path) -> tuple[list[Task], list[Speaker]]:
    """Every utterance of data/{train,dev,test}, in byte order, and the speakers."""
    read_summary(data)
    tasks = []
    for subset in splits.SUBSETS:
        tasks += [Task(item, subset) for item in kaldi_dir.read(data / subset).items]
    tasks.sort(key=lambda task: task.item.utt_id.encode())
    if not tasks:
        raise CorpusError(f"{data}: holds no utterances; run vqvc-prepare again")
    return tasks, read_table(data / SPEAKERS, Speaker)


def is_packed(out: Path, inputs: str, overwrite: bool = False) -> bool:
    """Whether the folder ``out`` is the store of these inputs (``fingerprint``), which is then left as it is.

    Raises UsageError where it is something else that stays: no store, or another one and ``overwrite`` is False.
    """
    if not out.is_dir() or (not (out / STORE).exists() and any(out.iterdir())):
        raise UsageError(f"{out}: exists and is no packed store; give another --out")
    try:
        same = PackedStore(out).inputs == inputs
    except CorpusError as error:
        same = False
        logger.warning("%s", error)
    if not same and not overwrite:
        raise UsageError(f"{out}: was made from other inputs, or is damaged; give --overwrite to replace it")
    if same:
        with lock.Lock(out):
            unfinished.tidy(out, (ITEMS, INPUTS))
    else:
        unfinished.require_only(out, (*WRITTEN, ITEMS, INPUTS))
    return same


def fingerprint(tasks: list[Task], speakers: list[Speaker], sample_rate: int, level_rms: float) -> str:
    """Changes when anything changes that the store is made from."""
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, sample_rate, level_rms, level.RULE_VERSION]).encode())
    for task in tasks:
        stat = task.item.path.stat() if task.item.path.exists() else None
        digest.update(repr((task, stat and (stat.st_size, stat.st_mtime_ns))).encode())
    digest.update(repr(speakers).encode())
    return digest.hexdigest()


def pack_one(item: Item, sample_rate: int, level_rms: float) -> Packed | LeftOut:
    """Read, cut out the segment, resample, level. Anything wrong with the recording comes back as LeftOut."""
    try:
        recording = io.read(item.path, sample_rate, start_s=item.start_s or 0.0, end_s=item.end_s)
        made = level.normalise(recording.samples, sample_rate, level_rms)
        if len(made.samples) < MIN_LENGTH_S * sample_rate:
            length_s = len(made.samples) / sample_rate
            return LeftOut(
                item.utt_id,
                "too short",
                f"{item.path}: {length_s:.3f} s of speech; at least {MIN_LENGTH_S:g} s are needed",
            )
    except (AudioError, OSError) as error:
        reason = "digital silence" if "digital silence" in str(error) else "unusable recording"
        detail = str(error) if str(item.path) in str(error) else f"{item.path}: {error}"
        return LeftOut(item.utt_id, reason, " ".join(detail.split()))
    return Packed(quantise(made.samples), made.trim_start_samples, made.gain_db, made.limited)


def in_order(
    tasks: list[Task], jobs: int, sample_rate: int, level_rms: float
) -> Iterator[tuple[Task, Packed | LeftOut]]:
    """Results in the order of the tasks, from ``jobs`` threads that are never far ahead of the writer.

    Threads are enough: libsndfile and soxr work without the interpreter's lock.
    """
    waiting: deque = deque()
    with ThreadPoolExecutor(jobs) as pool:
        try:
            for task in tasks:
                waiting.append((task, pool.submit(pack_one, task.item, sample_rate, level_rms)))
                if len(waiting) > AHEAD_PER_JOB * jobs:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


def pack(tasks: list[Task], writer: StoreWriter, *, jobs: int) -> Iterator[Task]:
    """Pack what ``writer`` does not hold yet; yields each task when it is written."""
    finished = {utterance.utt_id for utterance in writer.utterances} | {item.id for item in writer.left_out}
    todo = [task for task in tasks if task.item.utt_id not in finished]
    for task, result in in_order(todo, jobs, writer.sample_rate, writer.level_rms):
        if isinstance(result, LeftOut):
            logger.warning("left out %s: %s", result.id, result.detail)
            writer.leave_out(result.id, result.reason, result.detail)
        else:
            writer.add(
                task.item.utt_id,
                result.samples,
                speaker=task.item.speaker,
                subset=task.subset,
                trim_start_samples=result.trim_start_samples,
                gain_db=result.gain_db,
                text=task.item.text,
                limited=result.limited,
            )
        yield task
