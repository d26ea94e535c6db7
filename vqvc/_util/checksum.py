"""Checksums of files."""

import hashlib
from pathlib import Path


def sha256_of_file(path: str | Path) -> str:
    """The sha256 of a file, 64 hexadecimal digits; the file is read in blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
