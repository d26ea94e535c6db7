#!/usr/bin/env python3
"""How near do enrolled voices come? Conversions to people whom the model never met, judged by an independent speaker encoder.

    python benchmarks/enrollment.py --people DIR [DIR ...] --src DIR [--model FILE] [--seconds 30 10] [--sentences 4]
        [--recogniser whisper:base] [--json FILE]

Each DIR of --people has a folder for each person with sound files in it, at least 45 s together (benchmarks/people.py makes one);
--src has sentences of others. A person is enrolled from the first so many seconds; the recordings after the longest of them are what
the person sounds like: their centre in the space of a speaker encoder (extra `speaker`), which neither training nor enrollment uses.
Of several DIR the figures are printed for each as well as for all; a person is always named among all.

natural    those other recordings themselves, against the centre of the rest of them
nearest    the speaker of the table who predicts the recordings best, in place of an enrolled voice
N s        enrolled from N seconds

similarity   mean cosine to the person's centre, with a 95 % interval over conversions (bootstrap)
named        share of conversions whose nearest centre is the person's
to source    mean cosine to the source's sentence: what is left of the voice that was to go
             these three by each encoder of --speaker-encoder
F0           mean distance of the conversion's median pitch from the person's, in semitones
words        share of the words that --recogniser understands in the sources which differ in the conversions, and how many points
             more that is than with the nearest speakers of the table, with a 95 % interval over conversions
enrolling    seconds for one person: wall clock and processor
"""

import argparse
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vqvc._util import atomic
from vqvc.cli._arguments import seed
from vqvc.cli._common import parser, run
from vqvc.cli._models import add_model
from vqvc.errors import AudioError

logger = logging.getLogger("vqvc.enrollment")
CANDIDATES, COMPARED_CROPS = 12, 4  # speakers of the table that are compared, by so many crops
NEAREST, ALL = "nearest", "all"


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    p = parser("Measure how near enrolled voices come to their owners.")
    add_model(p)
    p.add_argument("--people", type=Path, nargs="+", required=True, help="folders with a folder for each person")
    p.add_argument("--src", type=Path, required=True, help="recordings of other people, to convert")
    p.add_argument("--seconds", type=float, nargs="+", default=[30.0, 10.0], help="of each person to enroll from")
    p.add_argument("--sentences", type=int, default=4, help="of --src, evenly picked")
    p.add_argument("--speaker-encoder", nargs="+", default=["ge2e", "campplus"], help="that judge: ge2e, campplus")
    p.add_argument(
        "--recogniser", help="that judges words: pocketsphinx, whisper:MODEL or whisper:FOLDER; none when not given"
    )
    p.add_argument("--seed", type=seed, default=0, help="of the draws")
    p.add_argument(
        "--no-nearest", action="store_true", help="leave out the nearest speaker of the table, which is slow"
    )
    p.add_argument("--wavs", type=Path, help="folder for the conversions")
    p.add_argument("--json", type=Path, help="write the figures there too")
    return p


def first_seconds(recordings: list[np.ndarray], samples: int) -> list[np.ndarray]:
    """The first so many samples of recordings, cut."""
    taken = []
    for one in recordings:
        if samples > 0:
            taken.append(one[:samples])
            samples -= len(one)
    return taken


def after(recordings: list[np.ndarray], samples: int) -> list[np.ndarray]:
    """The recordings that ``first_seconds`` leaves out."""
    begins = np.cumsum([0, *map(len, recordings)])[:-1]
    return [one for one, begin in zip(recordings, begins) if begin >= samples]


def nearest_speaker(converter, recordings: list[np.ndarray], vector) -> str:
    """The speaker of the table that predicts log-mel frames of recordings best, of those that condition most like ``vector``."""
    import torch

    from vqvc.audio import level
    from vqvc.conversion import enrollment, suitability

    levelled = [level.normalise(one, converter.sample_rate).samples for one in recordings]
    found = suitability.assess(levelled, converter.sample_rate)
    crops = enrollment.make_crops(converter.model, levelled, found.f0[0])
    some = crops[torch.arange(0, len(crops), max(1, len(crops) // COMPARED_CROPS))]
    table, enter = (
        each.weight.detach() for each in (converter.model.conditioning.speaker, converter.model.conditioning.enter)
    )
    distance = ((table - vector) @ enter[:, -table.shape[1] :].T).norm(dim=1)
    candidates = distance.argsort()[:CANDIDATES].tolist()
    with torch.no_grad():
        errors = [float(enrollment.mel_error(converter.model, some, table[row])) for row in candidates]
    return converter.speakers[candidates[int(np.argmin(errors))]]


def median_pitch(samples: np.ndarray, rate: int) -> float:
    """log2 of Hz; nan where nothing is voiced."""
    from vqvc.audio.pitch import f0

    pitch = f0(samples, rate)[1]
    voiced = pitch[np.isfinite(pitch)]
    return float(np.log2(np.median(voiced))) if len(voiced) else np.nan


def mean_with_interval(values: np.ndarray, weights: np.ndarray, seed: int) -> tuple[float, list[float]]:
    """Mean of values (N,), weighted, and its 95 % interval over them (bootstrap)."""
    drawn = np.random.default_rng(seed).integers(len(values), size=(1000, len(values)))
    means = (values * weights)[drawn].sum(1) / weights[drawn].sum(1)
    return float((values * weights).sum() / weights.sum()), [float(end) for end in np.quantile(means, (0.025, 0.975))]


@dataclass(frozen=True)
class Conversions:
    """One for each person and sentence, N in all; owners and sources: (N,), which person's and which sentence's each is."""

    samples: list[np.ndarray]
    owners: np.ndarray
    sources: np.ndarray


def mean_of_known(values: np.ndarray) -> float | None:
    """Mean of the values (N,) that are numbers; None when none is."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


class Judge:
    """A speaker encoder, with what people and sources are in its space; others: recordings of each person that judge."""

    def __init__(self, spec: str, others: list[list[np.ndarray]], sentences: list[np.ndarray], rate: int):
        from vqvc.evaluation.judges.speaker_encoders import centre, make_speaker_encoder

        self.encoder, self.rate = make_speaker_encoder(spec), rate
        embedded = [self.encoder.embed(recordings, rate) for recordings in others]
        self.centres = np.stack([centre(rows) for rows in embedded])
        self.sources = self.encoder.embed(sentences, rate)
        self._alone = [[centre(np.delete(rows, n, 0)) @ row for n, row in enumerate(rows)] for rows in embedded]
        self._named = [[np.argmax(self.centres @ row) == owner for row in rows] for owner, rows in enumerate(embedded)]

    def natural(self, people: list[int]) -> dict:
        """Figures of the people's own recordings."""
        alone, named = (np.concatenate([each[owner] for owner in people]) for each in (self._alone, self._named))
        return {"similarity": float(alone.mean()), "named_percent": 100 * float(named.mean())}

    def figures(self, converted: Conversions, groups: dict[str, list[int]], seed: int) -> dict[str, dict]:
        """Of each group of people, what the docstring of this file defines."""
        embedded = self.encoder.embed(converted.samples, self.rate)
        similar = np.einsum("nd,nd->n", embedded, self.centres[converted.owners])
        to_source = np.einsum("nd,nd->n", embedded, self.sources[converted.sources])
        named = (embedded @ self.centres.T).argmax(1) == converted.owners
        result = {}
        for group, people in groups.items():
            of_each = [converted.owners == owner for owner in people]
            chosen = np.any(of_each, axis=0)
            mean, interval = mean_with_interval(similar[chosen], np.ones(chosen.sum()), seed)
            result[group] = {
                "similarity": mean,
                "interval": interval,
                "per_person": [float(similar[own].mean()) for own in of_each],
                "named_percent": 100 * float(named[chosen].mean()),
                "named_per_person": [100 * float(named[own].mean()) for own in of_each],
                "to_source": float(to_source[chosen].mean()),
            }
        return result


class Words:
    """A recogniser, with what it understands in the sources."""

    def __init__(self, spec: str, sentences: list[np.ndarray], rate: int):
        from vqvc.evaluation.judges.recognisers import make_recogniser

        self.recogniser, self.rate = make_recogniser(spec), rate
        self.references = [self.recogniser.words(samples, rate) for samples in sentences]
        if not all(self.references):
            raise AudioError(f"--src: {self.recogniser.name} understands no word in one of the sentences; give others")

    def differing(self, converted: Conversions) -> np.ndarray:
        """(N, 2): how many words of each conversion differ, and how many its source has."""
        from vqvc.evaluation.metrics.words import count_errors

        answers = [self.recogniser.words(samples, self.rate) for samples in converted.samples]
        references = [self.references[source] for source in converted.sources]
        errors = count_errors(references, answers, normalise=str)  # both sides are normalised
        return np.stack([errors.edits, errors.lengths], axis=1)

    @staticmethod
    def figures(differing: np.ndarray, nearest: np.ndarray | None, seed: int) -> dict:
        """In %, of what ``differing`` counts; nearest: the same of conversions of the same sentences to speakers of the table."""
        edits, words = differing.T
        mean, interval = mean_with_interval(100 * edits / words, words, seed)
        result = {"words": int(words.sum()), "differ_percent": mean, "interval": interval}
        if nearest is not None:
            more, between = mean_with_interval(100 * (edits - nearest[:, 0]) / words, words, seed)
            result |= {"over_nearest": more, "over_nearest_interval": between}
        return result


def work(args: argparse.Namespace) -> None:
    """Enroll, convert, judge, print."""
    import vqvc
    from vqvc.audio import folder, io

    converter = vqvc.load(args.model)
    rate = converter.sample_rate

    def read(paths: list[Path]) -> list[np.ndarray]:
        return [io.read(path, rate).samples for path in paths]

    found = [(group, path) for group in args.people for path in sorted(group.iterdir()) if path.is_dir()]
    names = [path.name for _, path in found]
    people = [read(folder.recordings_in(path).recordings) for _, path in found]
    groups = {ALL: list(range(len(found)))}
    if len(args.people) > 1:
        groups |= {str(one): [n for n, (group, _) in enumerate(found) if group == one] for one in args.people}
    listed = folder.recordings_in(args.src).recordings
    sentences = read(listed[:: max(1, len(listed) // args.sentences)][: args.sentences])
    longest = round(max(args.seconds) * rate)
    others = [after(recordings, longest) for recordings in people]
    for (_, path), recordings in zip(found, others):
        if len(recordings) < 2:
            raise AudioError(
                f"{path}: holds fewer than two recordings after the first {max(args.seconds):g} s; add more"
            )
    judges = [Judge(spec, others, sentences, rate) for spec in args.speaker_encoder]
    words = Words(args.recogniser, sentences, rate) if args.recogniser else None
    pitches = np.array([median_pitch(np.concatenate(first_seconds(each, longest)), rate) for each in people])
    result = {
        "model": converter.checksum,
        "people": names,
        "groups": groups,
        "sentences": len(sentences),
        "encoders": [judge.encoder.recipe for judge in judges],
        "recogniser": words.recogniser.recipe if words else None,
        "figures": {"natural": {"judged": [{g: judge.natural(n) for g, n in groups.items()} for judge in judges]}},
    }
    figures = result["figures"]
    analysed = [converter.analyse(one) for one in sentences]
    targets: dict[str, list] = {}
    for seconds in args.seconds:
        begin, begin_cpu = time.perf_counter(), time.process_time()
        voices = [
            converter.enroll(first_seconds(recordings, round(seconds * rate)), name=name, seed=args.seed)
            for name, recordings in zip(names, people)
        ]
        label = f"{seconds:g} s"
        targets[label] = voices
        figures[label] = {
            "wall_s": (time.perf_counter() - begin) / len(people), "cpu_s": (time.process_time() - begin_cpu) / len(people),
        }  # fmt: skip
        for voice in voices:
            logger.info("%s, %s: %s", label, voice.name, voice.provenance)
    if not args.no_nearest:
        longest_voices = targets[f"{max(args.seconds):g} s"]
        targets[NEAREST] = [
            nearest_speaker(converter, first_seconds(each, longest), voice.vector)
            for each, voice in zip(people, longest_voices)
        ]
        figures[NEAREST] = {"speakers": targets[NEAREST]}
    owners, sources = (each.ravel() for each in np.indices((len(people), len(sentences))))
    differing: dict[str, np.ndarray] = {}
    for label, voices in targets.items():
        pairs = [(analysed[source], voices[owner]) for owner, source in zip(owners, sources)]
        converted = Conversions(converter.synthesize(pairs, seed=args.seed), owners, sources)
        away = 12 * np.abs([median_pitch(samples, rate) for samples in converted.samples] - pitches[owners])
        figures[label]["f0_semitones"] = {
            group: mean_of_known(away[np.isin(owners, members)]) for group, members in groups.items()
        }
        figures[label]["judged"] = [judge.figures(converted, groups, args.seed) for judge in judges]
        if words:
            differing[label] = words.differing(converted)
        if args.wavs:
            for owner, source, samples in zip(owners, sources, converted.samples):
                io.write(args.wavs / label.replace(" ", "") / f"{names[owner]}-{source}.wav", samples, rate)
    for label, counts in differing.items():
        beside = None if label == NEAREST else differing.get(NEAREST)
        figures[label]["words"] = {
            group: Words.figures(counts[own], None if beside is None else beside[own], args.seed)
            for group, own in ((g, np.isin(owners, n)) for g, n in groups.items())
        }
    _report(result)
    if args.json:
        atomic.write_json(args.json, result)


def _report(result: dict) -> None:
    for group, people in result["groups"].items():
        print(f"{group}: {len(people)} people, {result['sentences']} sentences of others each")
        for place, recipe in enumerate(result["encoders"]):
            print(f"\n{recipe}")
            print(f"{'':10} {'similarity':>22} {'named':>7} {'to source':>10} {'F0':>8} {'enrolling':>18}")
            for label, one in result["figures"].items():
                judged = one["judged"][place][group]
                interval = "[{:.3f}, {:.3f}]".format(*judged["interval"]) if "interval" in judged else ""
                source = f"{judged['to_source']:.3f}" if "to_source" in judged else ""
                away = one.get("f0_semitones", {}).get(group)
                pitch = "" if away is None else f"{away:.1f} st"
                took = f"{one['wall_s']:.1f} s, {one['cpu_s']:.1f} CPU" if "wall_s" in one else ""
                print(
                    f"{label:10} {judged['similarity']:6.3f} {interval:>15} {judged['named_percent']:6.1f}% {source:>10} {pitch:>8} {took:>18}"
                )
        print()
        if result["recogniser"]:
            print(f"{result['recogniser']}\n{'':10} {'words differ':>22} {'more than with the nearest':>28}")
            for label, one in (
                (label, one["words"][group]) for label, one in result["figures"].items() if "words" in one
            ):
                between = "[{:.1f}, {:.1f}]".format(*one["interval"])
                more = ""
                if "over_nearest" in one:
                    more = "{:+.1f} [{:+.1f}, {:+.1f}]".format(one["over_nearest"], *one["over_nearest_interval"])
                print(f"{label:10} {one['differ_percent']:6.1f}% {between:>14} {more:>28}  of {one['words']}")
            print()
    print(json.dumps(result))


if __name__ == "__main__":
    raise SystemExit(run(make_parser, work))
