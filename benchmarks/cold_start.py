#!/usr/bin/env python3
"""What a stream that begins cold costs in words: short sentences converted offline and live, judged by a recogniser.

    python benchmarks/cold_start.py --data data/test [--model FILE] [--speakers p225 p226] [--sentences 24] [--skip 0]
                                    [--lengths 2 3] [--recogniser whisper:base] [--speaker-encoder ge2e] [--json FILE]

--data is a folder with wav.scp, utt2spk and text. Of its sentences of other speakers than the targets, so many seconds long, the first
--sentences after --skip are taken in an order that the names' checksums give. Each is converted to every target:

source                    not converted
offline                   by ``VoiceConverter.convert``
stream                    by a stream that begins with the sentence, whose statistics are running means
stream, known statistics  with level, offset and median F0 of the whole sentence
stream, warm              by a stream that has converted another sentence of the speaker before
... without post-filter   the same without it

words       that the recogniser has wrong: insertions, deletions and substitutions against the text, of all words, and in %
similarity  mean cosine to the target's recordings in --data, by the speaker encoder
"""

import argparse
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from vqvc._util import atomic
from vqvc.cli._common import parser, run
from vqvc.cli._models import add_model

BLOCK_S = 0.02


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    p = parser("Measure what a stream that begins cold costs in words.")
    add_model(p)
    p.add_argument("--data", type=Path, required=True, help="a folder with wav.scp, utt2spk and text")
    p.add_argument("--speakers", nargs="+", default=["p225", "p226"], help="the targets")
    p.add_argument("--sentences", type=int, default=24, help="how many")
    p.add_argument("--skip", type=int, default=0, help="leave out so many first, on which something was chosen")
    p.add_argument("--lengths", type=float, nargs=2, default=[2.0, 3.0], metavar=("LEAST", "MOST"), help="seconds")
    p.add_argument("--recogniser", default="whisper:base", help="see vqvc-evaluate")
    p.add_argument("--speaker-encoder", default="ge2e", help="see vqvc-evaluate; none leaves similarity out")
    p.add_argument("--seed", type=int, default=0, help="of the draws")
    p.add_argument("--rows", nargs="+", help="measure these alone")
    p.add_argument("--json", type=Path, help="write the figures there too")
    return p


def chosen(items: list, targets: list[str], args: argparse.Namespace, rate: int) -> list[tuple]:
    """(item, samples, another recording of the speaker) for every sentence."""
    from vqvc.audio import io

    found, left_out = [], args.skip
    for item in sorted(items, key=lambda item: zlib.crc32(item.utt_id.encode())):
        if len(found) == args.sentences:
            break
        others = [other for other in items if other.speaker == item.speaker and other.utt_id != item.utt_id]
        if item.speaker in targets or not item.text or not others:
            continue
        samples = io.read(item.path, rate).samples
        if args.lengths[0] <= len(samples) / rate <= args.lengths[1]:
            if left_out:
                left_out -= 1
            else:
                found.append((item, samples, io.read(others[0].path, rate).samples))
    return found


def streamed(converter, samples: np.ndarray, before: np.ndarray, speaker: str, **options) -> np.ndarray:
    """What a stream makes of samples, in blocks, after ``before``."""
    from vqvc.conversion.live import blocks_of

    stream = converter.stream(speaker, **options)
    size = round(BLOCK_S * converter.sample_rate)
    made = [stream.convert(block) for block in blocks_of([before, samples], size)]
    return np.concatenate([*made, stream.flush()])[len(before) :]


def conversions(converter, seed: int) -> dict[str, Callable]:
    """The rows that convert: (samples, another recording of the speaker, target) -> samples."""
    from vqvc.conversion import chunking
    from vqvc.conversion.statistics import Statistics

    nothing = np.zeros(0, np.float32)

    def known(samples: np.ndarray) -> Statistics:
        whole = chunking.survey((samples, converter.sample_rate), converter.model)
        return Statistics(whole.gain, whole.dc, whole.pitch, whole.equalizer_db)

    def offline(postfilter: bool) -> Callable:
        return lambda samples, _, target: converter.convert(samples, target, seed=seed, postfilter=postfilter)

    def live(postfilter: bool, warm: bool = False, given: bool = False) -> Callable:
        return lambda samples, other, target: streamed(
            converter, samples, other if warm else nothing, target,
            seed=seed, postfilter=postfilter, statistics=known(samples) if given else None,
        )  # fmt: skip

    return {
        "offline": offline(True),
        "offline without post-filter": offline(False),
        "stream": live(True),
        "stream without post-filter": live(False),
        "stream, known statistics": live(True, given=True),
        "stream, warm": live(True, warm=True),
    }


def work(args: argparse.Namespace) -> None:
    """Convert, judge, print."""
    import torch

    import vqvc
    from vqvc.audio import io
    from vqvc.corpus import kaldi_dir
    from vqvc.evaluation.judges.recognisers import make_recogniser
    from vqvc.evaluation.judges.speaker_encoders import centre, make_speaker_encoder
    from vqvc.evaluation.metrics.words import count_errors

    torch.set_num_threads(1)
    converter = vqvc.load(args.model, "cpu")
    rate, recogniser = converter.sample_rate, make_recogniser(args.recogniser)
    items = kaldi_dir.read(args.data).items
    sentences = chosen(items, args.speakers, args, rate)
    encoder = None if args.speaker_encoder == "none" else make_speaker_encoder(args.speaker_encoder)
    if encoder:
        natural = {
            name: [io.read(item.path, rate).samples for item in items if item.speaker == name] for name in args.speakers
        }
        centres = {name: centre(encoder.embed(recordings, rate)) for name, recordings in natural.items()}
    rows = {"source": None} | conversions(converter, args.seed)
    result = {"model": converter.checksum[:12], "utt_ids": [item.utt_id for item, *_ in sentences], "rows": {}}
    print(f"{len(sentences)} sentences to {len(args.speakers)} speakers; {recogniser.recipe}")
    for name, convert in rows.items():
        if args.rows and name not in args.rows:
            continue
        made = [
            (item, target, samples if convert is None else convert(samples, other, target))
            for target in (args.speakers if convert else [""])
            for item, samples, other in sentences
        ]
        errors = count_errors(
            [item.text for item, *_ in made], [recogniser.words(samples, rate) for *_, samples in made],
            normalise=recogniser.normalise,
        )  # fmt: skip
        one = {"words": int(errors.lengths.sum()), "wrong": int(errors.edits.sum()), "percent": 100 * errors.rate}
        if encoder and convert:
            embedded = encoder.embed([samples for *_, samples in made], rate)
            one["similarity"] = float(np.mean([row @ centres[target] for row, (_, target, _) in zip(embedded, made)]))
        result["rows"][name] = one
        similarity = f", similarity {one['similarity']:.3f}" if "similarity" in one else ""
        print(f"{name:28} {one['wrong']:4} of {one['words']} words, {one['percent']:.1f} %{similarity}", flush=True)
    if args.json:
        atomic.write_json(args.json, result)


if __name__ == "__main__":
    raise SystemExit(run(make_parser, work))
