"""One hash of files and folders: python fingerprint.py [PATH ...] [-- WORD ...].

A file counts by its contents, a folder by the names, sizes and times of the files in it. The number of processes
(--jobs N among the words) changes nothing that is written and is left out. Knows the standard library alone.
"""

import hashlib
import os
import sys


def add_folder(digest, folder: str) -> None:
    """Add what lies in ``folder``, links followed, in byte order of the names."""
    rows = []
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            path = os.path.join(place, name)
            try:
                found = os.stat(path)
            except OSError:  # a link to nothing
                continue
            rows.append((os.fsencode(os.path.relpath(path, folder)), found.st_size, found.st_mtime_ns))
    for row in sorted(rows):
        digest.update(repr(row).encode())


def fingerprint(paths: list, words: list) -> str:
    """SHA-256 in hexadecimal of ``paths`` and ``words``."""
    digest = hashlib.sha256()
    before = ""
    for word in words:
        if before != "--jobs":
            digest.update(os.fsencode(word) + b"\0")
        before = word
    for path in paths:
        digest.update(b"\0")
        if os.path.isdir(path):
            add_folder(digest, path)
            continue
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block)
    return digest.hexdigest()


if __name__ == "__main__":
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    print(fingerprint(given[:cut], given[cut + 1 :]))
