"""Unpacking that trusts nothing: every member is checked before the first byte is written.

By hand: ``python -m vqvc._util.archive ARCHIVE FOLDER``.
"""

import lzma
import os
import shutil
import struct
import sys
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from vqvc._util.extras import first_line
from vqvc.errors import VqvcError

MOST_EXPANSION = 100  # unpacked bytes per archive byte; speech in FLAC has about 1, text about 4
FREE_ALLOWANCE = 100 << 20  # bytes that any archive may unpack to
_BLOCK = 1 << 20
# what zipfile, tarfile and the decoders below them, and NumPy's reader on top, raise for damaged or crafted contents
DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, KeyError, IndexError,
    OverflowError, NotImplementedError, RuntimeError, MemoryError, RecursionError,
    SyntaxError, tokenize.TokenError,
)  # fmt: skip


def unpack(archive: str | os.PathLike, target: str | os.PathLike) -> int:
    """Unpack a zip or tar file below ``target``; returns the number of files.

    Raises VqvcError, with nothing written, for a member outside ``target``, a link or device, two members of one name,
    or contents far larger than the archive; and for an archive that is missing, damaged or of another kind.
    """
    archive, target = Path(archive), Path(target)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                return _write(archive, target, list(_zip_members(opened)))
        with tarfile.open(archive) as opened:
            return _write(archive, target, list(_tar_members(opened)))
    except FileNotFoundError:
        raise VqvcError(f"{archive}: no such file") from None
    except VqvcError:
        raise
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of the archive
        reason = first_line(error)
        raise VqvcError(f"{archive}: is not a whole zip or tar file ({reason}); download it again") from None


def is_bomb(archive: Path, total_bytes: int) -> bool:
    """Whether an archive that holds so many bytes unpacked is far smaller than any honest one."""
    return total_bytes > FREE_ALLOWANCE + MOST_EXPANSION * archive.stat().st_size


class _Member:
    def __init__(self, name: str, size: int, kind: str, opener):
        self.name, self.size, self.kind, self.opener = name, size, kind, opener


def _zip_members(opened: zipfile.ZipFile) -> Iterator[_Member]:
    for info in opened.infolist():
        mode = info.external_attr >> 16
        regular = mode & 0o170000 in (0, 0o100000, 0o040000)
        kind = "folder" if info.is_dir() else "file" if regular else "link"
        yield _Member(info.filename, info.file_size, kind, lambda info=info: opened.open(info))


def _tar_members(opened: tarfile.TarFile) -> Iterator[_Member]:
    for info in opened.getmembers():
        kind = "folder" if info.isdir() else "file" if info.isreg() else "link"
        yield _Member(info.name, info.size, kind, lambda info=info: opened.extractfile(info))


def _write(archive: Path, target: Path, members: list[_Member]) -> int:
    seen: set[PurePosixPath] = set()
    for member in members:
        _check(archive, member, seen)
    total = sum(member.size for member in members)
    if is_bomb(archive, total):
        raise VqvcError(f"{archive}: unsafe member: would unpack to {total / 1e9:.0f} GB; nothing was unpacked")
    target.mkdir(parents=True, exist_ok=True)
    if total > shutil.disk_usage(target).free:
        raise VqvcError(f"{target}: disk full, needs about {total / 1e6:.0f} MB; nothing was unpacked")
    files = [member for member in members if member.kind == "file"]
    for member in files:
        path = target / member.name
        path.parent.mkdir(parents=True, exist_ok=True)
        with member.opener() as source, open(path, "wb") as sink:
            _copy(archive, member, source, sink)
    return len(files)


def _check(archive: Path, member: _Member, seen: set[PurePosixPath]) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or set("\\\0") & set(member.name):
        raise VqvcError(f"{archive}: unsafe member {member.name!r}: leads outside the folder; nothing was unpacked")
    if member.kind == "link":
        raise VqvcError(f"{archive}: unsafe member {member.name!r}: a link or device; nothing was unpacked")
    if member.kind == "file":
        if path in seen:
            raise VqvcError(f"{archive}: unsafe member {member.name!r}: stands there twice; nothing was unpacked")
        seen.add(path)


def _copy(archive: Path, member: _Member, source: IO[bytes], sink: IO[bytes]) -> None:
    left = member.size
    while block := source.read(_BLOCK):
        left -= len(block)
        if left < 0:
            raise VqvcError(f"{archive}: unsafe member {member.name!r}: is larger than its header claims")
        sink.write(block)
    if left:
        raise VqvcError(f"{archive}: {member.name!r} is cut short; download the archive again")


if __name__ == "__main__":
    try:
        print(f"{unpack(sys.argv[1], sys.argv[2])} files")
    except VqvcError as failure:
        sys.exit(f"error: {failure}")
