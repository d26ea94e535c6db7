"""Every error that vqvc raises on purpose.

    VqvcError                 a sentence for the user: what, where, and what to do about it
    ├── UsageError            the call or a setting is wrong                      (exit status 2)
    │   └── ConfigError       a configuration file or an override is wrong
    ├── AudioError            a recording that cannot be used
    ├── CorpusError           a data directory, transcript, alignment or packed store that is wrong
    ├── ModelError            a model file or a checkpoint that cannot be used
    ├── TrainingError         training cannot go on (a loss that is not a number, a folder in use)
    └── MissingExtraError     an optional package is absent or broken

Commands turn these into one line on stderr and an exit status; anything else is a bug and keeps its traceback.
"""

EXIT_DONE = 0
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


class MissingExtraError(VqvcError):
    """An optional package is needed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, reason: str = "is not installed"):
        super().__init__(f"the package {package} {reason}; install it with: pip install 'vqvc[{extra}]'")
