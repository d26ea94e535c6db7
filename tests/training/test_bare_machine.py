"""Training from a packed store needs torch, NumPy, PyYAML, safetensors and tqdm alone, whatever the recipe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_training import tiny_store

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted([*ROOT.glob("recipes/conf/*.yaml"), *ROOT.glob("egs/*/conf/*.yaml")])
SMALL = {
    "training.steps": 2, "training.batch_size": 2, "decoder.layers": 2, "encoder.units": 8, "quantizer.codebook_size": 8,
}  # fmt: skip
TRAINED = (
    ROOT / "vqvc" / "models" / "phones.safetensors"
)  # phones-context wants an encoder, and crops that the store has
NEEDED = {"phones-context": ("--targets", str(TRAINED), "--set", "training.crop_samples=12800")}
ALONE = '''
import sys
from importlib.machinery import PathFinder

needed = {"torch", "numpy", "yaml", "safetensors", "tqdm", "vqvc"}
of_torch = "torchgen functorch filelock typing_extensions sympy mpmath networkx jinja2 markupsafe fsspec setuptools pkg_resources".split()
known = needed.union(of_torch, sys.stdlib_module_names, sys.builtin_module_names)

class Finder:
    """Python's own, for whom nothing else is installed."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in known or name.startswith("_"):
            return PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
from vqvc.cli import train
sys.exit(train.main(sys.argv[1:]))
'''


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bare") / "dump"
    tiny_store(path, length_samples=16000)
    return path


@pytest.mark.timeout(600)
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_trains_without_the_other_packages(tmp_path, speech, recipe):
    settings = [word for name, value in SMALL.items() for word in ("--set", f"{name}={value}")]
    options = ["--conf", recipe, "--store", speech, "--out", tmp_path / "exp", "--threads", "1", *settings]
    options += NEEDED.get(recipe.stem, ())
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *map(str, options)], capture_output=True, text=True, timeout=570,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert any((tmp_path / "exp" / f"{name}.safetensors").is_file() for name in ("model", "encoder"))
