#!/usr/bin/env python3
"""How near do enrolled voices come? Conversions to people whom the model never met, judged by an independent speaker encoder.

    python benchmarks/enrollment.py --people DIR --src DIR [--model FILE] [--seconds 30 10] [--sentences 4] [--json FILE]

DIR of --people has a folder for each person with sound files in it, at least 45 s together; --src has sentences of others. Each person
is enrolled from the first so many seconds; the recordings after the longest of them are what the person sounds like: their centre in
the space of a speaker encoder (extra `speaker`), which neither training nor enrollment uses.

natural    those other recordings themselves, against the centre of the rest of them
nearest    the speaker of the table who predicts the recordings best, in place of an enrolled voice
N s        enrolled from N seconds

similarity   mean cosine to the person's centre, with a 95 % interval over conversions (bootstrap)
named        share of conversions whose nearest centre is the person's
to source    mean cosine to the source's sentence: what is left of the voice that was to go
             these three by each encoder of --speaker-encoder
F0           mean distance of the conversion's median pitch from the person's, in semitones
enrolling    seconds for one person: wall clock and processor
"""

import argparse
import json
import logging
import time
from pathlib import Path

import numpy as np

from vqvc._util import atomic
from vqvc.cli._common import parser, run
from vqvc.cli._models import add_model

logger = logging.getLogger("vqvc.enrollment")
CANDIDATES, COMPARED_CROPS = 12, 4  # speakers of the table that are compared, by so many crops


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    p = parser("Measure how near enrolled voices come to their owners.")
    add_model(p)
    p.add_argument("--people", type=Path, required=True, help="a folder for each person, with recordings")
    p.add_argument("--src", type=Path, required=True, help="recordings of other people, to convert")
    p.add_argument("--seconds", type=float, nargs="+", default=[30.0, 10.0], help="of each person to enroll from")
    p.add_argument("--sentences", type=int, default=4, help="of --src, evenly picked")
    p.add_argument("--speaker-encoder", nargs="+", default=["ge2e", "campplus"], help="that judge: ge2e, campplus")
    p.add_argument("--seed", type=int, default=0, help="of the draws")
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
    """log2 of Hz; not a number where nothing is voiced."""
    from vqvc.audio.pitch import f0

    with np.errstate(all="ignore"):
        return float(np.log2(np.nanmedian(f0(samples, rate)[1])))


class Judge:
    """A speaker encoder, with what people and sources are in its space; others: recordings of each person that judge."""

    def __init__(self, spec: str, others: list[list[np.ndarray]], sentences: list[np.ndarray], rate: int):
        from vqvc.evaluation.judges.speaker_encoders import centre, make_speaker_encoder

        self.encoder, self.rate = make_speaker_encoder(spec), rate
        embedded = [self.encoder.embed(recordings, rate) for recordings in others]
        self.centres = np.stack([centre(rows) for rows in embedded])
        self.sources = self.encoder.embed(sentences, rate)
        alone = [centre(np.delete(rows, n, 0)) @ row for rows in embedded for n, row in enumerate(rows)]
        named = [np.argmax(self.centres @ row) == owner for owner, rows in enumerate(embedded) for row in rows]
        self.natural = {"similarity": float(np.mean(alone)), "named_percent": 100 * float(np.mean(named))}

    def figures(self, converted: list[np.ndarray], owners: list[int], sources: list[int], seed: int) -> dict:
        """What the docstring of this file defines, of conversions with their owners' and sources' indices."""
        embedded, owners = self.encoder.embed(converted, self.rate), np.array(owners)
        similar = np.einsum("nd,nd->n", embedded, self.centres[owners])
        rng = np.random.default_rng(seed)
        means = similar[rng.integers(len(similar), size=(1000, len(similar)))].mean(1)
        named = (embedded @ self.centres.T).argmax(1) == owners
        people = range(len(self.centres))
        return {
            "similarity": float(similar.mean()),
            "interval": [float(end) for end in np.quantile(means, (0.025, 0.975))],
            "per_person": [float(similar[owners == owner].mean()) for owner in people],
            "named_percent": 100 * float(named.mean()),
            "named_per_person": [100 * float(named[owners == owner].mean()) for owner in people],
            "to_source": float(np.einsum("nd,nd->n", embedded, self.sources[sources]).mean()),
        }


def work(args: argparse.Namespace) -> None:
    """Enroll, convert, judge, print."""
    import vqvc
    from vqvc.audio import folder, io

    converter = vqvc.load(args.model)
    rate = converter.sample_rate

    def read(paths: list[Path]) -> list[np.ndarray]:
        return [io.read(path, rate).samples for path in paths]

    people = {
        path.name: read(folder.recordings_in(path).recordings)
        for path in sorted(args.people.iterdir())
        if path.is_dir()
    }
    listed = folder.recordings_in(args.src).recordings
    sentences = read(listed[:: max(1, len(listed) // args.sentences)][: args.sentences])
    longest = round(max(args.seconds) * rate)
    others = [after(recordings, longest) for recordings in people.values()]
    judges = [Judge(spec, others, sentences, rate) for spec in args.speaker_encoder]
    pitches = [median_pitch(np.concatenate(first_seconds(each, longest)), rate) for each in people.values()]
    result = {
        "model": converter.checksum,
        "people": list(people),
        "sentences": len(sentences),
        "encoders": [judge.encoder.recipe for judge in judges],
        "natural": {"judged": [judge.natural for judge in judges]},
    }
    analysed = [converter.analyse(one) for one in sentences]
    targets: dict[str, list] = {}
    for seconds in args.seconds:
        begin, begin_cpu = time.perf_counter(), time.process_time()
        voices = [
            converter.enroll(first_seconds(recordings, round(seconds * rate)), name=name)
            for name, recordings in people.items()
        ]
        label = f"{seconds:g} s"
        targets[label] = voices
        result[label] = {
            "wall_s": (time.perf_counter() - begin) / len(people), "cpu_s": (time.process_time() - begin_cpu) / len(people),
        }  # fmt: skip
        for voice in voices:
            logger.info("%s, %s: %s", label, voice.name, voice.provenance)
    if not args.no_nearest:
        longest_voices = targets[f"{max(args.seconds):g} s"]
        targets["nearest"] = [
            nearest_speaker(converter, first_seconds(each, longest), voice.vector)
            for each, voice in zip(people.values(), longest_voices)
        ]
        result["nearest"] = {"speakers": targets["nearest"]}
    for label, voices in targets.items():
        pairs = [(owner, source) for owner in range(len(people)) for source in range(len(sentences))]
        converted = converter.synthesize([(analysed[source], voices[owner]) for owner, source in pairs], seed=args.seed)
        owners, sources = (list(each) for each in zip(*pairs))
        away = [12 * abs(median_pitch(samples, rate) - pitches[owner]) for samples, owner in zip(converted, owners)]
        result[label]["f0_semitones"] = float(np.nanmean(away))
        result[label]["judged"] = [judge.figures(converted, owners, sources, args.seed) for judge in judges]
        if args.wavs:
            for (owner, source), samples in zip(pairs, converted):
                io.write(args.wavs / label.replace(" ", "") / f"{list(people)[owner]}-{source}.wav", samples, rate)
    _report(result)
    if args.json:
        atomic.write_json(args.json, result)


def _report(result: dict) -> None:
    print(f"{len(result['people'])} people, {result['sentences']} sentences of others each")
    for place, recipe in enumerate(result["encoders"]):
        print(f"\n{recipe}")
        print(f"{'':10} {'similarity':>22} {'named':>7} {'to source':>10} {'F0':>8} {'enrolling':>18}")
        for label, one in result.items():
            if not isinstance(one, dict):
                continue
            judged = one["judged"][place]
            interval = "[{:.3f}, {:.3f}]".format(*judged["interval"]) if "interval" in judged else ""
            source = f"{judged['to_source']:.3f}" if "to_source" in judged else ""
            pitch = f"{one['f0_semitones']:.1f} st" if "f0_semitones" in one else ""
            took = f"{one['wall_s']:.1f} s, {one['cpu_s']:.1f} CPU" if "wall_s" in one else ""
            print(
                f"{label:10} {judged['similarity']:6.3f} {interval:>15} {judged['named_percent']:6.1f}% {source:>10} {pitch:>8} {took:>18}"
            )
    print(json.dumps(result))


if __name__ == "__main__":
    raise SystemExit(run(make_parser, work))
