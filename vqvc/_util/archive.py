"""Archives from elsewhere: every member is checked before the first byte is written.

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
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vqvc._util.extras import first_line
from vqvc.errors import VqvcError, explained

MOST_EXPANSION = 100  # unpacked bytes per archive byte; speech in FLAC has about 1, text about 4
FREE_ALLOWANCE = 100 << 20  # bytes that any archive may unpack to
# what zipfile, tarfile and the decoders below them, and NumPy's reader on top, raise for damaged or crafted contents
DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, ValueError, KeyError, IndexError,
    OverflowError, NotImplementedError, RuntimeError, MemoryError, RecursionError,
    SyntaxError, tokenize.TokenError,
)  # fmt: skip


def unpack(archive: str | os.PathLike, target: str | os.PathLike) -> int:
    """Unpack a zip or tar file below ``target``; returns the number of files.

    Raises VqvcError, with nothing written, for a member outside ``target``, a link or device, two members of one name,
    or contents far larger than the archive; and for an archive that is missing, damaged or of another kind. Raises
    FileError where the disk refuses.
    """
    archive, target = Path(archive), Path(target)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                return _extract(archive, target, zipped, [_zip_member(info) for info in zipped.infolist()])
        with tarfile.open(archive) as tarred:
            # the standard library's own checks, as a second look; Python before 3.11.4 has none
            tarred.extraction_filter = getattr(tarfile, "data_filter", lambda member, path: member)
            return _extract(archive, target, tarred, [_tar_member(info) for info in tarred.getmembers()])
    except FileNotFoundError:
        raise VqvcError(f"{archive}: no such file") from None
    except VqvcError:
        raise
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the archive
            raise explained(error, None if error.filename else target) from None
        reason = first_line(error)
        raise VqvcError(f"{archive}: is not a whole zip or tar file ({reason}); download it again") from None


def is_bomb(archive: Path, total_bytes: int) -> bool:
    """Whether an archive that holds so many bytes unpacked is far smaller than any honest one."""
    return total_bytes > FREE_ALLOWANCE + MOST_EXPANSION * archive.stat().st_size


@dataclass(frozen=True)
class _Member:
    name: str
    size: int  # bytes, unpacked
    kind: str  # file, folder or link (which is all that is neither)


def _zip_member(info: zipfile.ZipInfo) -> _Member:
    regular = (info.external_attr >> 16) & 0o170000 in (0, 0o100000, 0o040000)
    return _Member(info.filename, info.file_size, "folder" if info.is_dir() else "file" if regular else "link")


def _tar_member(info: tarfile.TarInfo) -> _Member:
    return _Member(info.name, info.size, "folder" if info.isdir() else "file" if info.isreg() else "link")


def _extract(archive: Path, target: Path, opened: zipfile.ZipFile | tarfile.TarFile, members: list[_Member]) -> int:
    """Check all members, then extract them: the standard library reads no more of each than its header claims."""
    seen: set[PurePosixPath] = set()
    for member in members:
        _check(archive, member, seen)
    total = sum(member.size for member in members)
    if is_bomb(archive, total):
        raise VqvcError(f"{archive}: unsafe member: would unpack to {total / 1e9:.0f} GB; nothing was unpacked")
    target.mkdir(parents=True, exist_ok=True)
    if total > shutil.disk_usage(target).free:
        raise VqvcError(f"{target}: disk full, needs about {total / 1e6:.0f} MB; nothing was unpacked")
    opened.extractall(target)
    return sum(member.kind == "file" for member in members)


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


if __name__ == "__main__":
    try:
        print(f"{unpack(sys.argv[1], sys.argv[2])} files")
    except VqvcError as failure:
        sys.exit(f"error: {failure}")
