"""The configurations that come with the package, found by name: ``small`` is ``recipes/conf/small.yaml`` of a clone.

They lie in ``vqvc/configs``, which a wheel holds and which is a link to the recipes' folder in a clone.
"""

import importlib.util
import os
from pathlib import Path

from vqvc._util.nearest import nearest
from vqvc.errors import ConfigError


def folder() -> Path:
    """Where the configurations lie."""
    found = importlib.util.find_spec("vqvc.configs")
    for path in (found and found.submodule_search_locations) or ():
        return Path(path)
    raise ConfigError("the package holds no configurations; install it again, or give the path of a YAML file")


def names() -> list[str]:
    """The names that ``find`` knows, ``prior/wavenet`` among them."""
    return sorted(path.relative_to(folder()).with_suffix("").as_posix() for path in folder().rglob("*.yaml"))


def find(name: str | os.PathLike[str], beside: str | os.PathLike[str] = "") -> Path:
    """The path of a YAML file, given as such (relative to the folder ``beside``) or by the name of one that comes with the package.

    Raises ConfigError for a name that is neither.
    """
    name = Path(name)
    path = Path(beside) / name
    if name.suffix or name.is_absolute() or path.exists():
        return path
    known = names()
    if name.as_posix() not in known:
        alike = ", ".join(nearest(name.as_posix(), known))
        raise ConfigError(f"{name}: no such file, and no configuration of that name; did you mean {alike}?")
    return folder() / f"{name.as_posix()}.yaml"
