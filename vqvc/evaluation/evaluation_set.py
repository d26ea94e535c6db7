"""The evaluation set: which utterances are converted to which speakers, and the resulting recordings."""

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
FEW_S = 60.0  # speakers with less training speech than this have "a handful of sentences"
LEAST_OF_FEW = 4  # smallest number of utterances of such a speaker, which are needed for enrolment and as reference
TOGETHER = 32  # recordings that are converted at a time, while earlier ones are judged


@dataclass
class EvaluationClip:
    """A recording of the evaluation, natural or converted. ``target`` is the speaker that it should sound like."""

    kind: str
    utt_id: str
    speaker: str
    target: str
    text: str
    file: str
    samples: np.ndarray  # (T,); empty until the recording is made
    seen: bool  # whether the source's speaker was in training
    measured: dict = field(default_factory=dict)  # results of the judges: pitch tracks, embeddings, transcripts
    few: bool = False  # whether the target has a handful of training sentences while others have more


def order_of(name: str, seed: int = 0) -> str:
    """A sort key that shuffles names in the same way on every machine."""
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def choose_targets(store, known: Sequence[str], wanted: Sequence[str] | None, count: int) -> list[str]:
    """Choose the target speakers: ``wanted``, or the ``count`` speakers among ``known`` with the most training speech.

    Genders alternate, but speakers with a handful of sentences (less than FEW_S) come after all others.

    Raises UsageError for an unknown speaker, with similar names, and CorpusError if ``known`` is empty.
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
    """Choose at most ``count`` further targets with a handful of training sentences, in the order of ``order_of``."""
    spoken, utterances = _training_speech(store), Counter(item.speaker for item in store.utterances)
    candidates = [
        name for name in known if name not in targets and 0 < spoken[name] < FEW_S and utterances[name] >= LEAST_OF_FEW
    ]
    return sorted(candidates, key=lambda name: order_of(name, seed))[:count]


def targets_of_few(store, targets: Sequence[str]) -> set[str]:
    """The ``targets`` that have a handful of training sentences; empty if all of them do."""
    spoken = _training_speech(store)
    few = {name for name in targets if spoken[name] < FEW_S}
    return few if len(few) < len(set(targets)) else set()


def _training_speech(store) -> Counter:
    """Seconds of training speech per speaker."""
    spoken: Counter = Counter()
    for item in store.subset("train"):
        spoken[item.speaker] += item.length_samples / store.sample_rate
    return spoken


def choose_sources(store, known: Sequence[str], targets: Sequence[str], limit: int, seed: int = 0) -> list:
    """Choose at most ``limit`` source utterances, half by unseen speakers (test) and half by known ones (dev).

    If one half is too small, the other is larger. At least half of the utterances of each unseen speaker are not
    chosen, so that the identifier can be fitted on them. Utterances with a text are preferred, among these the ones
    whose sentence a target has read too, for parallel comparison; then the order is that of ``order_of``. Raises
    CorpusError if there are none.
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
    """Assign targets to sources: (utterance, target) of every conversion, in the order of ``sources``.

    No utterance is converted to its own speaker. each: targets per utterance, balanced so that all are used equally
    often; 0 for all targets. few: further targets, to each of which ``few_each`` utterances are converted.
    """
    assigned: dict[str, list[str]] = {item.utt_id: [] for item in sources}
    used: Counter = Counter()
    for item in sources:
        possible = sorted(
            (name for name in targets if name != item.speaker),
            key=lambda name: (used[name], order_of(f"{item.utt_id} {name}", seed)),
        )
        chosen = set(possible[: each or None])
        used.update(chosen)
        assigned[item.utt_id] += [name for name in targets if name in chosen]
    turn = 0
    for name in few:
        others = [item for item in sources if item.speaker != name]
        for _ in range(min(few_each, len(others))):
            assigned[others[turn % len(others)].utt_id].append(name)
            turn += 1
    return [(item, name) for item in sources for name in dict.fromkeys(assigned[item.utt_id])]


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
    """Plan the recordings: sources first, then the reconstruction (known speakers only) and the conversions of each.

    known: speakers of the model. each, few: see ``assign``. The recordings have no samples until ``make``.
    """
    handful = targets_of_few(store, [*targets, *few])

    def clip(kind: str, item, target: str) -> EvaluationClip:
        name = safe_name(item.utt_id if kind == "source" else f"{item.utt_id}-to-{target}")
        return EvaluationClip(
            kind=kind,
            utt_id=item.utt_id,
            speaker=item.speaker,
            target=target,
            text=item.text,
            file=f"wav/{kind}/{name}.wav",
            samples=np.zeros(0, np.float32),
            seen=item.speaker in known,
            few=kind == "conversion" and target in handful,
        )

    natural = [clip("source", item, item.speaker) for item in sources]
    made = [clip("reconstruction", item, item.speaker) for item in sources if item.speaker in known]
    made += [clip("conversion", item, name) for item, name in assign(sources, targets, each, few, seed=seed)]
    order = {item.utt_id: index for index, item in enumerate(sources)}
    return natural + sorted(made, key=lambda made_clip: order[made_clip.utt_id])


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
    """Make the recordings of ``plan``: set their samples, and write them to ``out``/wav.

    options: further keywords of the converter (temperature, fold, postfilter, equalizer). ready: called with the recordings of a
    batch when they are made, so that they can be judged while others are converted.
    """
    from vqvc.audio import io

    def write(batch: Sequence[EvaluationClip]) -> None:
        for clip in batch:
            (out / clip.file).parent.mkdir(parents=True, exist_ok=True)
            io.write(out / clip.file, clip.samples, store.sample_rate)
        ready(batch)

    natural = [clip for clip in clips if clip.kind == "source"]
    utterances = {item.utt_id: item for item in store.utterances}
    for clip in natural:
        clip.samples = store.waveform(utterances[clip.utt_id])
    write(natural)
    source = {clip.utt_id: clip.samples for clip in natural}
    jobs = [clip for clip in clips if clip.kind != "source"]
    logger.info("converting: %d recordings from %d utterances", len(jobs), len(natural))
    total = sum(len(source[clip.utt_id]) for clip in jobs)
    with tqdm(desc="converting", total=total, unit="sample", unit_scale=True, disable=None) as bar:
        for begin in range(0, len(jobs), TOGETHER):
            batch = jobs[begin : begin + TOGETHER]
            inputs, names = [source[clip.utt_id] for clip in batch], [clip.target for clip in batch]
            outputs = converter.convert(inputs, names, seed=seed, progress=bar.update, **(options or {}))
            for clip, output in zip(batch, outputs, strict=True):
                clip.samples = np.asarray(output, dtype=np.float32)[: len(source[clip.utt_id])]
            write(batch)


def by_kind(clips: Sequence[EvaluationClip], sources_apart: bool = False) -> dict[str, list[EvaluationClip]]:
    """Group recordings by kind; kinds without recordings are left out.

    Conversions to speakers with a handful of sentences are the kind ``conversion_into_few``. The other conversions are
    also grouped by whether the source's speaker was in training, and so are the sources with ``sources_apart``.
    """
    groups = {
        kind: [clip for clip in clips if clip.kind == kind and not clip.few]
        for kind in ("natural", "source", "copy", *KINDS[1:])
    }
    for kind in ("conversion", *(("source",) if sources_apart else ())):
        group = groups[kind]
        if any(clip.seen for clip in group) and not all(clip.seen for clip in group):
            groups[f"{kind}_of_seen"] = [clip for clip in group if clip.seen]
            groups[f"{kind}_of_unseen"] = [clip for clip in group if not clip.seen]
    groups["conversion_into_few"] = [clip for clip in clips if clip.kind == "conversion" and clip.few]
    return {kind: group for kind, group in groups.items() if group}


def with_copies(clips: Sequence[EvaluationClip]) -> list[EvaluationClip]:
    """``clips``, and for every conversion a copy of its source, as the baseline of converting nothing."""
    sources = {clip.utt_id: clip for clip in clips if clip.kind == "source"}
    copies = []
    for clip in clips:
        if clip.kind == "conversion":
            source = sources[clip.utt_id]
            copies.append(
                dataclasses.replace(clip, kind="copy", samples=source.samples, measured=dict(source.measured))
            )
    return [*clips, *copies]


def safe_name(name: str) -> str:
    """Make a file name of letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "_"


def parallel(store, clips: Sequence[EvaluationClip]) -> Mapping[int, object]:
    """The natural utterances in which a conversion's target reads the same sentence, by the index of the conversion."""
    read = {(item.speaker, plain_words(item.text)): item for item in store.utterances if plain_words(item.text)}
    same_sentence = {}
    for index, clip in enumerate(clips):
        item = read.get((clip.target, plain_words(clip.text)))
        if clip.kind == "conversion" and item is not None:
            same_sentence[index] = item
    return same_sentence


def annotate(clips: Sequence[EvaluationClip], archive, alignment: Mapping[str, Sequence] | None) -> None:
    """Store the codes and phones of every source in ``measured``, for plots. archive: CodeArchive, or None."""
    known = set(archive.utt_ids.tolist()) if archive is not None else set()
    for clip in clips:
        if clip.kind == "source" and clip.utt_id in known:
            clip.measured["codes"] = archive.codes_of(clip.utt_id).tolist()
            clip.measured["hop_length"] = int(archive.hop_length)
            segments = (alignment or {}).get(clip.utt_id) or ()
            clip.measured["phones"] = [
                [round(item.start_s, 4), round(item.duration_s, 4), item.phone] for item in segments
            ]
