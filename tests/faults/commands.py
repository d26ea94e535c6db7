"""Commands in processes of their own, and what they leave in a folder."""

import subprocess
import sys
from pathlib import Path


def child(words, **options) -> subprocess.CompletedProcess:
    """A command in a process of its own."""
    code = "import sys; from vqvc.cli import convert; sys.exit(convert.main())"
    return subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, **options)


def visible(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("[!.]*") if path.is_file())
