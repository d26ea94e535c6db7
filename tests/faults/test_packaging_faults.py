"""FAULTS row 67: a wheel, in an environment that knows nothing of this folder, does what the README describes."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from vqvc.conversion.model_file import read_header
from vqvc.models import RELEASED

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = re.findall(r'"([\w-]+)"', re.search(r"COMMANDS = \((.*)\)", (ROOT / "setup.py").read_text())[1])
PACKAGED = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "vqvc", "recipes")
BARE = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


def finished(*words, cwd: Path, env=BARE):
    return subprocess.run(
        list(map(str, words)), cwd=cwd, env=env, capture_output=True, text=True, timeout=170, check=False
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel of this folder, made from a copy so that nothing is left here."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in PACKAGED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    words = (sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source)
    made = finished(*words, cwd=folder)
    assert made.returncode == 0, made.stderr
    (path,) = folder.glob("vqvc-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of commands of a new environment that has the wheel, and this environment's other packages."""
    folder = tmp_path_factory.mktemp("new")
    assert finished(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder).returncode == 0
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    asked = finished(commands / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder)
    outer = Path(asked.stdout.strip()) / "outer.pth"
    outer.write_text(sysconfig.get_path("purelib") + "\n")  # .pth files in there are not read: no clone of vqvc
    words = (sys.executable, "-m", "pip", "--python", folder, "install", "-q", "--no-deps", "--no-index", wheel)
    made = finished(*words, cwd=folder)
    assert made.returncode == 0, made.stderr
    return commands


def test_row_67_the_wheel_holds_licences_types_and_configurations(wheel):
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = opened.read(metadata).decode()
    assert "License-Expression: Apache-2.0 AND CC-BY-4.0\n" in text
    assert {"vqvc/py.typed", "vqvc/models/LICENSE", "vqvc/models/vctk-small-3.1.safetensors"} <= names
    configurations = {
        path.relative_to(ROOT / "recipes/conf").as_posix() for path in ROOT.glob("recipes/conf/**/*.yaml")
    }
    assert configurations == {name.removeprefix("vqvc/configs/") for name in names if name.startswith("vqvc/configs/")}
    kept = (
        path for path in ROOT.glob("vqvc/**/*") if path.is_file() and path.parent.name not in ("__pycache__", "configs")
    )
    assert not {path.relative_to(ROOT).as_posix() for path in kept} - names


@pytest.mark.parametrize("name", COMMANDS)
def test_row_67_every_command_is_installed(installed, tmp_path, name):
    done = finished(installed / f"vqvc-{name}", "--help", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.startswith(f"usage: vqvc-{name}"), done.stderr


def test_row_67_the_wheel_brings_its_model(installed, tmp_path):
    done = finished(installed / "vqvc-convert", "--list-speakers", cwd=tmp_path)
    assert done.returncode == 0 and len(done.stdout.splitlines()) == len(read_header(RELEASED).listed_speakers), (
        done.stderr
    )
    where = finished(installed / "python", "-c", "import vqvc; print(vqvc.__file__)", cwd=tmp_path)
    assert Path(where.stdout.strip()).is_relative_to(installed.parent)  # the wheel's code, not the clone's


def test_row_67_recipes_configurations_are_found_by_name(installed, tmp_path):
    code = "from vqvc import config; print(config.load('small').decoder.layers, config.load('prior/wavenet', (), config.PriorSettings).prior.layers)"
    done = finished(installed / "python", "-c", code, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "20 12\n"), done.stderr
    done = finished(installed / "vqvc-train", "--conf", "smal", "--store", "none", "--out", "run", cwd=tmp_path)
    assert (
        done.returncode == 2
        and "smal: no such file, and no configuration of that name; did you mean small" in done.stderr
    )
    done = finished(installed / "vqvc-train", "--conf", "small", "--store", "none", "--out", "run", cwd=tmp_path)
    assert done.returncode in (1, 2) and done.stderr.startswith("error: none"), done.stderr
    assert not list(tmp_path.iterdir())
