"""Which names were meant."""

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Up to ``count`` of ``names`` most like ``name``: those that begin with it, then by letters shared, then the first."""
    names = list(names)
    begun = [other for other in names if name and other.startswith(name)]
    alike = difflib.get_close_matches(name, names, n=count, cutoff=0.3)
    return list(dict.fromkeys(begun + alike or names))[:count]
