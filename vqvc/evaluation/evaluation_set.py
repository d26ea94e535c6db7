"""Which utterances are converted to which speakers, and the recordings that are made."""

import dataclasses
import hashlib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqvc._util.nearest import nearest
from vqvc.errors import CorpusError, UsageError
from vqvc.evaluation.judges.recognisers import plain_words

logger = logging.getLogger("vqvc.evaluate")

KINDS = ("source", "reconstruction", "conversion")
FEW_S = 60.0  # seconds of training speech under which a speaker has a handful of sentences
LEAST_OF_FEW = 4  # utterances of such a speaker, so that they can be enrolled and checked
TOGETHER = 32  # recordings that are converted at once; earlier ones are judged meanwhile


@dataclass
class EvaluationClip:
    """One recording that is judged: natural (source), or made by the model. ``target`` is the speaker it should be."""

    kind: str
    utt_id: str
    speaker: str
    target: str
    text: str
    file: str
    samples: np.ndarray  # (T,); empty until it is made
    seen: bool  # whether the source's speaker was in training
    measured: dict = field(default_factory=dict)  # what was found out: pitch tracks, features, words
    few: bool = False  # whether the target has a handful of training sentences, and others have more


def order_of(name: str, seed: int = 0) -> str:
    """A key that shuffles names the same way on every machine."""
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def choose_targets(store, known: Sequence[str], wanted: Sequence[str] | None, count: int) -> list[str]:
    """The speakers to convert to: ``wanted``, or ``count`` known speakers with most training speech.

    Genders take turns, but no speaker with a handful of sentences (less than FEW_S) comes before one with more.

    Raises UsageError for an unknown speaker, with the nearest names.
    """
    if wanted:
        for name in wanted:
            if name not in known:
                near = ", ".join(nearest(name, known))
                raise UsageError(f"--targets: the model has no speaker {name!r}; near it: {near}")
        return list(wanted)
    spoken = _training_speech(store)
    genders = {item.speaker: item.gender for item in store.speakers}
    order = sorted(known, key=lambda name: (-spoken[name], name))

    def in_turns(names: Sequence[str]) -> list[str]:
        by_gender = defaultdict(list)
        for name in names:
            by_gender[genders.get(name, "")].append(name)
        groups = [by_gender[gender] for gender in sorted(by_gender)]
        longest = max(map(len, groups), default=0)
        return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]

    turns = in_turns([name for name in order if spoken[name] >= FEW_S])
    turns += in_turns([name for name in order if spoken[name] < FEW_S])
    if not turns:
        raise CorpusError("the model knows no speaker to convert into")
    return turns[:count]


def choose_few(store, known: Sequence[str], targets: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """At most ``count`` further speakers with a handful of training sentences, by hash of their names."""
    spoken, utterances = _training_speech(store), Counter(item.speaker for item in store.utterances)
    found = [
        name for name in known if name not in targets and 0 < spoken[name] < FEW_S and utterances[name] >= LEAST_OF_FEW
    ]
    return sorted(found, key=lambda name: order_of(name, seed))[:count]


def targets_of_few(store, targets: Sequence[str]) -> set[str]:
    """Those of ``targets`` that have a handful of training sentences; none when no target has more."""
    spoken = _training_speech(store)
    few = {name for name in targets if spoken[name] < FEW_S}
    return few if len(few) < len(set(targets)) else set()


def _training_speech(store) -> Counter:
    """Seconds of training speech of each speaker."""
    spoken: Counter = Counter()
    for item in store.subset("train"):
        spoken[item.speaker] += item.length_samples / store.sample_rate
    return spoken


def choose_sources(store, known: Sequence[str], targets: Sequence[str], limit: int, seed: int = 0) -> list:
    """At most ``limit`` utterances: half of unseen speakers (test), half of known ones (dev), as far as there are such.

    Of each unseen speaker at least half of the utterances stay aside, so that the identifier can learn that speaker. Utterances with a
    text come first, and among them those whose sentence a target has read too (for parallel comparison); then by hash.
    """
    readers = defaultdict(set)
    for item in store.utterances:
        if item.speaker in targets:
            readers[plain_words(item.text)].add(item.speaker)

    def key(item) -> tuple:
        words = plain_words(item.text)
        return (words == "", not readers[words] - {item.speaker}, order_of(item.utt_id, seed))

    def in_turns(items) -> list:
        queues = defaultdict(list)
        for item in sorted(items, key=key):
            queues[item.speaker].append(item)
        names = sorted(queues, key=lambda name: (*key(queues[name][0])[:2], order_of(name, seed)))
        longest = max(map(len, queues.values()), default=0)
        return [queues[name][turn] for turn in range(longest) for name in names if turn < len(queues[name])]

    test = in_turns(item for item in store.subset("test") if item.speaker not in known)
    spoken, allowed = Counter(item.speaker for item in test), Counter()
    unseen = []
    for item in test:
        allowed[item.speaker] += 1
        if allowed[item.speaker] <= spoken[item.speaker] // 2:
            unseen.append(item)
    seen = in_turns(item for item in store.subset("dev") if item.speaker in known)
    chosen = unseen[: max(limit // 2, limit - len(seen))]
    chosen += seen[: limit - len(chosen)]
    if not chosen:
        raise CorpusError(f"{store.path}: has no utterance of subset dev or test to convert; prepare more speech")
    return chosen


def assign(
    sources: Sequence, targets: Sequence[str], each: int = 0, few: Sequence[str] = (), few_each: int = 2, seed: int = 0
) -> list[tuple]:
    """(utterance, target) of every conversion, in the order of ``sources``; no utterance into its own speaker.

    each: how many of ``targets`` per utterance, in turn so that all get as many; 0: all of them. few: speakers that get
    ``few_each`` utterances each.
    """
    wanted: dict[str, list[str]] = {item.utt_id: [] for item in sources}
    used: Counter = Counter()
    for item in sources:
        possible = sorted(
            (name for name in targets if name != item.speaker),
            key=lambda name: (used[name], order_of(f"{item.utt_id} {name}", seed)),
        )
        chosen = set(possible[: each or None])
        used.update(chosen)
        wanted[item.utt_id] += [name for name in targets if name in chosen]
    turn = 0
    for name in few:
        others = [item for item in sources if item.speaker != name]
        for _ in range(min(few_each, len(others))):
            wanted[others[turn % len(others)].utt_id].append(name)
            turn += 1
    return [(item, name) for item in sources for name in dict.fromkeys(wanted[item.utt_id])]


def plan(
    store,
    known: Sequence[str],
    sources: Sequence,
    targets: Sequence[str],
    *,
    each: int = 0,
    few: Sequence[str] = (),
    seed: int = 0,
) -> list[EvaluationClip]:
    """The recordings that ``make`` makes: sources, their reconstructions (known speakers only) and their conversions.

    known: speakers of the model. each, few: see ``assign``. What is made of one recording stands together.
    """
    handful = targets_of_few(store, [*targets, *few])

    def clip(kind: str, item, target: str) -> EvaluationClip:
        name = safe_name(item.utt_id if kind == "source" else f"{item.utt_id}-to-{target}")
        facts = kind, item.utt_id, item.speaker, target, item.text, f"wav/{kind}/{name}.wav"
        is_few = kind == "conversion" and target in handful
        return EvaluationClip(*facts, np.zeros(0, np.float32), item.speaker in known, few=is_few)

    wanted = [("reconstruction", item, item.speaker) for item in sources if item.speaker in known]
    wanted += [("conversion", item, name) for item, name in assign(sources, targets, each, few, seed=seed)]
    order = {item.utt_id: index for index, item in enumerate(sources)}
    wanted.sort(key=lambda job: order[job[1].utt_id])
    return [clip(*job) for job in [("source", item, item.speaker) for item in sources] + wanted]


def make(
    converter,
    store,
    clips: Sequence[EvaluationClip],
    out: Path,
    seed: int = 0,
    options: Mapping | None = None,
    *,
    ready: Callable[[Sequence[EvaluationClip]], None] = lambda clips: None,
) -> None:
    """Give the recordings of ``plan`` their samples, and write them under ``out``/wav.

    options: more keywords of the converter (temperature, fold, postfilter). ready: is called with recordings as soon as there
    are some, so that they can be judged while others are made.
    """
    from vqvc.audio import io

    def done(some: Sequence[EvaluationClip]) -> None:
        for clip in some:
            (out / clip.file).parent.mkdir(parents=True, exist_ok=True)
            io.write(out / clip.file, clip.samples, store.sample_rate)
        ready(some)

    natural = [clip for clip in clips if clip.kind == "source"]
    utterances = {item.utt_id: item for item in store.utterances}
    for clip in natural:
        clip.samples = store.waveform(utterances[clip.utt_id])
    done(natural)
    source = {clip.utt_id: clip.samples for clip in natural}
    jobs = [clip for clip in clips if clip.kind != "source"]
    logger.info("converting: %d recordings from %d utterances", len(jobs), len(natural))
    total = sum(len(source[clip.utt_id]) for clip in jobs)
    with tqdm(desc="converting", total=total, unit="sample", unit_scale=True, disable=None) as bar:
        for begin in range(0, len(jobs), TOGETHER):
            batch = jobs[begin : begin + TOGETHER]
            given, names = [source[clip.utt_id] for clip in batch], [clip.target for clip in batch]
            outputs = converter.convert(given, names, seed=seed, progress=bar.update, **(options or {}))
            for clip, output in zip(batch, outputs, strict=True):
                clip.samples = np.asarray(output, dtype=np.float32)[: len(source[clip.utt_id])]
            done(batch)


def by_kind(clips: Sequence[EvaluationClip], sources_apart: bool = False) -> dict[str, list[EvaluationClip]]:
    """{kind: clips}, kinds without clips left out.

    Conversions to speakers with a handful of sentences are a kind of their own. The others come once more apart by
    whether the source's speaker was in training; with ``sources_apart`` natural sources do, too.
    """
    groups = {
        kind: [clip for clip in clips if clip.kind == kind and not clip.few]
        for kind in ("natural", "source", "copy", *KINDS[1:])
    }
    for kind in ("conversion", *(("source",) if sources_apart else ())):
        made = groups[kind]
        if any(clip.seen for clip in made) and not all(clip.seen for clip in made):
            groups[f"{kind}_of_seen"] = [clip for clip in made if clip.seen]
            groups[f"{kind}_of_unseen"] = [clip for clip in made if not clip.seen]
    groups["conversion_into_few"] = [clip for clip in clips if clip.kind == "conversion" and clip.few]
    return {kind: group for kind, group in groups.items() if group}


def with_copies(clips: Sequence[EvaluationClip]) -> list[EvaluationClip]:
    """``clips`` and, for every conversion, its source left as it is: what doing nothing gets."""
    source = {clip.utt_id: clip for clip in clips if clip.kind == "source"}
    pairs = [(clip, source[clip.utt_id]) for clip in clips if clip.kind == "conversion"]
    copies = [
        dataclasses.replace(clip, kind="copy", samples=own.samples, measured=dict(own.measured)) for clip, own in pairs
    ]
    return [*clips, *copies]


def safe_name(name: str) -> str:
    """``name`` as a file name: letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "_"


def parallel(store, clips: Sequence[EvaluationClip]) -> Mapping[int, object]:
    """{index of a conversion: natural utterance in which the target reads the same sentence}."""
    read = {(item.speaker, plain_words(item.text)): item for item in store.utterances if plain_words(item.text)}
    found = {}
    for index, clip in enumerate(clips):
        item = read.get((clip.target, plain_words(clip.text)))
        if clip.kind == "conversion" and item is not None:
            found[index] = item
    return found


def annotate(clips: Sequence[EvaluationClip], archive, alignment: Mapping[str, Sequence] | None) -> None:
    """Give every source its codes (CodeArchive, or None) and its phones, for the picture of codes over the waveform."""
    known = set(archive.utt_ids.tolist()) if archive is not None else set()
    for clip in clips:
        if clip.kind == "source" and clip.utt_id in known:
            clip.measured["codes"] = archive.codes_of(clip.utt_id).tolist()
            clip.measured["hop_length"] = int(archive.hop_length)
            segments = (alignment or {}).get(clip.utt_id) or ()
            clip.measured["phones"] = [
                [round(item.start_s, 4), round(item.duration_s, 4), item.phone] for item in segments
            ]
