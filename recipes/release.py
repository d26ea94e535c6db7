"""The text of a release: figures of a run, written between two marker lines of the README and of the model card.

    python recipes/release.py text --run egs/vctk/exp/small --name vctk-small-3.1 --command 'vqvc-evaluate ...' README.md
    python recipes/release.py name vctk-small-3.1
    python recipes/release.py spectrum --store dump vctk-small-3.1.safetensors exp/new/model.safetensors

The last measures the spectrum of the training speech, which the equalizer wants, for a model that was trained before there was one.

A file has ``<!-- begin figures -->`` and ``<!-- end figures -->`` where its figures belong; the first line may say more
after the name. ``facts`` is another such block. A file that has neither is refused.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from vqvc._util import textfile
from vqvc._util.atomic import write_text
from vqvc.conversion import model_file
from vqvc.conversion.model_file import read_header
from vqvc.corpus.store import PackedStore, Speaker
from vqvc.errors import VqvcError
from vqvc.evaluation.run_folder import RunFolder
from vqvc.models import CODE_ENCODERS
from vqvc.training import source_spectrum

ROOT = Path(__file__).resolve().parent.parent
NATURAL = ("source", "natural")  # what stands in the column of natural speech, whichever the section has
COLUMNS = (
    ("natural", NATURAL),
    ("reconstruction", ("reconstruction",)),
    ("conversion, speakers of training", ("conversion_of_seen",)),
    ("conversion, unseen speakers", ("conversion_of_unseen",)),
    ("conversion into voices with few sentences", ("conversion_into_few",)),
)
ROWS = (  # section and name in evaluate.json, how it is called
    ("content", "word_error", "words wrong"),
    ("content", "words_changed", "words that differ from the source's transcript by the same recogniser"),
    ("encoder", "named_target", "named as the target, of {targets}"),
    ("encoder", "similarity_to_target", "similarity to the target"),
    ("encoder", "similarity_to_source", "similarity to the source's own recording"),
    (
        "encoder",
        "equal_error_against_natural",
        "equal error against natural speech of the target (50: indistinguishable)",
    ),
    ("encoder_campplus", "named_target", "named as the target by CAM++, of {targets}"),
    ("encoder_campplus", "similarity_to_target", "similarity to the target by CAM++"),
    ("encoder_campplus", "similarity_to_source", "similarity to the source's own recording by CAM++"),
    ("prosody", "pitch_correlation", "correlation with the source's F0"),
    ("quality", "overall", "DNSMOS"),
    ("quality", "distillmos", "DistillMOS"),
)


def put(document: str, name: str, body: str) -> str | None:
    """``document`` with the lines between the markers of ``name`` replaced by ``body``; None when it has no such markers."""
    pattern = re.compile(rf"(<!-- begin {re.escape(name)}\b[^\n]*-->\n).*?(<!-- end {re.escape(name)} -->)", re.DOTALL)
    if not pattern.search(document):
        return None
    return pattern.sub(lambda found: f"{found[1]}{body.rstrip()}\n{found[2]}", document)


def shown(figure: dict | None) -> str:
    """``75.0 [62.5, 87.5]``; a dash for what is absent or undefined."""
    if not figure or figure.get("value") is None:
        return "–"
    digits = 2 if figure["unit"].endswith("1") else 1  # shares of one, -1 to 1
    low, high = figure.get("interval_95") or (None, None)
    interval = "" if low is None else f" [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{figure['value']:.{digits}f}{interval}"


def figures(evaluation: dict, command: str, name: str) -> str:
    """A Markdown table of evaluate.json, who judged, and the command that made it."""
    found, settings = evaluation.get("figures") or {}, evaluation.get("settings") or {}
    rows = []
    for section, key, label in ROWS:
        kinds = {kind: group for kind, group in (found.get(section) or {}).items() if isinstance(group, dict)}
        cells = [
            next((kinds[kind][key] for kind in choice if isinstance(kinds.get(kind, {}).get(key), dict)), None)
            for _, choice in COLUMNS
        ]
        present = [cell for cell in cells if cell and cell.get("value") is not None]
        if present:
            title = label.format(targets=len(settings.get("targets") or ()))
            rows.append([f"{title}, {present[0]['unit']}", *map(shown, cells)])
    if not rows:
        raise VqvcError(
            "evaluate.json: holds none of the figures of a release; evaluate with --recogniser and --speaker-encoder"
        )
    kept = [0] + [at for at in range(1, len(COLUMNS) + 1) if any(row[at] != "–" for row in rows)]
    table = [["", *(head for head, _ in COLUMNS)], ["---"] * (len(COLUMNS) + 1), *rows]
    lines = ["| " + " | ".join(row[at] for at in kept) + " |" for row in table]
    lines[0] = lines[0].replace("|  |", "| |", 1)
    origin = evaluation.get("provenance") or {}
    judges = [(origin.get(key) or {}).get("name") for key in ("recogniser", "speaker_encoder")]
    judges += [item.get("name") for item in origin.get("further_speaker_encoders") or ()]
    count = len(settings.get("sources") or ())
    lines += [
        "",
        f"Model `{name}` ({origin.get('model_checksum', '')[:12]}), vqvc {origin.get('vqvc', '')}. Judges: {', '.join(filter(None, judges))}. "
        f"{count} unseen sentences; 95 % intervals by bootstrap over speakers and sentences. Made by",
        "",
        "```sh",
        command,
        "```",
    ]
    return "\n".join(lines)


def facts(model: Path, name: str) -> str:
    """A Markdown table of what the model file says about itself."""
    header = read_header(model)
    training, config = header.training, header.config
    rows = [
        ("file", f"`{name}.safetensors`, {model.stat().st_size / 1e6:.1f} MB, checksum {header.checksum[:12]}"),
        ("speakers", f"{len(header.speakers)}; `vqvc-convert --list-speakers`"),
        ("codes", f"{config.quantizer.codebook_size} at {config.code_rate_hz:g} Hz"),
        (
            "training",
            f"{training.get('steps', 0):,} steps, {training.get('minutes', 0):,.1f} minutes, {training.get('samples', 0) / 1e9:.2f} billion samples",
        ),
    ]
    if held := training.get("held_out"):
        rows.append(
            (
                "held out",
                f"{held['bits_per_sample']:.3f} bits per sample on unseen sentences ({held['bits_shuffled_codes']:.3f} with another utterance's "
                f"codes); {held['codes_used']} of {held['codebook_size']} codes in use",
            )
        )
    return "\n".join(["| | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows)])


def write_texts(run: Path, name: str, command: str, files: Sequence[Path]) -> None:
    """Replace the blocks ``figures`` and ``facts`` in ``files``."""
    evaluation = RunFolder.read(run).evaluation
    if evaluation is None:
        raise VqvcError(f"{run}: holds no eval/evaluate.json; make it with: vqvc-evaluate {run}")
    blocks = {"figures": figures(evaluation, command, name), "facts": facts(run / "model.safetensors", name)}
    for path in files:
        document, written = textfile.read(path), []
        for block, body in blocks.items():
            if (changed := put(document, block, body)) is not None:
                document = changed
                written.append(block)
        if not written:
            raise VqvcError(
                f"{path}: has no lines <!-- begin figures --> and <!-- end figures -->; put them where the figures belong"
            )
        write_text(path, document)
        print(f"{path}: {', '.join(written)}")


def use(models: Path, name: str) -> None:
    """Make ``NAME.safetensors`` in ``models`` the model that is used when no other is named."""
    path = models / "__init__.py"
    text, count = re.subn(r'(RELEASED = .*)"[^"]+\.safetensors"', rf'\1"{name}.safetensors"', textfile.read(path))
    if not count:
        raise VqvcError(f"{path}: has no line RELEASED = ...")
    write_text(path, text)
    for other in sorted(models.glob("*.safetensors")):
        if other.stem not in (name, *CODE_ENCODERS):
            print(f"{other}: an earlier model; remove it (git rm) when this one replaces it")


def add_spectrum(model: Path, store: Path, out: Path) -> None:
    """Write ``model`` with the spectrum of the store's training speech to ``out``; all else stays as it is."""
    found = model_file.read(model)
    source_spectrum.measure(found.model, PackedStore(store))
    rows = [Speaker(one.name, one.gender, one.accent) for one in found.speakers]
    unlisted = {one.name for one in found.speakers if not one.listed}
    out.parent.mkdir(parents=True, exist_ok=True)
    print(f"{out}: {model_file.write(out, found.model, rows, found.training, unlisted=unlisted)}")


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    text = actions.add_parser("text", help="replace the figures in files")
    text.add_argument("--run", type=Path, required=True, help="folder of the run, with eval/evaluate.json")
    text.add_argument("--name", required=True, help="name of the model")
    text.add_argument("--command", required=True, help="the command that made the evaluation")
    text.add_argument("file", nargs="+", type=Path)
    chosen = actions.add_parser("name", help="make a model the one that is used without --model")
    chosen.add_argument("--models", type=Path, default=ROOT / "vqvc" / "models")
    chosen.add_argument("name")
    spectrum = actions.add_parser("spectrum", help="measure the spectrum of a model's training speech")
    spectrum.add_argument("--store", type=Path, required=True, help="packed store that the model was trained on")
    spectrum.add_argument("model", type=Path)
    spectrum.add_argument("out", type=Path)
    args = parser.parse_args(argv)
    if args.action == "name":
        use(args.models, args.name)
    elif args.action == "spectrum":
        add_spectrum(args.model, args.store, args.out)
    else:
        write_texts(args.run, args.name, args.command, args.file)


if __name__ == "__main__":
    try:
        main()
    except VqvcError as error:
        sys.exit(f"error: {error}")
