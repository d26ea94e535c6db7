"""Synthesis and training of a commit beside this tree: no slower? Both in turn, in one run.

    python benchmarks/beside.py 22339a9 [--rounds 3] [--speech-seconds 10] [--seconds 6] [--json FILE]
    python benchmarks/beside.py 22339a9 --whole [--rounds 1]

decode     what ships: codes to speech with the commit's included model, by the Python API with its defaults (folded, on all
           cores, by the processor's best unit), in samples of speech per second
train      forward and backward of a WaveNet of the size of ``small``, as the tree's benchmarks/training.py calls it, in samples per
           second

Each tree has a process of its own in each round, and the best of its rounds counts; what compiles is not timed. Three rounds
take three to five minutes on two cores. With --whole both trees' benchmarks/synthesis.py and training.py run instead, every size
and reference: up to an hour. Prints the samples per second of either tree and their ratio (above 1: this tree is faster).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from house import ROOT, unpacked

SIZE = "20-64-128-128"  # of ``small`` among the sizes of benchmarks/training.py
CODES = 512  # that are drawn for the speech; every included model has as many
TIMES = 3  # that a process decodes, of which the best counts


def start(tree: Path, *words: str | Path) -> str:
    """stdout of a Python process in which ``vqvc`` is a tree's."""
    environment = os.environ | {"PYTHONPATH": str(tree)}
    done = subprocess.run(
        [sys.executable, *words], cwd=tree, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def shipped(tree: Path, model: str, args: argparse.Namespace) -> dict[str, float]:
    """Samples per second of "decode" and "train" of a tree."""
    output = start(tree, __file__, "--measure", tree, model, str(args.speech_seconds), str(args.seconds))
    return json.loads(output.splitlines()[-1])


def whole(tree: Path, folder: Path) -> dict[str, float]:
    """Samples per second by "script size way", as the tree's own benchmarks find them."""
    rates = {}
    for script, words in (("synthesis.py", ["--rounds", "1"]), ("training.py", ["--seconds", "9"])):
        start(tree, tree / "benchmarks" / script, *words, "--json", folder / "found.json")
        for size, ways in json.loads((folder / "found.json").read_text()).items():
            rates |= {f"{script} {size} {way}": rate for way, rate in ways.items()}
    return rates


def measure(tree: Path, model: str, speech_s: float, training_s: float) -> dict[str, float]:
    """What ``shipped`` returns, in a process in which ``vqvc`` is the tree's."""
    import numpy as np
    import torch

    import vqvc

    converter = vqvc.load(model)
    assert Path(vqvc.__file__).is_relative_to(tree)
    codes = np.random.default_rng(0).integers(0, CODES, max(1, round(speech_s * 16000 / converter.hop_length)))
    speaker = converter.speakers[0]

    def decode() -> float:
        begin = time.perf_counter()
        made = converter.decode(codes, speaker)
        return len(made) / (time.perf_counter() - begin)

    decode()  # compiles, or reads the cache
    decoded = max(decode() for _ in range(TIMES))

    sys.path.insert(0, str(tree / "benchmarks"))
    import training

    training.keep_freed_memory()
    torch.manual_seed(0)
    layers, cycle, *widths = training.SIZES[SIZE]
    stack = training.ResidualStack(layers, cycle, 2, *widths, training.CONDITIONING)
    net = training.WaveNet(stack, training.CLASSES, 0, training.CLASSES)
    classes = torch.randint(0, training.CLASSES, (8, 8192))
    frames = torch.randn(8, training.CONDITIONING, classes.shape[1] // training.HOP)
    steps = training.timed(lambda: training.our_step(net, classes, frames), training_s, torch.device("cpu"))
    return {"decode": decoded, "train": classes.numel() * steps}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="of each tree, in turn; the best counts")
    parser.add_argument("--speech-seconds", type=float, default=10.0, help="of speech to decode")
    parser.add_argument("--seconds", type=float, default=6.0, help="of training in each round")
    parser.add_argument("--whole", action="store_true", help="all that both trees' own benchmarks measure")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    best: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        trees = (unpacked(args.revision, folder), ROOT)
        model = start(trees[0], "-c", "from vqvc.models import RELEASED; print(RELEASED)").strip()
        for number in range(args.rounds):
            for place, tree in enumerate(trees):
                found = whole(tree, folder) if args.whole else shipped(tree, model, args)
                for way, rate in found.items():
                    rates = best.setdefault(way, [0.0, 0.0])
                    rates[place] = max(rates[place], rate)
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
    print(f"| samples/s | {args.revision} | this tree | ratio |\n| --- | --- | --- | --- |")
    for way, (before, now) in best.items():
        print(f"| {way} | {before:,.0f} | {now:,.0f} | {now / before if before else float('nan'):.2f} |")
    if args.json:
        args.json.write_text(json.dumps(best, indent=2) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        words = sys.argv[2:]
        print(json.dumps(measure(Path(words[0]), words[1], float(words[2]), float(words[3]))))
    else:
        main()
