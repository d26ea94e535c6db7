"""Names of speakers, utterances and recordings: what they may be, and how folders and files are given one.

Later stages use them as file names and as fields of lists. So they are checked once, where they enter: in lists
(``kaldi_dir``), layouts, packed stores and code archives.
"""

import hashlib
import unicodedata
from collections.abc import Collection, Mapping

from vqvc.errors import CorpusError

MOST_BYTES = 200  # a file name may have 255, and stages add to it
SPELLED_BYTES = 180  # of ids that are made here, for pieces of long recordings get a number
HASH_DIGITS = 6  # hex digits that distinguish two names which would otherwise be written alike


def problem(name: str) -> str:
    """What is wrong with an id, or nothing."""
    if not name:
        return "is empty"
    if name in (".", ".."):
        return "is the name of a folder's own place"
    if "/" in name or "\\" in name:
        return "holds a slash"
    if any(character.isspace() for character in name):
        return "holds a space"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "holds a control character"
    if len(name.encode()) > MOST_BYTES:
        return f"is {len(name.encode())} bytes long, more than {MOST_BYTES}"
    return ""


def shown(name: str) -> str:
    """A name for a message: in quotes, control characters escaped, long ones cut."""
    return ascii(name) if len(name) <= 60 else ascii(name[:60]) + " ..."


def require(names: Collection[str], where: object, what: str = "id") -> None:
    """Raise CorpusError for the first name that is no id. ``where``: file or folder that holds it."""
    for name in names:
        if reason := problem(name):
            raise CorpusError(f"{where}: {what} {shown(name)} {reason}; give it another name")


def spell(text: str) -> str:
    """Any file name as an id: spaces, slashes and control characters become ``_``. Two names may come out alike."""
    text = unicodedata.normalize("NFC", text)  # macOS takes accents apart in file names
    text = "".join(c if c.isspace() or not problem(f"x{c}") else "_" for c in text)
    plain = "_".join(text.split()).encode()[:SPELLED_BYTES].decode(errors="ignore")
    return "_" if problem(plain) else plain


def distinct(names: Collection[str]) -> dict[str, str]:
    """An id for each name, all different: ``Ann_Lee`` keeps its own, ``Ann Lee`` beside it is ``Ann_Lee-1f8cd0``."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(spell(name), []).append(name)
    result = {}
    for plain, group in groups.items():
        for name in group:
            result[name] = plain if len(group) == 1 or name == plain else with_hash(plain, name)
    return result


def with_hash(plain: str, name: str) -> str:
    """``plain`` and some digits that depend on ``name`` alone."""
    digits = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:HASH_DIGITS]
    return f"{plain.encode()[: SPELLED_BYTES - HASH_DIGITS - 1].decode(errors='ignore')}-{digits}"


def first_unique(candidates: Mapping[object, tuple[str, ...]]) -> dict[object, str]:
    """For each key the first of its candidates that no other key uses; the last ones must differ.

    Keys that would get the same id all move on to their next candidate, so the result does not depend on their order.
    """
    level = dict.fromkeys(candidates, 0)
    while True:
        users: dict[str, list[object]] = {}
        for key, choices in candidates.items():
            users.setdefault(choices[level[key]], []).append(key)
        moved = [
            key for keys in users.values() if len(keys) > 1 for key in keys if level[key] + 1 < len(candidates[key])
        ]
        if not moved:
            return {key: choices[level[key]] for key, choices in candidates.items()}
        for key in moved:
            level[key] += 1
