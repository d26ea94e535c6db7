"""FAULTS row 66: nothing that one operating system has alone is used outside vqvc/_util/platform.py."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[2]
PLATFORM = ROOT / "vqvc/_util/platform.py"
KILLS = ROOT / "benchmarks/kills.py"  # kills groups of processes: a measurement for systems that have them
PYTHON_FILES = sorted(
    {*ROOT.glob("vqvc/**/*.py"), *ROOT.glob("recipes/*.py"), *ROOT.glob("benchmarks/*.py")} - {PLATFORM, KILLS}
)

ONE_SYSTEM_MODULES = {"fcntl", "grp", "msvcrt", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty", "winreg"}
ONE_SYSTEM_NAMES = {
    "os": {
        "O_DIRECTORY", "chown", "fork", "getuid", "killpg", "mkfifo", "sched_getaffinity", "sched_setaffinity", "setsid",
        "statvfs", "sysconf", "wait", "waitpid",
    },
    "signal": {"SIGALRM", "SIGCHLD", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "alarm", "pthread_sigmask"},
}  # fmt: skip

# what Windows and macOS do when they are asked for Linux's: there is no such name, no such module, no open folder
AS_ELSEWHERE = """
import errno, os, stat, sys
for name in ("sched_getaffinity", "sysconf", "fork"):
    delattr(os, name)
for module in ("fcntl", "resource"):
    sys.modules[module] = None
plain_open, plain_fsync = os.open, os.fsync
def open_(path, flags, *rest, **named):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)
    return plain_open(path, flags, *rest, **named)
def fsync(fd):
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise OSError(errno.EINVAL, "Invalid argument")
    plain_fsync(fd)
os.open, os.fsync = open_, fsync
"""


def elsewhere(code: str, *arguments, cwd: Path):
    """``code`` in a process of its own that lacks what Linux has alone."""
    return subprocess.run(
        [sys.executable, "-c", AS_ELSEWHERE + code, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT)},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@pytest.mark.parametrize("path", PYTHON_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_row_66_names_of_one_system_stand_in_one_module(path):
    wrong = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            wrong += [alias.name for alias in node.names if alias.name in ONE_SYSTEM_MODULES]
        elif isinstance(node, ast.ImportFrom):
            names = ONE_SYSTEM_NAMES.get(node.module or "", set())
            wrong += [node.module] if node.module in ONE_SYSTEM_MODULES else []
            wrong += [f"{node.module}.{alias.name}" for alias in node.names if alias.name in names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            wrong += [f"{node.value.id}.{node.attr}"] if node.attr in ONE_SYSTEM_NAMES.get(node.value.id, ()) else []
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            wrong += [node.value] if re.match(r"/(proc|dev|sys|etc)/", node.value) else []
    assert not wrong, f"belongs into vqvc/_util/platform.py: {wrong}"


def test_row_66_every_module_imports_without_what_linux_has_alone(tmp_path):
    compiled_for_a_gpu = {"vqvc.nn.gate_kernels", "vqvc.engine.gpu.kernel"}  # Triton's, which Linux has alone
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(ROOT.glob("vqvc/**/*.py"))
    ]
    code = f"""
import importlib
for name in {sorted(set(modules) - compiled_for_a_gpu)!r}:
    importlib.import_module(name)
from vqvc._util import platform
assert platform.cores() >= 1 and platform.peak_memory_bytes() is None
print("imported")
"""
    done = elsewhere(code, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "imported\n"), done.stderr


def test_row_66_a_conversion_without_what_linux_has_alone(tmp_path, speechlike):
    soundfile.write(tmp_path / "a.wav", speechlike(0.5), 16000)
    words = ["--src", "a.wav", "--speaker", "p225", "--out", "b.wav"]
    done = elsewhere("from vqvc.cli import convert\nsys.exit(convert.main(sys.argv[1:]))", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert soundfile.info(tmp_path / "b.wav").frames == soundfile.info(tmp_path / "a.wav").frames


def test_row_66_a_lock_has_one_holder_without_fcntl(tmp_path):
    code = """
from vqvc._util import platform
with platform.Lock("lock"):
    try:
        platform.Lock("lock")
    except platform.LockedError as error:
        assert error.owner == str(os.getpid())
        print("held")
platform.Lock("lock").close()
"""
    done = elsewhere(code, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr
