"""What tests of faults share: commands in processes of their own, what they print and leave, and damaged arrays."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np


def child(words, **options) -> subprocess.CompletedProcess:
    """A command in a process of its own."""
    code = "import sys; from vqvc.cli import convert; sys.exit(convert.main())"
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, **options)


def visible(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("[!.]*") if path.is_file())


def one_sentence(capsys, status: int, name: str) -> None:
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == (status != 0), errors
    assert not errors or (status in (1, 2) and name in errors[0]), errors


def npy(array, version=None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version, allow_pickle=True)
    return buffer.getvalue()
