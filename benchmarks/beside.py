"""Synthesis and training of a commit beside this tree: no slower? Both trees' benchmarks in turn, in one run.

    python benchmarks/beside.py 22339a9 [--rounds 3] [--sizes 20-64-128-128] [--seconds 9] [--json FILE]

Prints, for each size and way, the best samples per second of either tree and their ratio (above 1: this tree is faster).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from house import ROOT, unpacked

SIZES = ("20-64-128-128", "30-256-512-256")


def measured(tree: Path, script: str, words: list[str], folder: Path) -> dict[str, float]:
    """Samples per second by "size way", as one of the tree's benchmarks finds them."""
    found = folder / "found.json"
    environment = os.environ | {"PYTHONPATH": str(tree)}
    subprocess.run(
        [sys.executable, tree / "benchmarks" / script, *words, "--json", found],
        cwd=tree, env=environment, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    figures = json.loads(found.read_text())
    return {f"{size} {way}": rate for size, ways in figures.items() for way, rate in ways.items()}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revision", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=3, help="of each tree, in turn; the best counts")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES), help="decoders of the synthesis")
    parser.add_argument("--seconds", type=float, default=9.0, help="of training, per size and side")
    parser.add_argument("--json", type=Path, help="write the figures there")
    args = parser.parse_args()
    benchmarks = {
        "synthesis.py": ["--sizes", *args.sizes, "--rounds", "1"],
        "training.py": ["--seconds", str(args.seconds)],
    }
    best: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        trees = (unpacked(args.revision, Path(folder)), ROOT)
        for number in range(args.rounds):
            for script, words in benchmarks.items():
                for place, tree in enumerate(trees):
                    for name, rate in measured(tree, script, words, Path(folder)).items():
                        rates = best.setdefault(f"{script} {name}", [0.0, 0.0])
                        rates[place] = max(rates[place], rate)
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr, flush=True)
    print(f"| samples/s | {args.revision} | this tree | ratio |\n| --- | --- | --- | --- |")
    for name, (before, now) in best.items():
        print(f"| {name} | {before:,.0f} | {now:,.0f} | {now / before if before else float('nan'):.2f} |")
    if args.json:
        args.json.write_text(json.dumps(best, indent=2) + "\n")


if __name__ == "__main__":
    main()
