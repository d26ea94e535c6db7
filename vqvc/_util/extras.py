"""Optional packages: present and working, or one sentence that names the extra which brings them."""

import importlib
from types import ModuleType

from vqvc.errors import MissingExtraError


def load(package: str, extra: str, name: str = "") -> ModuleType:
    """Import ``package`` (a dotted name); raises MissingExtraError when it is absent, or present but broken.

    name: what it is called where it is installed from, if that differs.

    A package beside the wrong build of another fails in any way: OSError, RuntimeError, TypeError, AttributeError.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == package.partition(".")[0]
        reason = "is not installed" if absent else f"cannot be imported ({first_line(error)})"
        raise MissingExtraError(name or package.partition(".")[0], extra, reason) from error
    except Exception as error:
        raise MissingExtraError(
            name or package.partition(".")[0], extra, f"cannot be imported ({first_line(error)})"
        ) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
