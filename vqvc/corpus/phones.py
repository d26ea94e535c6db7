"""The 41 phone classes, and the maps into them from the phone sets that aligners and corpora use.

Every map is total over its set and refuses what it does not know: a phone is never guessed. Labels that stand for
speech without a phone (MFA's ``spn``, a word outside its dictionary) are refused as well, so that such an utterance
is left out and not scored as silence.

A closure belongs to its stop, a flap to t (as dictionaries write it), a syllabic consonant to its consonant.
"""

import re
import unicodedata

from vqvc.errors import CorpusError

CLASSES: tuple[str, ...] = (
    "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "d", "dh", "eh", "er", "ey", "f", "g", "hh", "ih", "iy", "jh",
    "k", "l", "m", "n", "ng", "ow", "oy", "p", "pau", "r", "s", "sh", "t", "th", "uh", "uw", "v", "w", "y", "z", "zh",
)  # fmt: skip
PAUSE = "pau"
_INDEX = {phone: index for index, phone in enumerate(CLASSES)}

_ARPABET = {phone.upper(): phone for phone in CLASSES if phone not in ("ax", PAUSE)}
_ARPABET |= {
    "AX": "ax",
    "AXR": "er",
    "IX": "ih",
    "UX": "uw",
    "DX": "t",
    "NX": "n",
    "EL": "l",
    "EM": "m",
    "EN": "n",
    "WH": "w",
}
_MFA_PAUSES = {"", "sil", "sp", "<eps>"}
_POCKETSPHINX_PAUSES = {"SIL", "+NSN+", "+SPN+"}  # its fillers: silence, noise, a breath or a cough
_STRESSED = re.compile(r"^(AA|AE|AH|AO|AW|AX|AY|EH|ER|EY|IH|IX|IY|OW|OY|UH|UW|UX|AXR)([012])$")

_TIMIT = {phone: phone for phone in CLASSES if phone != PAUSE} | {
    "bcl": "b", "dcl": "d", "gcl": "g", "pcl": "p", "tcl": "t", "kcl": "k", "dx": "t", "nx": "n", "el": "l", "em": "m",
    "en": "n", "eng": "ng", "hv": "hh", "axr": "er", "ix": "ih", "ux": "uw", "ax-h": "ax", "q": PAUSE, "pau": PAUSE,
    "epi": PAUSE, "h#": PAUSE,
}  # fmt: skip

# eSpeak NG (English voices): an IPA name or a mnemonic may stand for a vowel and an r or l together.
ESPEAK_IPA = {
    "": "pau",
    "æ": "ae", "a": "ae", "aː": "aa", "ɑː": "aa", "ɑ": "aa", "ɒ": "aa", "ɔː": "ao", "ɔ": "ao", "ʌ": "ah", "ə": "ax", "ɐ": "ax",
    "ɛ": "eh", "e": "eh", "ɜː": "er", "ɜ": "er", "ɚ": "er", "ɝ": "er", "ɪ": "ih", "ᵻ": "ih", "i": "iy", "iː": "iy",
    "ʊ": "uh", "ᵿ": "uh", "u": "uw", "uː": "uw", "ʉː": "uw", "ʉ": "uw", "eɪ": "ey", "eː": "ey", "aɪ": "ay", "aʊ": "aw",
    "ʌʉ": "aw", "ɔɪ": "oy", "oʊ": "ow", "əʊ": "ow", "oː": "ow", "o": "ow",
    "b": "b", "tʃ": "ch", "d": "d", "ð": "dh", "f": "f", "ɡ": "g", "g": "g", "h": "hh", "dʒ": "jh", "k": "k", "x": "k",
    "l": "l", "ɫ": "l", "l̩": "l", "m": "m", "m̩": "m", "n": "n", "n̩": "n", "ŋ": "ng", "p": "p", "ɹ": "r", "r": "r", "s": "s",
    "ʃ": "sh", "t": "t", "ɾ": "t", "ʔ": "t", "t̪": "t", "θ": "th", "v": "v", "w": "w", "ʍ": "w", "j": "y", "ʲ": "y", "z": "z",
    "ʒ": "zh",
    "əl": "ax l", "əɹ": "ax r", "ɑːɹ": "aa r", "ɔːɹ": "ao r", "oːɹ": "ao r", "ɛɹ": "eh r", "ɪɹ": "ih r", "ʊɹ": "uh r",
    "ʌɹ": "ah r", "ʉɹ": "uw r", "aɪɚ": "ay er", "aɪə": "ay ax", "aʊɚ": "aw er", "iə": "iy ax", "eə": "eh ax", "ʊə": "uh ax",
}  # fmt: skip
_ESPEAK_MNEMONICS = {
    "_": "pau", "_:": "pau", "_!": "pau", "_|": "pau", "__": "pau", "_::": "pau",
    "a": "ae", "aa": "ae", "A:": "aa", "A@": "aa r", "A": "aa", "0": "aa", "0#": "aa", "O:": "ao", "O": "ao", "O@": "ao r", "o@": "ao r",
    "V": "ah", "@": "ax", "@2": "ax", "@5": "ax", "a#": "ax", "E": "eh", "E2": "eh", "e": "eh", "e@": "eh r", "3:": "er", "3": "er",
    "I": "ih", "I2": "ih", "I#": "ih", "i": "iy", "i:": "iy", "i@": "iy ax", "i@3": "ih r", "U": "uh", "U@": "uh r", "u": "uw",
    "u:": "uw", "eI": "ey", "aI": "ay", "aI@": "ay ax", "aI3": "ay er", "aU": "aw", "aU@": "aw ax", "OI": "oy", "oU": "ow",
    "b": "b", "tS": "ch", "d": "d", "D": "dh", "f": "f", "g": "g", "h": "hh", "dZ": "jh", "k": "k", "x": "k", "l": "l", "@L": "ax l",
    "m": "m", "m-": "m", "n": "n", "n-": "n", "N": "ng", "p": "p", "r": "r", "r-": "r", "R": "r", "s": "s", "S": "sh", "t": "t",
    "t#": "t", "t2": "t", "?": "t", "T": "th", "v": "v", "w": "w", "w#": "w", "j": "y", "z": "z", "z#": "z", "Z": "zh",
}  # fmt: skip


def index(phone: str) -> int:
    """Place of a class in ``CLASSES``; raises CorpusError for what is no class."""
    try:
        return _INDEX[phone]
    except KeyError:
        raise CorpusError(f"phone {phone!r}: is none of the 41 classes ({' '.join(CLASSES)})") from None


def from_arpabet(label: str) -> str:
    """The class of an ARPAbet phone, with or without a stress mark: ``AH0`` -> ax, ``AH1`` and ``AH`` -> ah."""
    stressed = _STRESSED.match(label)
    base, stress = stressed.groups() if stressed else (label, "")
    if base == "AH" and stress == "0":
        return "ax"
    return _look_up(_ARPABET, base, label, "ARPAbet")


def from_mfa(label: str) -> str:
    """The class of a label of the Montreal Forced Aligner's English (ARPA) models; sil, sp and nothing -> pau."""
    if label in _MFA_PAUSES:
        return PAUSE
    if label == "spn":
        raise CorpusError("phone 'spn': a word that the aligner did not know")
    return from_arpabet(label)


def from_pocketsphinx(label: str) -> str:
    """The class of a phone of pocketsphinx's English model: ARPAbet without stress, and fillers."""
    return PAUSE if label in _POCKETSPHINX_PAUSES else from_arpabet(label)


def from_timit(label: str) -> str:
    """The class of one of TIMIT's 61 phones; closures go to their stops, q (a glottal stop) to pau."""
    return _look_up(_TIMIT, label, label, "TIMIT")


def from_espeak(label: str) -> tuple[str, ...]:
    """The classes, in time order, of an eSpeak NG phoneme of an English voice, as IPA or as a mnemonic.

    Mostly one; two for r-coloured vowels and syllabic l with its schwa (``ɔːɹ`` -> ao r), which have no boundary inside.
    """
    plain = unicodedata.normalize("NFC", label).strip("ˈˌ',\u200d")
    found = _ESPEAK_MNEMONICS.get(plain) or _look_up(ESPEAK_IPA, plain.replace(":", "ː"), label, "eSpeak NG")
    return tuple(found.split())


def from_any(label: str) -> str:
    """The class of a class's own name or of an MFA/ARPAbet label, whichever it is (they share no spelling)."""
    return label if label in _INDEX else from_mfa(label)


def _look_up(table: dict[str, str], key: str, label: str, name: str) -> str:
    try:
        return table[key]
    except KeyError:
        raise CorpusError(f"phone {label!r}: is not in the {name} set") from None
