"""The code in figures: its size, its annotations, and the way of a recording through vqvc-convert.

    python benchmarks/house.py                      this tree
    python benchmarks/house.py 22339a9 .            a commit beside this tree

Prints a Markdown table. A commit is unpacked into a temporary folder. With --places also where layers are walked over, and the record types.
"""

import argparse
import ast
import inspect
import json
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCTS = {"product", "dot", "mm", "addmm", "addmm_", "_gate", "gated"}  # calls that make a layer's sums
ROWS = {
    "files": "files of `vqvc/`",
    "lines": "lines",
    "median": "median file, lines",
    "largest": "largest file, lines",
    "functions": "functions",
    "annotated": "of them with every parameter and the result annotated",
    "public_annotated": "the same of public functions",
    "walks": "functions that walk over the layers' arithmetic",
    "modules": "modules that `vqvc-convert --src a.wav --speaker p225 --out b.wav` runs functions of",
    "records": "record types with arrays that it makes",
    "openings": "times that it opens the source",
}


@dataclass(frozen=True)
class Function:
    """A function or method of the package."""

    place: str  # module:name
    node: ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def annotated(self) -> bool:
        """Whether every parameter but self and cls, and the result, has an annotation."""
        given = self.node.args
        parameters = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
        named = [one for one in parameters if one is not None and one.arg not in ("self", "cls")]
        result = self.node.returns is not None or self.node.name == "__init__"
        return result and all(one.annotation is not None for one in named)

    @property
    def walks_over_layers(self) -> bool:
        """Whether it makes products, or a layer's sums, in a loop over layers, forwards."""
        return "backward" not in self.node.name and any(
            _is_walk(node) for node in ast.walk(self.node) if isinstance(node, ast.For)
        )


def _is_walk(loop: ast.For) -> bool:
    over = f"{ast.unparse(loop.target)} {ast.unparse(loop.iter)}".lower()
    if "dilations" not in over and "layers" not in over:
        return False
    return any(
        isinstance(node, ast.BinOp)
        and isinstance(node.op, ast.MatMult)
        or isinstance(node, ast.Call)
        and ast.unparse(node.func).rsplit(".")[-1] in PRODUCTS
        for node in ast.walk(loop)
    )


def functions(tree: Path) -> Iterator[Function]:
    """Every function of the package in a tree."""
    for path in sorted((tree / "vqvc").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield Function(f"{path.relative_to(tree)}:{node.name}", node)


def sizes(tree: Path) -> dict:
    """Figures that the files show."""
    lengths = [len(path.read_text(encoding="utf-8").splitlines()) for path in (tree / "vqvc").rglob("*.py")]
    full = [length for length in lengths if length > 1]  # an __init__ may be one line
    found = list(functions(tree))
    public = [one for one in found if not one.node.name.startswith("_")]
    places = sorted({one.place for one in found if one.walks_over_layers})
    return {
        "files": len(lengths),
        "lines": sum(lengths),
        "median": round(statistics.median(full)),
        "largest": max(lengths),
        "functions": len(found),
        "annotated": f"{sum(one.annotated for one in found) / len(found):.0%}",
        "public_annotated": f"{sum(one.annotated for one in public) / len(public):.0%}",
        "walks": len(places),
        "places": places,
    }


def converted(tree: Path, folder: Path) -> dict:
    """Figures of a conversion by the tree's released model, counted in a process of its own."""
    subprocess.run([sys.executable, __file__, "--count", tree, folder], check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "counted.json").read_text())


def count(tree: Path, folder: Path) -> None:
    """Convert a second of noise while calls are watched; writes counted.json."""
    import threading

    import numpy as np
    import soundfile
    import torch

    source, output = folder / "a.wav", folder / "b.wav"
    soundfile.write(source, 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    modules, records, openings = set(), set(), []
    package = f"{tree / 'vqvc'}/"

    def watch(frame, event, _):
        code = frame.f_code
        if event != "call" or not code.co_flags & inspect.CO_OPTIMIZED:
            return
        if code.co_filename.startswith(package):
            modules.add(code.co_filename)
        elif code.co_filename == "<string>" and code.co_name in ("__init__", "__new__"):  # of a dataclass, a NamedTuple
            given = dict(frame.f_locals)
            kind = type(given.pop("self")) if "self" in given else given.pop("_cls", None)
            held = any(isinstance(value, (np.ndarray, torch.Tensor)) for value in given.values())
            if held and getattr(kind, "__module__", "").startswith("vqvc"):
                records.add(f"{kind.__module__}.{kind.__qualname__}")

    def opened(event, arguments):
        if event == "open" and str(arguments[0]) == str(source):
            openings.append(event)

    plain = soundfile.SoundFile.__init__

    def sound_file(self, file, mode="r", *args, **kwargs):
        if isinstance(file, (str, Path)) and str(file) == str(source):
            openings.append("libsndfile")  # which opens files without Python
        return plain(self, file, mode, *args, **kwargs)

    soundfile.SoundFile.__init__ = sound_file
    sys.path[0] = str(tree)
    sys.addaudithook(opened)
    from vqvc.cli import convert

    threading.setprofile(watch)
    sys.setprofile(watch)
    status = convert.main(["--src", str(source), "--speaker", "p225", "--out", str(output)])
    sys.setprofile(None)
    assert status == 0 and output.is_file()
    found = {"modules": len(modules), "records": len(records), "openings": len(openings), "kinds": sorted(records)}
    (folder / "counted.json").write_text(json.dumps(found))


def unpacked(revision: str, folder: Path) -> Path:
    """The tree of a commit, or this one for "."."""
    if revision == ".":
        return ROOT
    archive, tree = folder / "tree.tar", folder / "tree"
    subprocess.run(["git", "-C", ROOT, "archive", "--output", archive, revision], check=True)
    with tarfile.open(archive) as file:
        file.extractall(tree, filter="data")
    return tree


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", default=["."], help='commits; "." is this tree')
    parser.add_argument(
        "--places", action="store_true", help="also print where layers are walked over, and the record types"
    )
    parser.add_argument("--no-conversion", action="store_true", help="leave out what a conversion shows")
    args = parser.parse_args()
    columns = []
    for revision in args.revisions:
        with tempfile.TemporaryDirectory() as folder:
            tree = unpacked(revision, Path(folder))
            columns.append(sizes(tree) | ({} if args.no_conversion else converted(tree, Path(folder))))
    print("| | " + " | ".join("this tree" if one == "." else one for one in args.revisions) + " |")
    print("| --- |" + " --- |" * len(columns))
    for key, name in ROWS.items():
        if all(key in column for column in columns):
            print(f"| {name} | " + " | ".join(str(column[key]) for column in columns) + " |")
    if args.places:
        for revision, column in zip(args.revisions, columns):
            print(f"\n{revision}:", *column["places"], *column.get("kinds", ()), sep="\n  ")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--count"]:
        count(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
