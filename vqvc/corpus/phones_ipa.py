"""IPA and SAMPA for English into the 41 classes: the labels of MFA's IPA models and of WebMAUS.

Length, stress, aspiration, palatalisation and other diacritics are dropped where the plain symbol is an English phone;
MFA's palatal stops (``c``, ``ɟ``) are the k and g before front vowels. A label may stand for two phones (``ɔːɹ``).
"""

import unicodedata

from vqvc.corpus.phones import ESPEAK_IPA, PAUSE
from vqvc.errors import CorpusError

PAUSES = {"", "sil", "sp", "<eps>", "<p:>", "<p>", "<nib>", "_", "#"}  # <nib>: MAUS's noise outside speech
NO_PHONE = {"spn", "<usb>", "<unk>"}  # speech without a phone: a word that the aligner did not know
_DROPPED = set(
    "ˈˌ.\u0361\u035c\u200dʰʷʲˠˤⁿˡ˞ˑ\u031a\u032a\u0325\u030a\u0329\u030d\u032f\u0303\u032c\u031d\u031e\u031f\u0320\u0330\u0324\u033a\u0339\u031c\u0308"
)
_IPA = ESPEAK_IPA | {
    "aj": "ay", "ej": "ey", "ɔj": "oy", "əw": "ow", "ow": "ow", "aw": "aw", "ɑɹ": "aa r", "ɔɹ": "ao r", "ɛə": "eh ax", "ɪə": "ih ax",
    "ɛː": "eh", "ɪː": "ih", "əː": "er", "ɒː": "ao", "æː": "ae", "ɐː": "aa", "ɨ": "ih", "ɘ": "ax", "aɪə": "ay ax", "aʊə": "aw ax",
    "c": "k", "ɟ": "g", "ç": "hh", "ɦ": "hh", "ɲ": "n", "ɱ": "m", "ʎ": "l", "ʋ": "v", "ʈ": "t", "ɖ": "d", "ʧ": "ch", "ʤ": "jh", "ts": "t s",
    "ɻ": "r", "ɫ": "l",
}  # fmt: skip
_SAMPA = {
    "{": "ae", "A": "aa", "A:": "aa", "Q": "aa", "V": "ah", "@": "ax", "@r": "er", "3": "er", "3:": "er", "3`": "er", "@`": "er",
    "3r": "er", "E": "eh", "e": "eh", "I": "ih", "i": "iy", "i:": "iy", "U": "uh", "u": "uw", "u:": "uw", "}": "uw", "}:": "uw",
    "O": "ao", "O:": "ao", "6": "ax", "a": "ae", "a:": "aa", "eI": "ey", "aI": "ay", "OI": "oy", "oI": "oy", "aU": "aw", "{O": "aw",
    "@U": "ow", "oU": "ow", "@}": "ow", "{I": "ey", "Ae": "ay", "I@": "ih ax", "e@": "eh ax", "e:": "eh", "U@": "uh ax", "E@": "eh ax",
    "b": "b", "tS": "ch", "d": "d", "D": "dh", "f": "f", "g": "g", "h": "hh", "dZ": "jh", "k": "k", "x": "k", "l": "l", "l=": "l",
    "=l": "l", "5": "l", "m": "m", "m=": "m", "=m": "m", "n": "n", "n=": "n", "=n": "n", "N": "ng", "p": "p", "r": "r", "r\\": "r", "s": "s",
    "S": "sh", "t": "t", "4": "t", "?": "t", "T": "th", "v": "v", "w": "w", "W": "w", "j": "y", "z": "z", "Z": "zh",
}  # fmt: skip


def from_ipa(label: str) -> tuple[str, ...]:
    """The classes, in time order, of an IPA label of English, with any diacritics; pauses of MFA and MAUS -> pau."""
    if label in PAUSES:
        return (PAUSE,)
    _refuse_unknown_words(label)
    plain = "".join(c for c in unicodedata.normalize("NFD", label.replace(":", "ː")) if c not in _DROPPED)
    plain = unicodedata.normalize("NFC", plain)
    found = _IPA.get(plain) or _IPA.get(plain.replace("ː", ""))
    if not plain or not found:
        raise CorpusError(f"phone {label!r}: is not in the IPA set of English")
    return tuple(found.split())


def from_sampa(label: str) -> tuple[str, ...]:
    """The classes, in time order, of a SAMPA label of English (WebMAUS); its pauses -> pau."""
    if label in PAUSES:
        return (PAUSE,)
    _refuse_unknown_words(label)
    found = _SAMPA.get(label.strip('"%'))
    if not found:
        raise CorpusError(f"phone {label!r}: is not in the SAMPA set of English")
    return tuple(found.split())


def _refuse_unknown_words(label: str) -> None:
    if label in NO_PHONE:
        raise CorpusError(f"phone {label!r}: a word that the aligner did not know")
