"""What a run came to, in one screen: python recipes/summary.py egs/mini/exp/mini."""

import json
import sys
from pathlib import Path

from vqvc.conversion.model_file import read_header
from vqvc.errors import VqvcError
from vqvc.evaluation.probe_baselines import table

RESULTS = {
    "wavs": "wavs", "released": "released", "heat map": "probe/heatmap.png", "picture": "summary.png", "page": "report.html",
}  # fmt: skip


def summary(exp: Path) -> str:
    """Held-out bits, codes in use and the probe's table of the run in ``exp``, and where its results lie."""
    training = read_header(exp / "model.safetensors").training
    lines = [f"model     {exp / 'model.safetensors'}: {training['steps']} steps in {training['minutes']:.1f} min"]
    if held_out := training.get("held_out"):
        lines += [
            f"held out  {held_out['bits_per_sample']:.3f} bits per sample "
            f"({held_out['bits_shuffled_codes']:.3f} with another utterance's codes)",
            f"codes     {held_out['codes_used']} of {held_out['codebook_size']} in use",
        ]
    probe = exp / "probe" / "probe.json"
    if probe.is_file():
        lines += ["", table(json.loads(probe.read_text(encoding="utf-8"))["figures"])]
    lines.append("")
    for what, path in RESULTS.items():
        if (exp / path).exists():
            lines.append(f"{what.ljust(9)} {exp / path}")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        print(summary(Path(sys.argv[1])))
    except VqvcError as error:
        sys.exit(f"error: {error}")
