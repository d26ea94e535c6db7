#!/usr/bin/env python3
"""Where a reconstruction loses words: in the codes and the conditioner, or in the decoder; judged by a recogniser.

    python benchmarks/lost_words.py --data data/test [--model FILE] [--sentences 40] [--recogniser whisper:base] [--json FILE]

--data is a folder with wav.scp, utt2spk and text. Of its sentences of the model's speakers, --sentences are taken in an order that the
names' checksums give. Each is reconstructed, that is, converted to its own speaker:

natural                    the recording
decoder                    what the decoder makes, without the post-filter
post-filter                corrected towards the log-mel frames that codes, F0 and speaker predict, as every conversion is
original's log-mel frames  corrected by the same filter towards the frames of the recording itself

The last bounds what better predictions of the spectral envelope can reach with this decoder: what it loses, the decoder loses; what
the post-filter loses beyond it, the codes or the conditioner do.

words    that the recogniser has wrong: insertions, deletions and substitutions against the text, of all words, and in %
log-mel  mean absolute difference from the recording's log-mel frames, in units of ``LogMel``
"""

import argparse
import zlib
from pathlib import Path

import numpy as np

from vqvc._util import atomic
from vqvc.cli._common import parser, run
from vqvc.cli._models import add_model
from vqvc.errors import UsageError

ROWS = ("natural", "decoder", "post-filter", "original's log-mel frames")


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    p = parser("Measure where a reconstruction loses words.")
    add_model(p)
    p.add_argument("--data", type=Path, required=True, help="a folder with wav.scp, utt2spk and text")
    p.add_argument("--sentences", type=int, default=40, help="how many")
    p.add_argument("--recogniser", default="whisper:base", help="see vqvc-evaluate")
    p.add_argument("--temperature", type=float, help="of the draws; that of vqvc-convert when not given")
    p.add_argument("--seed", type=int, default=0, help="of the draws")
    p.add_argument("--json", type=Path, help="write the figures there too")
    return p


def reconstructions(
    model, sampler, samples: np.ndarray, speaker: int, seed: int, temperature: float
) -> dict[str, np.ndarray]:
    """The rows of one recording (T,) at the model's rate: (T',) float32 each at the level of training."""
    import torch

    from vqvc.conversion import analysis, pipeline
    from vqvc.conversion.postfilter import PostFilter

    hop = model.hop_length
    levelled = analysis.levelled(model, samples).samples
    natural = np.pad(levelled, (0, -len(levelled) % hop)).astype(np.float32)
    request = pipeline.Request.of(analysis.analyse_recording(model, samples), speaker, seed)
    plans = pipeline.plan(model, sampler, [request])
    decoded = pipeline.sample(sampler, plans, model.config.audio.sample_rate, temperature)[0].samples
    with torch.inference_mode():
        frames = model.mel(torch.from_numpy(natural)[None])[0].T
    shape = PostFilter(model)
    corrected = [shape(decoded, target, speaker) for target in (plans[0].predicted_mel, frames)]
    return dict(zip(ROWS, (natural, decoded, *corrected)))


def work(args: argparse.Namespace) -> None:
    """Reconstruct, judge, print."""
    import torch

    import vqvc
    from vqvc.audio import io
    from vqvc.conversion.options import settled
    from vqvc.corpus import kaldi_dir
    from vqvc.engine.gpu.sampler import make_sampler
    from vqvc.evaluation.judges.recognisers import make_recogniser
    from vqvc.evaluation.metrics.words import count_errors

    converter = vqvc.load(args.model, "cpu")
    rate, recogniser = converter.sample_rate, make_recogniser(args.recogniser)
    asked = {"seed": args.seed} | ({} if args.temperature is None else {"temperature": args.temperature})
    seed, options = settled(asked)
    sampler = make_sampler(converter.model)
    items = [item for item in kaldi_dir.read(args.data).items if item.text and item.speaker in converter.speakers]
    items = sorted(items, key=lambda item: zlib.crc32(item.utt_id.encode()))[: args.sentences]
    if not items:
        raise UsageError(f"{args.data}: has no sentence of a speaker of the model with a text")
    made: dict[str, list[np.ndarray]] = {row: [] for row in ROWS}
    errors: dict[str, list[float]] = {row: [] for row in ROWS}
    for item in items:
        speaker, samples = converter.speakers.index(item.speaker), io.read(item.path, rate).samples
        rows = reconstructions(converter.model, sampler, samples, speaker, seed, options["temperature"])
        with torch.inference_mode():
            frames = {row: converter.model.mel(torch.from_numpy(one)[None])[0] for row, one in rows.items()}
        for row, samples in rows.items():
            made[row].append(samples)
            errors[row].append(float((frames[row] - frames["natural"]).abs().mean()))
    result = {"model": converter.checksum[:12], "utt_ids": [item.utt_id for item in items], "rows": {}}
    print(f"{len(items)} sentences; {recogniser.recipe}")
    for row in ROWS:
        words = [recogniser.words(samples, rate) for samples in made[row]]
        found = count_errors([item.text for item in items], words, normalise=recogniser.normalise)
        one = {"words": int(found.lengths.sum()), "wrong": int(found.edits.sum()), "percent": 100 * found.rate}
        result["rows"][row] = one | {"log_mel": float(np.mean(errors[row]))}
        print(
            f"{row:26} {one['wrong']:4} of {one['words']} words, {one['percent']:.1f} %; log-mel {np.mean(errors[row]):.3f}",
            flush=True,
        )
    if args.json:
        atomic.write_json(args.json, result)


if __name__ == "__main__":
    raise SystemExit(run(make_parser, work))
