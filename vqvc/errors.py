"""Every error that vqvc raises on purpose.

    VqvcError                 a sentence for the user: what, where, and what to do about it
    ├── UsageError            the call or a setting is wrong                      (exit status 2)
    │   └── ConfigError       a configuration file or an override is wrong
    ├── AudioError            a recording that cannot be used
    ├── CorpusError           a data directory, transcript, alignment or packed store that is wrong
    ├── ModelError            a model file or a checkpoint that cannot be used
    ├── TrainingError         training cannot go on (a loss that is not a number, a folder in use)
    ├── FileError             the disk or the operating system refuses (also an OSError)
    └── MissingExtraError     an optional package is absent or broken

Commands turn these into one line on stderr and an exit status; anything else is a bug and keeps its traceback.
"""

import errno
import os

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3


class VqvcError(Exception):
    """Base of all deliberate errors; ``str(error)`` is one sentence."""

    exit_status = EXIT_FAILED


class UsageError(VqvcError):
    """A wrong argument or option."""

    exit_status = EXIT_USAGE


class ConfigError(UsageError):
    """A configuration file or override that does not fit; names file, line and key."""


class AudioError(VqvcError):
    """A recording that is missing, damaged, silent, too short or not finite."""


class CorpusError(VqvcError):
    """A corpus file that is malformed or disagrees with another."""


class ModelError(VqvcError):
    """A model file or checkpoint that is damaged, foreign or of another shape."""


class TrainingError(VqvcError):
    """Training cannot start or go on."""


class FileError(VqvcError, OSError):
    """A file or folder that cannot be read or written; made by :func:`explained` from an OSError."""

    def __init__(self, message: str, number: int | None = None):
        super().__init__(message)
        self.errno = number
        if number in _ABOUT_THE_PATH:
            self.exit_status = EXIT_USAGE


_REASONS = {
    errno.ENOSPC: "disk full; free some space or choose another folder",
    errno.EDQUOT: "disk full: your share of it is used up; free some space or choose another folder",
    errno.EFBIG: "the file would be larger than the disk or a limit (ulimit -f) allows; choose another folder",
    errno.EACCES: "not permitted; choose another path or change its rights",
    errno.EPERM: "not permitted; choose another path or change its rights",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; give a shorter one",
    errno.ENOTDIR: "a part of the path is a file, not a folder; choose another path",
    errno.EEXIST: "a file stands where a folder is needed; choose another path",
    errno.EISDIR: "is a folder; name a file",
    errno.ENOENT: "no such file or folder",
    errno.ELOOP: "its links lead in a circle; name the file itself",
    errno.EMFILE: "too many files are open; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close other programs",
    errno.EIO: "Input/output error: the disk fails; try another one",
    errno.EINVAL: "the operating system does not allow this name; give another",
    errno.EILSEQ: "the operating system does not allow this name; give another",
}
_ABOUT_THE_PATH = {
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP,
    errno.EINVAL, errno.EILSEQ,
}  # fmt: skip


def explained(
    error: BaseException, path: str | os.PathLike[str] | None = None, *, needs_bytes: int | None = None
) -> VqvcError | None:
    """The sentence for an error of the operating system or of libsndfile; None for any other kind of error.

    path: what it concerns, where the error does not name it. needs_bytes: what a write that met a full disk wanted.
    """
    if isinstance(error, VqvcError):
        return error
    name = getattr(error, "filename", None) if path is None else path
    where = os.fsdecode(name) if isinstance(name, (str, bytes, os.PathLike)) else "output"
    if isinstance(error, OSError):
        reason = _REASONS.get(error.errno or 0) or (error.strerror or str(error) or type(error).__name__)
        if needs_bytes and error.errno in (errno.ENOSPC, errno.EDQUOT):
            size = f"{needs_bytes / 1e6:.0f} MB" if needs_bytes >= 1e6 else f"{needs_bytes / 1e3:.0f} kB"
            reason = f"disk full, needs about {size}; what was there before is untouched"
        return FileError(f"{where}: {reason}", error.errno)
    if type(error).__module__.partition(".")[0] == "soundfile":
        reason = getattr(error, "error_string", None) or str(error)
        return AudioError(f"{where}: {reason.strip().rstrip('.')}")
    return None


class MissingExtraError(VqvcError):
    """An optional package is needed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, reason: str = "is not installed"):
        super().__init__(f"the package {package} {reason}; install it with: pip install 'vqvc[{extra}]'")
