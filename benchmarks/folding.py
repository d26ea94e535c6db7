#!/usr/bin/env python3
"""Does folding change the speech? Words, speaker and joins of the same utterances synthesized folded and plain, in one run.

    python benchmarks/folding.py --store egs/vctk/dump [--model FILE] [--utterances 24] [--seed 0] [--json FILE]

Dev utterances, evenly picked, are each converted to another speaker with their own codes and f0 contour: once cut into parts as
short as folding ever makes them (what one utterance gets on many cores: the most joins), once in one stream, with the
same seed. Words and speaker are judged with the post-filter, as users have it; a difference is folded - plain, by
utterance. Joins are measured without it, by figures of the 20 ms around the middle of the cross-fade, in dB:

step      from the energy of the 5 ms before to that of the 5 ms after, without its sign
bend      energy of the second difference in the middle 4 ms (half of the cross-fade) over that in the rest: clicks, jumps of phase
level     energy in the middle 4 ms over that in the rest: a dip where waves cancel

joins     all of them
plain     the plain speech at the same places: the fair comparison, for what lies around is the same
as quiet  places of the folded speech without a join, each as loud in the rest of its 20 ms as one join; unlike joins
          they need not lie between louder neighbours, so that they may differ from joins without a fault

Intervals (95 %) are by bootstrap over utterances; p is by Kolmogorov-Smirnov and by ranks (Mann-Whitney), against joins.
"""

import argparse
import logging
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vqvc.cli._common import parser, run
from vqvc.cli._models import add_model

logger = logging.getLogger("vqvc.folding")

VOICES = 8  # taken in turn
STREAMS = 1 << 20  # to keep busy: more than there are parts, so that these are as short as they may be
AROUND_S, STEP_S, MIDDLE_S = 0.010, 0.005, 0.002  # to either side of a place


def energy(samples: np.ndarray, places: np.ndarray, begin: int, end: int) -> np.ndarray:
    """(P,) mean square of samples (T,) from ``begin`` to ``end`` after each place (P,), at least that of a quiet room."""
    return (samples[places[:, None] + np.arange(begin, end)] ** 2).mean(1) + 1e-10


def contrast(samples: np.ndarray, places: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Decibels (P,) of the middle 4 ms over the rest of the 20 ms, and of the rest alone."""
    middle, around = int(MIDDLE_S * rate), int(AROUND_S * rate)
    rest = (energy(samples, places, -around, -middle) + energy(samples, places, middle, around)) / 2
    return 10 * np.log10(energy(samples, places, -middle, middle) / rest), 10 * np.log10(rest)


def join_figures(samples: np.ndarray, places: np.ndarray, rate: int) -> dict[str, np.ndarray]:
    """{name: (P,) dB} of what the docstring of this file defines, at places (P,) of samples (T,)."""
    side = int(STEP_S * rate)
    step = 10 * np.log10(energy(samples, places, 0, side) / energy(samples, places, -side, 0))
    bends = np.pad(np.diff(samples, 2), 1)
    bend, level = (contrast(one, places, rate)[0] for one in (bends, samples))
    return {"step": np.abs(step), "bend": bend, "level": level}


def as_quiet(samples: np.ndarray, joins: np.ndarray, rate: int) -> np.ndarray:
    """Places (P,) of samples (T,) one for each join (P,), as loud around and more than 20 ms from any join."""
    around = int(AROUND_S * rate)
    places = np.arange(around, len(samples) - around, int(MIDDLE_S * rate))
    places = places[np.abs(places[:, None] - joins).min(1, initial=len(samples)) > 2 * around]
    wanted, found = (contrast(samples, at, rate)[1] for at in (joins, places))
    chosen = []
    for level in wanted:
        chosen.append(int(np.argmin(np.abs(found - level))))
        found[chosen[-1]] = np.inf  # each place once
    return places[chosen]


def compare(joins: Sequence[np.ndarray], others: Sequence[np.ndarray], seed: int) -> dict:
    """Figures of joins and of other places, one array for each utterance; the difference is of medians."""
    from scipy.stats import ks_2samp, mannwhitneyu

    from vqvc.evaluation.figures import resamples

    def apart(chosen: Sequence[int]) -> float:
        ours, theirs = (np.concatenate([values[i] for i in chosen]) for values in (joins, others))
        return float(np.median(ours) - np.median(theirs))

    ours, theirs = np.concatenate(joins), np.concatenate(others)
    return {
        "joins": np.quantile(ours, (0.5, 0.95)),
        "others": np.quantile(theirs, (0.5, 0.95)),
        "difference": apart(range(len(joins))),
        "interval_95": np.quantile([apart(chosen) for chosen in resamples(len(joins), seed)], (0.025, 0.975)),
        "ks_p": ks_2samp(ours, theirs).pvalue,
        "rank_p": mannwhitneyu(ours, theirs).pvalue,
    }


def judged(folded: Sequence, plain: Sequence, store, seed: int) -> dict:
    """{figure: folded, plain, difference, each (value, low, high)} of clips in the same order."""
    from vqvc.evaluation.figures import difference_interval, ratio_interval
    from vqvc.evaluation.judges.recognisers import PocketsphinxRecogniser
    from vqvc.evaluation.metrics import pitch, speaker_mfcc
    from vqvc.evaluation.metrics.words import count_errors

    def row(ours: np.ndarray, theirs: np.ndarray, totals: np.ndarray) -> dict:
        difference = (float(ours.sum() - theirs.sum()) / totals.sum(), *difference_interval(ours, theirs, totals, seed))
        alone = [(float(one.sum() / totals.sum()), *ratio_interval(one, totals, seed)) for one in (ours, theirs)]
        return {"folded": alone[0], "plain": alone[1], "difference": difference}

    rate, rows = store.sample_rate, {}
    logger.info("recognising the words")
    recognise = PocketsphinxRecogniser().words
    recognised = [[recognise(clip.samples, rate) for clip in clips] for clips in (folded, plain)]
    for unit in ("word", "character"):
        ours, theirs = (count_errors([clip.text for clip in plain], words, unit) for words in recognised)
        rows[f"{unit} error, %"] = row(100 * ours.edits, 100 * theirs.edits, ours.lengths)
    logger.info("fitting the speaker identifier")
    judge = speaker_mfcc.identifier(plain, store, seed)[0]
    named, near = [], []
    for clips in (folded, plain):
        pitch.add_pitch(clips, rate)
        features = np.stack([speaker_mfcc.clip_features(clip, rate) for clip in clips])
        named.append(np.array([100.0 * (name == clip.target) for name, clip in zip(judge.names_of(features), clips)]))
        near.append(np.array([judge.similarities(one[None], clip.target)[0] for one, clip in zip(features, clips)]))
    rows["named as wanted, %"] = row(*named, np.ones(len(plain)))
    rows["similarity"] = row(*near, np.ones(len(plain)))
    return rows


def synthesized_both_ways(args: argparse.Namespace, store) -> tuple[list, list, list[dict]]:
    """Clips folded and plain, and of each utterance the figures at its joins, there in plain speech, and elsewhere."""
    import vqvc
    from vqvc.api import TEMPERATURE
    from vqvc.conversion import pipeline
    from vqvc.conversion.postfilter import PostFilter
    from vqvc.engine.cpu.sampler import Sampler
    from vqvc.errors import CorpusError, UsageError
    from vqvc.evaluation.evaluation_set import EvaluationClip, choose_targets

    converter = vqvc.load(args.model)
    model, rate = converter.model, converter.sample_rate
    if store.sample_rate != rate:
        raise UsageError(
            f"{args.store}: holds {store.sample_rate} Hz, the model works at {rate} Hz; pack it at that rate"
        )
    dev = [item for item in store.subset("dev") if item.text]
    if not dev:
        raise CorpusError(f"{args.store}: has no utterance of subset dev with a text; prepare more speech")
    sources = [dev[i] for i in np.unique(np.linspace(0, len(dev) - 1, args.utterances).round().astype(int))]
    utterances_of = Counter(item.speaker for item in store.subset("train"))
    targets = choose_targets(store, [name for name in converter.speakers if utterances_of[name] > 1], None, VOICES)
    others = [[name for name in targets if name != item.speaker] or targets for item in sources]
    wanted = [names[i % len(names)] for i, names in enumerate(others)]
    analyses = [converter.analyse(store.waveform(item)) for item in sources]
    requests = [
        pipeline.Request(one.codes, converter.speakers.index(voice), args.seed, one.loudness, one.f0_contour)
        for one, voice in zip(analyses, wanted)
    ]
    sampler = Sampler(model)
    sampler.streams = STREAMS
    seconds = sum(one.length_samples for one in analyses) / rate
    logger.info("synthesizing %d utterances of %.0f s, folded and plain", len(sources), seconds)
    plans, off = (pipeline.plan(model, sampler, requests, folding) for folding in ("auto", "off"))
    made = [pipeline.sample(sampler, ways, rate, TEMPERATURE) for ways in (plans, off)]
    measured, clips = [], ([], [])
    shape = PostFilter(model) if model.has_mel else lambda samples, predicted_mel, speaker: samples
    for i, (item, plan) in enumerate(zip(sources, plans)):
        folded, plain, joins = made[0][i].samples, made[1][i].samples, made[0][i].middles
        at = {"joins": (folded, joins), "plain": (plain, joins), "as quiet": (folded, as_quiet(folded, joins, rate))}
        measured.append({name: join_figures(samples, places, rate) for name, (samples, places) in at.items()})
        for group, samples in zip(clips, (folded, plain)):
            shaped = shape(samples, plan.predicted_mel, requests[i].speaker)[: analyses[i].length_samples]
            group.append(
                EvaluationClip("conversion", item.utt_id, item.speaker, wanted[i], item.text, "", shaped, True)
            )
    return *clips, measured


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    p = parser(__doc__)
    p.add_argument(
        "--store", required=True, type=Path, help="packed store of vqvc-pack, with natural speech of the voices"
    )
    add_model(p)
    p.add_argument("--utterances", type=int, default=24, help="to synthesize")
    p.add_argument("--seed", type=int, default=0, help="of the draws and of the intervals")
    p.add_argument("--json", type=Path, help="write the figures there")
    return p


def work(args: argparse.Namespace) -> None:
    """Print two tables."""
    from vqvc._util.atomic import write_json
    from vqvc.corpus.store import PackedStore
    from vqvc.errors import UsageError
    from vqvc.evaluation.figures import tidy

    for path, remedy in ((args.store, "make a store with vqvc-pack"), (args.model, "train a model with vqvc-train")):
        if not path.exists():
            raise UsageError(f"{path}: does not exist; {remedy}, or name another")
    if args.utterances < 1:
        raise UsageError(f"--utterances {args.utterances}: give at least 1")
    store = PackedStore(args.store)
    folded, plain, measured = synthesized_both_ways(args, store)
    joins = sum(len(one["joins"]["step"]) for one in measured)
    print(f"{len(plain)} utterances, {joins} joins; seed {args.seed}; {args.model.name}")
    rows = judged(folded, plain, store, args.seed)
    print(f"\n{'':20}{'folded':>28}{'plain':>28}{'folded - plain':>28}")
    for name, row in rows.items():
        print(f"{name:20}" + "".join(f"{'{:.3g} [{:.3g}, {:.3g}]'.format(*cell):>28}" for cell in row.values()))
    result: dict = {"utterances": len(plain), "join_count": joins, "speech": rows, "joins": {}}
    if joins:
        print(
            f"\n{'dB':8}{'':10}{'median':>8}{'95th':>8}{'joins - these, of medians':>28}{'p (KS)':>9}{'p (ranks)':>11}"
        )
    for name in measured[0]["joins"] if joins else ():
        for other in ("plain", "as quiet"):
            found = compare(*([one[where][name] for one in measured] for where in ("joins", other)), args.seed)
            result["joins"].setdefault(name, {})[other] = found
            if other == "plain":
                print(f"{name:8}{'joins':10}" + "{:8.2f}{:8.2f}".format(*found["joins"]))
            difference = "{:.2f} [{:.2f}, {:.2f}]".format(found["difference"], *found["interval_95"])
            print(
                f"{'':8}{other:10}" + "{:8.2f}{:8.2f}".format(*found["others"])
                + f"{difference:>28}{found['ks_p']:9.2g}{found['rank_p']:11.2g}"
            )  # fmt: skip
    if args.json:
        write_json(args.json, tidy(result))


if __name__ == "__main__":
    raise SystemExit(run(make_parser, work))
