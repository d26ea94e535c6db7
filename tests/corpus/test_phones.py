"""The 41 classes and the maps into them."""

import pytest

from vqvc.corpus import phones
from vqvc.errors import CorpusError

ARPABET = "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH".split()
VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split()
TIMIT = (
    "aa ae ah ao aw ax ax-h axr ay b bcl ch d dcl dh dx eh el em en eng epi er ey f g gcl h# hh hv ih ix iy jh k kcl l m n "
    "ng nx ow oy p pau pcl q r s sh t tcl th uh uw ux v w y z zh"
).split()


def test_classes_are_41_in_alphabetical_order():
    assert len(phones.CLASSES) == len(set(phones.CLASSES)) == 41
    assert list(phones.CLASSES) == sorted(phones.CLASSES)
    assert [phones.index(phone) for phone in phones.CLASSES] == list(range(41))


def test_arpabet_reaches_its_own_class_with_any_stress():
    for label in ARPABET:
        assert phones.from_arpabet(label) == label.lower()
    for label in set(VOWELS) - {"AH"}:
        assert {phones.from_arpabet(f"{label}{stress}") for stress in "012"} == {label.lower()}
    assert [phones.from_arpabet(label) for label in ("AH0", "AH1", "AH2", "AH")] == ["ax", "ah", "ah", "ah"]


@pytest.mark.parametrize(
    ("convert", "labels"),
    [
        (phones.from_mfa, ["", "sil", "sp"] + [f"{vowel}{stress}" for vowel in VOWELS for stress in "012"]),
        (phones.from_pocketsphinx, ["SIL", "+SPN+", "+NSN+"] + ARPABET),
        (phones.from_timit, TIMIT),
        (phones.from_any, [*phones.CLASSES, "AH0", "sil", "", "ZH"]),
    ],
)
def test_every_label_of_a_set_has_a_class(convert, labels):
    assert {convert(label) for label in labels} <= set(phones.CLASSES)


def test_timit_has_61_phones_and_reaches_every_class():
    assert len(TIMIT) == 61
    assert {phones.from_timit(label) for label in TIMIT} == set(phones.CLASSES)
    assert phones.from_timit("kcl") == "k" and phones.from_timit("h#") == "pau"


@pytest.mark.parametrize(
    ("convert", "label"),
    [
        (phones.from_arpabet, "QQ"), (phones.from_arpabet, "B1"), (phones.from_arpabet, "SIL"), (phones.from_mfa, "spn"),
        (phones.from_timit, "AH0"), (phones.from_espeak, "ǃ"), (phones.from_pocketsphinx, "sil"), (phones.index, "axr"),
    ],
)  # fmt: skip
def test_what_is_outside_the_set_is_refused(convert, label):
    with pytest.raises(CorpusError, match=f"phone '{label}'"):
        convert(label)


def test_espeak_names_in_both_spellings():
    pairs = {
        "ˈɪ": "I", "ɑː": "'A:", "ɚ": "3", "tʃ": "tS", "dʒ": "dZ", "ð": "D", "ŋ": "N", "ˌoʊ": ",oU", "əl": "@L", "ɾ": "t#",
        "ɔːɹ": "O@", "ʒ": "Z", "": "_:", "ə": "@", "ˈʌ": "'V", "ɡ": "g", "j": "j", "ɐ": "a#", "ɹ": "r",
    }  # fmt: skip
    for ipa, mnemonic in pairs.items():
        assert phones.from_espeak(ipa) == phones.from_espeak(mnemonic)
    assert phones.from_espeak("ɔːɹ") == ("ao", "r")
    assert phones.from_espeak("") == ("pau",)


def test_espeak_reaches_every_class():
    tables = (*phones.ESPEAK_IPA.values(), *phones._ESPEAK_MNEMONICS.values())
    assert {phone for value in tables for phone in value.split()} == set(phones.CLASSES)
