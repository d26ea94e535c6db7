"""The phone sets that ``vqvc-align --phone-set`` knows, and which of them the labels of a tier belong to."""

from collections.abc import Callable, Iterable

from vqvc.corpus import phones, phones_ipa
from vqvc.errors import CorpusError

AUTO = "auto"
Map = Callable[[str], str | tuple[str, ...]]  # a label -> its class, or its classes in time order
MAPS: dict[str, Map] = {
    "classes": phones.from_any,  # names of the 41 classes, ARPAbet, MFA's ARPA models
    "arpabet": phones.from_arpabet,
    "mfa": phones.from_mfa,
    "ipa": phones_ipa.from_ipa,
    "sampa": phones_ipa.from_sampa,
    "timit": phones.from_timit,
    "pocketsphinx": phones.from_pocketsphinx,
}
TRIED = ("classes", "ipa", "sampa", "timit")  # in this order; no set holds the vowels of another


def choose(labels: Iterable[str], phone_set: str = AUTO) -> Map:
    """The map for ``labels``; ``auto``: the first of ``TRIED`` that holds all of them.

    Where none does, that with the fewest unknown labels, which then refuses those that it lacks.
    """
    if phone_set != AUTO:
        return MAPS[phone_set]
    known = set(labels) - phones_ipa.NO_PHONE
    return MAPS[min(TRIED, key=lambda name: sum(not _holds(MAPS[name], label) for label in known))]


def _holds(to_class: Map, label: str) -> bool:
    try:
        to_class(label)
    except CorpusError:
        return False
    return True
