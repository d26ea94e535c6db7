"""Which utterances are converted into which voices, and the recordings that come out of it."""

import hashlib
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from vqvc._util.nearest import nearest
from vqvc.errors import CorpusError, UsageError
from vqvc.evaluation.content import plain_words

logger = logging.getLogger("vqvc.evaluate")

KINDS = ("source", "reconstruction", "conversion")


@dataclass
class Clip:
    """One recording that is judged: natural (source), or made by the model. ``voice`` is whose voice it should be."""

    kind: str
    utt_id: str
    speaker: str
    voice: str
    text: str
    file: str
    samples: np.ndarray
    seen: bool  # whether the source's speaker was in training
    measured: dict = field(default_factory=dict)  # what was found out: pitch tracks, features, words


def order_of(name: str, seed: int = 0) -> str:
    """A key that shuffles names the same way on every machine."""
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def choose_targets(store, known: Sequence[str], wanted: Sequence[str] | None, count: int) -> list[str]:
    """The voices to convert into: ``wanted``, or ``count`` known speakers with most training speech, genders in turn.

    Raises UsageError for an unknown voice, with the nearest names.
    """
    if wanted:
        for name in wanted:
            if name not in known:
                near = ", ".join(nearest(name, known))
                raise UsageError(f"--targets: the model has no speaker {name!r}; near it: {near}")
        return list(wanted)
    spoken = Counter()
    for utterance in store.subset("train"):
        spoken[utterance.speaker] += utterance.length_samples
    by_gender = defaultdict(list)
    genders = {item.speaker: item.gender for item in store.speakers}
    for name in sorted(known, key=lambda name: (-spoken[name], name)):
        by_gender[genders.get(name, "")].append(name)
    groups = [by_gender[gender] for gender in sorted(by_gender)]
    turns = [group[turn] for turn in range(max(map(len, groups), default=0)) for group in groups if turn < len(group)]
    if not turns:
        raise CorpusError("the model knows no speaker to convert into")
    return turns[:count]


def choose_sources(store, known: Sequence[str], targets: Sequence[str], limit: int, seed: int = 0) -> list:
    """At most ``limit`` utterances: half of unseen speakers (test), half of known ones (dev), as far as there are such.

    Of each unseen speaker at least half of the utterances stay aside, to teach the identifier that voice. Utterances with a
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


def make(
    converter, store, sources: Sequence, targets: Sequence[str], out: Path, seed: int = 0, how: Mapping | None = None
) -> list[Clip]:
    """Sources, their reconstructions (known speakers only) and their conversions, written under ``out``/wav.

    how: more keywords of the converter (temperature, fold, postfilter).
    """
    from vqvc.audio import io

    def clip(kind: str, item, voice: str, samples: np.ndarray) -> Clip:
        known = item.speaker in converter.speakers
        return Clip(kind, item.utt_id, item.speaker, voice, item.text, "", samples, known)

    clips, jobs = [], []
    for item in sources:
        samples = store.waveform(item)
        clips.append(clip("source", item, item.speaker, samples))
        voices = [("reconstruction", item.speaker)] if clips[-1].seen else []
        voices += [("conversion", name) for name in targets if name != item.speaker]
        jobs += [(kind, item, voice, samples) for kind, voice in voices]
    logger.info("converting: %d recordings from %d utterances", len(jobs), len(sources))
    total = sum(len(samples) for *_, samples in jobs)
    with tqdm(desc="converting", total=total, unit="sample", unit_scale=True, disable=None) as bar:
        pairs = [(samples, voice) for _, _, voice, samples in jobs]
        made = converter.convert_batch(pairs, seed=seed, progress=bar.update, **(how or {}))
    for (kind, item, voice, samples), output in zip(jobs, made, strict=True):
        clips.append(clip(kind, item, voice, np.asarray(output, dtype=np.float32)[: len(samples)]))
    for one in clips:
        name = one.utt_id if one.kind == "source" else f"{one.utt_id}-to-{one.voice}"
        one.file = f"wav/{one.kind}/{safe_name(name)}.wav"
        (out / one.file).parent.mkdir(parents=True, exist_ok=True)
        io.write(out / one.file, one.samples, store.sample_rate)
    return clips


def safe_name(name: str) -> str:
    """``name`` as a file name: letters, digits, dot, dash and underscore."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".") or "_"


def parallel(store, clips: Sequence[Clip]) -> Mapping[int, object]:
    """{index of a conversion: natural utterance in which the wanted voice reads the same sentence}."""
    read = {(item.speaker, plain_words(item.text)): item for item in store.utterances if plain_words(item.text)}
    found = {}
    for index, clip in enumerate(clips):
        item = read.get((clip.voice, plain_words(clip.text)))
        if clip.kind == "conversion" and item is not None:
            found[index] = item
    return found


def annotate(clips: Sequence[Clip], archive, alignment: Mapping[str, Sequence] | None) -> None:
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
