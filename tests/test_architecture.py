"""The house rules of the code: imports point downwards, files stay small, what is public says what it does."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "vqvc"
SOURCES = sorted(PACKAGE.rglob("*.py"))

# What each part of vqvc may import from vqvc; its own part and these are always allowed: config, errors, _util.
BELOW = {
    "config": set(),
    "errors": set(),
    "_util": set(),
    "models": set(),  # the released model's file
    "audio": set(),
    "nn": {"audio"},
    "engine": {"audio", "nn"},
    "corpus": {"audio"},
    "training": {"audio", "corpus", "nn"},
    "codec": {"audio", "nn", "engine"},
    "conversion": {"audio", "corpus", "nn", "engine"},
    "evaluation": {"audio", "corpus", "nn", "engine", "training", "conversion", "codec"},
    "api": {"audio", "nn", "engine", "conversion", "codec", "models"},
    "serve": {"audio", "conversion", "evaluation", "api"},
}
BELOW["cli"] = set(BELOW)  # commands may use everything
BELOW["__main__"] = {"cli"}
TRAINING_NEEDS = {"torch", "numpy", "yaml", "safetensors", "tqdm"}
HEAVY = (
    "torch",
    "torchaudio",
    "librosa",
    "matplotlib",
    "sklearn",
    "numba",
    "scipy",
    "parselmouth",
    "pocketsphinx",
    "jiwer",
    "gradio",
)
LARGEST_FILE = 350
TASK = PACKAGE / "training/task.py", "Task"  # a Protocol: it describes the methods of every *_task.py
COMMAND_PATTERN = {"make_parser", "work", "main"}  # the three functions of every command; its module describes them


def _part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(tree: ast.AST, *, everywhere: bool = True) -> list[str]:
    """Dotted names that are imported; with ``everywhere=False`` only those that run when the module is imported."""
    names = []
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        for child in ast.iter_child_nodes(node):
            inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            if (everywhere or not inside) and not typing_only:
                pending.append(child)
    return names


def _external(names: list[str]) -> set[str]:
    tops = {name.split(".")[0] for name in names}
    return {top for top in tops if top not in sys.stdlib_module_names and top != "vqvc"}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _described_elsewhere(path: Path, in_class: bool) -> set[str]:
    """Names that need no docstring here, as one place describes them for all."""
    if not in_class:
        return COMMAND_PATTERN if _part(path) == "cli" else set()
    if path.parent.name == "training" and path.stem.endswith("_task"):
        (protocol,) = (node for node in _tree(TASK[0]).body if isinstance(node, ast.ClassDef) and node.name == TASK[1])
        return {node.name for node in protocol.body if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)}
    return {"forward"}


@pytest.mark.parametrize("part", sorted(BELOW))
def test_imports_point_downwards(part):
    allowed = BELOW[part] | {part, "config", "errors", "_util", "__version__"}
    if part == "nn":
        allowed -= {"_util"}  # it knows no files
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in SOURCES
        if _part(path) == part
        for name in _imports(_tree(path))
        if name.startswith("vqvc.") and name.split(".")[1] not in allowed
    ]
    assert not wrong, "\n".join(wrong)


def test_every_part_has_a_place_in_the_diagram():
    assert {_part(path) for path in SOURCES} - {"__init__"} <= set(BELOW)


# compiled for a CPU (Numba) and a GPU (Triton); their neighbour gate.py does without what is not installed
COMPILED = {PACKAGE / "nn/gate_loops.py", PACKAGE / "nn/gate_kernels.py"}


def test_nn_knows_torch_alone():
    for path in set(PACKAGE.glob("nn/*.py")) - COMPILED:
        assert _external(_imports(_tree(path))) <= {"torch", "numpy"}, path.name
        at_once = {name.split(".")[-1] for name in _imports(_tree(path), everywhere=False)}
        assert not at_once & {compiled.stem for compiled in COMPILED}, path.name


def test_audio_and_corpus_import_no_torch():
    for part in ("audio", "corpus"):
        for path in PACKAGE.glob(f"{part}/**/*.py"):
            assert "torch" not in _external(_imports(_tree(path))), path.name


def test_training_starts_on_a_bare_gpu_machine():
    """What training needs at import: torch, NumPy, PyYAML, safetensors and tqdm alone."""
    paths = [
        *PACKAGE.glob("training/*.py"),
        *PACKAGE.glob("nn/*.py"),
        PACKAGE / "corpus/store.py",
        PACKAGE / "audio/mulaw.py",
    ]
    for path in set(paths) - COMPILED:
        assert _external(_imports(_tree(path), everywhere=False)) <= TRAINING_NEEDS, path.relative_to(ROOT)


def test_training_imports_without_the_other_packages():
    hidden = (
        "librosa soundfile soxr scipy sklearn numba parselmouth matplotlib pocketsphinx jiwer torchaudio tensorboard"
    )
    code = f"""
import sys
sys.modules.update(dict.fromkeys({hidden.split()!r}))
import vqvc.cli.train
vqvc.cli.train.make_parser()
import vqvc.training.loop, vqvc.training.vqvae_task, vqvc.training.prior_task, vqvc.corpus.store
import torch
from vqvc.nn.gate import gate
z = torch.empty(4, 1)
gate(torch.ones(4, 2), torch.ones(2, 1, 2), z)
print((z - torch.tensor(2.0).tanh() * torch.tensor(2.0).sigmoid()).abs().max().item() < 1e-6)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_nothing_in_the_package_knows_the_recipes():
    for path in SOURCES:
        docstrings_and_comments_aside = ast.dump(_tree(path), include_attributes=False)
        assert not re.search(r"Constant\(value='(recipes|egs)/", docstrings_and_comments_aside), path.relative_to(ROOT)


def test_packages_import_nothing_heavy():
    for path in PACKAGE.rglob("__init__.py"):
        names = _imports(_tree(path), everywhere=False)
        assert not _external(names) and not [name for name in names if name.startswith("vqvc.")], path.relative_to(ROOT)


def test_help_of_every_command_loads_nothing_heavy():
    """--help in under 0.3 s: what costs time is what is imported."""
    commands = sorted(path.stem for path in PACKAGE.glob("cli/*.py") if not path.stem.startswith("_"))
    assert commands
    code = f"""
import importlib, sys
for name in {commands!r}:
    module = importlib.import_module("vqvc.cli." + name)
    assert module.make_parser().format_help().startswith("usage: "), name
    loaded = [heavy for heavy in {HEAVY!r} if heavy in sys.modules]
    assert not loaded, f"vqvc.cli.{{name}} loads {{loaded}} for --help"
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_declared_command_exists():
    declared = re.search(r"COMMANDS = \((.*?)\)", (ROOT / "setup.py").read_text()).group(1)
    for name in re.findall(r'"([\w-]+)"', declared):
        assert (PACKAGE / "cli" / f"{name.replace('-', '_')}.py").is_file(), name


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_small_and_its_public_names_are_described(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= LARGEST_FILE
    tree = _tree(path)
    bare = [] if ast.get_docstring(tree) else ["the module"]
    scopes = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))]
    for scope in scopes:
        for node in scope.body:
            if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            described = _described_elsewhere(path, in_class=scope is not tree)
            is_property = any(isinstance(mark, ast.Name) and mark.id == "property" for mark in node.decorator_list)
            if not (ast.get_docstring(node) or is_property or node.name in described):
                bare.append(f"{node.name} (line {node.lineno})")
    assert not bare, f"no docstring: {', '.join(bare)}"


def test_no_name_of_one_machine_and_nothing_unfinished():
    """Looks at what git keeps, where there is a repository; at the package otherwise."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    paths = [ROOT / name for name in listed.stdout.splitlines()] if listed.returncode == 0 else SOURCES
    wrong = []
    for path in paths:
        if path.suffix in (".py", ".sh", ".md", ".yaml", ".txt", ".awk") and path.is_file():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if re.search(r"(?<![\w.}$])/(work|root|home)/|\bTODO\b|\bFIXME\b", line) and "re.search" not in line:
                    wrong.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)
