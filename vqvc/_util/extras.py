"""Optional packages: present and working, or one sentence that names the extra which brings them."""

import importlib
import importlib.util
from pathlib import Path
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


def file_of(package: str, name: str, extra: str, remedy: str = "") -> Path:
    """The file ``name`` that an installed package carries, found without importing the package.

    Raises MissingExtraError when the package or the file is absent; remedy: stands behind the reason.
    """
    found = importlib.util.find_spec(package)
    for folder in (found.submodule_search_locations or []) if found else []:
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise MissingExtraError(package, extra, f"is not installed{f' ({remedy})' if remedy else ''}")


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its kind when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
