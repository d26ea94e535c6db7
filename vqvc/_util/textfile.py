"""Text files as users have them: UTF-8 or UTF-16, with or without a byte order mark, with LF, CR LF or CR line ends."""

import codecs
import os
from pathlib import Path

from vqvc.errors import VqvcError


def encoding_of(data: bytes) -> str:
    """``utf-16``, ``utf-16-le``, ``utf-16-be`` or ``utf-8-sig``: by byte order mark, else by where zero bytes stand."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if data[1:2] == b"\0" and data[:1] != b"\0":
        return "utf-16-le"
    return "utf-16-be" if data[:1] == b"\0" and data[1:2] != b"\0" else "utf-8-sig"


def encoding_of_file(path: str | os.PathLike) -> str:
    """The same for a file that is to be read line by line. Raises OSError."""
    with open(path, "rb") as file:
        return encoding_of(file.read(4))


def decode(data: bytes, *, fallback: str | None = None, errors: str = "strict") -> str:
    """``data`` as text with LF line ends and no byte order mark. A CR within a line, as a file's name may hold, stays.

    ``errors``: of ``bytes.decode``; ``surrogateescape`` for lists of files whose names need not be UTF-8. ``fallback``: encoding of what is no valid UTF-8 (old corpora hold a few files in ``cp1252``); bytes without a
    meaning there become U+FFFD. Raises VqvcError, which begins with the line number, when there is no fallback.
    """
    encoding = encoding_of(data)
    try:
        text = data.decode(encoding, errors)
    except UnicodeDecodeError as error:
        if fallback is None:
            line = data[: error.start].count(b"\n") + 1
            name = encoding.removesuffix("-sig").upper()
            raise VqvcError(f"{line}: is not {name} text; save it as UTF-8") from None
        text = data.decode(fallback, errors="replace")
    return text.replace("\r\n", "\n") if "\n" in text else text.replace("\r", "\n")


def read(
    path: str | os.PathLike,
    *,
    fallback: str | None = None,
    errors: str = "strict",
    error: type[VqvcError] = VqvcError,
    remedy: str = "",
) -> str:
    """The text of a file that a user gives, by ``decode``. Raises ``error``: no such file (and ``remedy``), or not text,
    with its line."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise error(f"{path}: no such file{'; ' if remedy else ''}{remedy}") from None
    except IsADirectoryError:
        raise error(f"{path}: is a folder, not a text file") from None
    try:
        return decode(data, fallback=fallback, errors=errors)
    except VqvcError as problem:
        raise error(f"{path}:{problem}") from None
