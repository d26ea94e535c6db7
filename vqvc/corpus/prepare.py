"""From corpora as they come to validated data directories with a split; only headers of recordings are read."""

import hashlib
import json
import logging
import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from vqvc._util import atomic, lock, unfinished
from vqvc.audio import io
from vqvc.corpus import ids, kaldi_dir, splits
from vqvc.corpus.source import Item, LeftOut, Source, Speaker
from vqvc.corpus.store import format_table
from vqvc.errors import AudioError, CorpusError, UsageError

logger = logging.getLogger("vqvc.corpus")

FORMAT_VERSION = 1
PREPARE, LEFT_OUT, SPEAKERS = "prepare.json", "left_out.tsv", "speaker_info.tsv"
LONG_S, PIECE_S = 60.0, 30.0  # recordings longer than the first are taken in pieces of at most the second
MIN_DURATION_S = 0.1  # shorter recordings hold no speech worth a code
WRITTEN = (*splits.SUBSETS, PREPARE, LEFT_OUT, SPEAKERS)
REQUIRED = {"inputs": str, "subsets": dict, "left_out": dict, "failed": int}  # what is read back from prepare.json
EXPECTED = {"sentence is trained on", "transcript without audio", "unknown file name"}  # reasons that are no failure


@dataclass(frozen=True)
class Corpus:
    """Several sources as one, and what identifies it."""

    sources: list[Source]
    items: list[Item]
    speakers: dict[str, Speaker]
    left_out: list[LeftOut]


def combine(sources: Sequence[Source]) -> Corpus:
    """All sources together, in byte order of utt_id; of equal ids the first source's is kept, the others are listed.

    Raises CorpusError for an id that cannot be one.
    """
    for source in sources:
        ids.require([item.utt_id for item in source.items], source.path, "utterance")
        ids.require(sorted({item.speaker for item in source.items}), source.path, "speaker")
    items: dict[str, Item] = {}
    recordings: dict[str, Path] = {}
    left_out = [item for source in sources for item in source.left_out]
    speakers: dict[str, Speaker] = {}
    for source in sources:
        for item in source.items:
            if item.utt_id in items:
                left_out.append(
                    LeftOut(item.utt_id, "duplicate utterance id", f"{item.path}: {items[item.utt_id].path} has it")
                )
                continue
            recording = item.recording_id or item.utt_id
            if recordings.setdefault(recording, item.path) != item.path:
                left_out.append(
                    LeftOut(item.utt_id, "duplicate recording id", f"{item.path}: {recordings[recording]} has it")
                )
                continue
            items[item.utt_id] = item
        for name, speaker in source.speakers.items():
            speakers.setdefault(name, speaker)
    ordered = [items[utt_id] for utt_id in sorted(items, key=str.encode)]
    return Corpus(list(sources), ordered, speakers, left_out)


def fingerprint(corpus: Corpus, settings: dict) -> str:
    """Changes when a recording's name, size or date, a text, a speaker or a setting changes."""
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, settings], sort_keys=True).encode())
    for item in corpus.items:
        digest.update(repr((item, _stamp(item.path), corpus.speakers.get(item.speaker))).encode())
    digest.update(repr(sorted(corpus.left_out, key=repr)).encode())
    return digest.hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


def check_headers(items: Sequence[Item], jobs: int = 2) -> tuple[list[Item], list[LeftOut]]:
    """The items whose recordings can be opened and hold what they should, long ones in pieces; the others with the
    reason."""
    with ThreadPoolExecutor(jobs) as pool:
        results = [result for found in pool.map(_check, items) for result in found]
    usable = sorted((r for r in results if isinstance(r, Item)), key=lambda item: item.utt_id.encode())
    return usable, [r for r in results if isinstance(r, LeftOut)]


def _check(item: Item) -> list[Item] | list[LeftOut]:
    try:
        facts = io.info(item.path)
    except (AudioError, OSError) as error:
        return [LeftOut(item.utt_id, "unusable recording", " ".join(str(error).split()))]
    start_s, end_s = item.start_s or 0.0, facts.duration_s if item.end_s is None else item.end_s
    if end_s > facts.duration_s + 0.5 / facts.sample_rate:
        detail = f"ends at {end_s:g} s, {item.path} is {facts.duration_s:.3f} s long"
        return [LeftOut(item.utt_id, "bad segment", f"{item.origin}: {detail}" if item.origin else detail)]
    if end_s - start_s < MIN_DURATION_S:
        return [
            LeftOut(
                item.utt_id,
                "too short",
                f"{item.path}: {end_s - start_s:.3f} s; at least {MIN_DURATION_S:g} s are needed",
            )
        ]
    if end_s - start_s > LONG_S:
        return _pieces(item, start_s, end_s)
    return [item if item.start_s is None else replace(item, end_s=end_s)]


def _pieces(item: Item, start_s: float, end_s: float) -> list[Item]:
    """A long utterance as equal pieces, so that memory does not grow with it. The pieces have no text: which words are in which is unknown."""
    count = math.ceil((end_s - start_s) / PIECE_S)
    edges = [start_s + (end_s - start_s) * n / count for n in range(count)] + [end_s]
    recording = item.recording_id or item.utt_id
    names = [f"{item.utt_id}_{n:05d}" for n in range(count)]
    names = [ids.with_hash(item.utt_id, name) if ids.problem(name) else name for name in names]  # too long
    return [
        replace(item, utt_id=name, text="", start_s=start_s, end_s=end_s, recording_id=recording)
        for name, start_s, end_s in zip(names, edges, edges[1:])
    ]


def require_apart(out: Path, sources: Sequence[Path]) -> None:
    """Raise UsageError where ``out``, or the folder of unfinished work beside it, holds a source or is not ours."""
    unfinished.require_ours(unfinished.path_of(out))
    for folder in (out, unfinished.path_of(out)):
        for path in sources:
            if path.resolve().is_relative_to(folder.resolve()):
                raise UsageError(f"{folder}: holds the source {path}; give another --out")


def write(
    sources: Sequence[Source], out: Path, *, split_options: dict, settings: dict, jobs: int = 2, overwrite: bool = False
) -> dict:
    """Prepare the sources into ``out``, which appears when all of it is written; returns the contents of prepare.json.

    split_options: keywords of ``splits.split``. settings: what else the result depends on, for ``fingerprint``. Does
    nothing where ``out`` was made from the same inputs. Raises UsageError where it was made from others and ``overwrite``
    is False, and as ``prepare`` and ``combine`` do.
    """
    with lock.Lock(out):
        corpus = combine(sources)
        if out.exists():
            summary = read_summary(out)
            if summary["inputs"] == fingerprint(corpus, settings):
                logger.info("%s: inputs have not changed; nothing to do", out)
                unfinished.tidy(out)
                return summary
            if not overwrite:
                raise UsageError(f"{out}: was made from other inputs; give --overwrite to replace it")
            unfinished.require_only(out, WRITTEN)
        with unfinished.replacing(out, overwrite=overwrite) as partial:
            return prepare(corpus, partial, split_options=split_options, settings=settings, jobs=jobs)


def prepare(corpus: Corpus, out: Path, *, split_options: dict, settings: dict, jobs: int = 2) -> dict:
    """Check, split and write ``out`` (a new directory); returns the contents of prepare.json. Raises CorpusError when
    nothing is left to train on."""
    usable, unusable = check_headers(corpus.items, jobs)
    if not usable:
        first = unusable[0].detail if unusable else "the sources are empty"
        names = ", ".join(str(source.path) for source in corpus.sources)
        raise CorpusError(f"{names}: no usable utterance: {first}")
    known = {item.utt_id for item in corpus.items}
    pieces = sum(item.utt_id not in known for item in usable)
    if pieces:
        logger.info("recordings longer than %g s are taken in %d pieces, without text", LONG_S, pieces)
    split = splits.split(usable, **split_options)
    left_out = sorted(
        corpus.left_out + unusable + split.left_out, key=lambda item: (item.id.encode(), item.reason, item.detail)
    )
    counts = {}
    for subset in splits.SUBSETS:
        chosen = [item for item in usable if split.subset_of.get(item.utt_id) == subset]
        kaldi_dir.write(out / subset, chosen, corpus.speakers)
        kaldi_dir.require_valid(out / subset)
        counts[subset] = {
            "utterances": len(chosen),
            "speakers": len({item.speaker for item in chosen}),
            "without_text": sum(not i.text for i in chosen),
        }
    if not counts["dev"]["utterances"]:
        logger.warning(
            "nothing is held out for training to be validated on (dev is empty): %d utterances have %d sentences in train; "
            "give more recordings (speakers with fewer than %d sentences stay in train) or a larger --held-out-sentences",
            len(usable),
            len({splits.sentence_of(item) for item in usable if split.subset_of.get(item.utt_id) == "train"}),
            splits.FEW_SENTENCES,
        )
    names = sorted({item.speaker for item in usable}, key=str.encode)
    atomic.write_text(
        out / SPEAKERS, format_table(Speaker, [corpus.speakers.get(name, Speaker(name)) for name in names])
    )
    atomic.write_text(out / LEFT_OUT, format_table(LeftOut, left_out))
    summary = {
        "format_version": FORMAT_VERSION,
        "inputs": fingerprint(corpus, settings),
        "sources": [
            {"path": str(s.path), "layout": s.kind, "release": s.release, "mic": s.mic, "notes": s.notes}
            for s in corpus.sources
        ],
        "settings": settings,
        "split_rule": splits.RULE,
        "unseen_speakers": list(split.unseen_speakers),
        "subsets": counts,
        "pieces_of_long_recordings": pieces,
        "left_out": dict(sorted(Counter(item.reason for item in left_out).items())),
        "failed": sum(item.reason not in EXPECTED for item in left_out),
    }
    atomic.write_json(out / PREPARE, summary)
    return summary


def first_failures(left_out: Sequence[LeftOut]) -> dict[str, str]:
    """For each reason that is a failure, the message of the first utterance."""
    result: dict[str, str] = {}
    for item in left_out:
        if item.reason not in EXPECTED:
            result.setdefault(item.reason, item.detail)
    return result


def read_summary(data: Path) -> dict:
    """What an earlier prepare wrote; raises UsageError when ``data`` is not its work."""
    try:
        summary = json.loads((data / PREPARE).read_text(encoding="utf-8"))
        if all(isinstance(summary[name], kind) for name, kind in REQUIRED.items()):
            return summary
        raise ValueError
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        raise UsageError(
            f"{data}: was not written by vqvc-prepare ({PREPARE} is missing or damaged); give another path"
        ) from None
