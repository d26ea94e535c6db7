"""FAULTS rows 19, 20, 59 and 71: transcripts and TextGrids as users have them, and an aligner without memory."""

import numpy as np
import pytest
from short_textgrid import format_short

from vqvc._util import atomic
from vqvc.cli import align
from vqvc.corpus import alignment, forced, phone_sets, phones, textgrid
from vqvc.corpus.store import PackedStore, Speaker
from vqvc.corpus.store_writer import StoreWriter
from vqvc.corpus.textgrid import Interval, TextGrid, Tier
from vqvc.errors import CorpusError

END_S = 1.0
SPEAKERS = ("amy", "bob")


@pytest.fixture
def store(tmp_path):
    """One utterance of a second for each speaker, without words: only TextGrids can align it."""
    with StoreWriter(tmp_path / "dump", sample_rate=16000, level_rms=0.06) as writer:
        for name in SPEAKERS:
            samples = np.random.default_rng(len(name)).integers(-900, 900, 16000).astype(np.int16)
            writer.add(f"{name}_1", samples, speaker=name, subset="train")
        writer.finish([Speaker(name) for name in SPEAKERS])
    return tmp_path / "dump"


def _tier(name, *labels):
    edges = np.linspace(0, END_S, len(labels) + 1)
    items = tuple(Interval(float(a), float(b), label) for a, b, label in zip(edges, edges[1:], labels))
    return Tier(name, 0.0, END_S, items)


def _align(store, grids, *more):
    """Exit status, phones by utterance, reasons by utterance."""
    pytest.importorskip("pocketsphinx")  # what no TextGrid aligns goes to it, and is refused for want of words
    out = store.parent / "align"
    status = align.main(["--store", str(store), "--out", str(out), "--textgrids", str(grids), "--overwrite", *more])
    found = {utt: [s.phone for s in segments] for utt, segments in alignment.read_ctm(out / "phones.ctm").items()}
    return status, found, dict(line.split("\t") for line in (out / "unaligned.tsv").read_text().splitlines()[1:])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("call Xyzzy, xyzzy and 1995", "outside the dictionary: xyzzy, 1995$"),
        (" ... ", "no transcript"),
        ("", "no transcript"),
    ],
)
def test_row_19_words_outside_the_dictionary_are_never_guessed(text, reason):
    with pytest.raises(forced.Unalignable, match=reason):
        forced.words_of(text, {"call", "and"}.__contains__)


def test_row_19_what_is_not_aligned_is_listed_and_has_no_phones(store, tmp_path):
    textgrid.write(tmp_path / "grids/amy_1.TextGrid", TextGrid(0.0, END_S, (_tier("phones", "AA1", "spn"),)))
    textgrid.write(tmp_path / "grids/bob_1.TextGrid", TextGrid(0.0, 0.4, (Tier("phones", 0.0, 0.4),)))
    status, found, reasons = _align(store, tmp_path / "grids")
    assert (status, found) == (3, {})
    assert "a word that the aligner did not know" in reasons["amy_1"] and "ends at 0.40 s" in reasons["bob_1"]


def test_row_20_utf_16_short_form_and_gaps_are_read_and_overlaps_named_by_line(store, tmp_path):
    gap = Tier("phones", 0.0, END_S, (Interval(0.0, 0.25, "AA1"), Interval(0.5, END_S, "S")))
    overlap = Tier("phones", 0.0, END_S, (Interval(0.0, 0.5, "AA1"), Interval(0.25, END_S, "S")))
    (tmp_path / "grids").mkdir()
    (tmp_path / "grids/amy_1.TextGrid").write_bytes(
        format_short(TextGrid(0.0, END_S, (gap,))).replace("\n", "\r\n").encode("utf-16")
    )
    textgrid.write(tmp_path / "grids/bob_1.TextGrid", TextGrid(0.0, END_S, (overlap,)))
    status, found, reasons = _align(store, tmp_path / "grids")
    assert status == 3 and found == {"amy_1": ["aa", "pau", "s"]}
    assert "bob_1.TextGrid:22: 'S' at 0.25 s overlaps the one before" in reasons["bob_1"]


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["", "tʰ", "ʉː", "ɫ̩", "ɔj", "ɟ", "ə", "n̩", "aj", "dʒ"], "pau t uw l oy g ax n ay jh"),  # MFA's IPA
        (["sil", "ð", "ɪ", "s", "t͡ʃ", "ɑːɹ", "ˈeɪ"], "pau dh ih s ch aa r ey"),
        (["<p:>", "D", "@", "{", "t", "S", "3:", "I@", "N"], "pau dh ax ae t sh er ih ax ng"),  # WebMAUS
        (["h#", "sh", "ix", "hv", "eh", "dcl", "jh", "ih"], "pau sh ih hh eh d jh ih"),  # TIMIT
        (["sil", "AH0", "D", "S", "IY1"], "pau ax d s iy"),  # MFA's ARPA models: D is not SAMPA's here
        (["pau", "ax", "dh", "aw"], "pau ax dh aw"),  # the classes' own names
    ],
)
def test_row_59_the_phone_set_is_found_by_the_labels(labels, classes):
    to_class = phone_sets.choose(labels)
    found = [to_class(label) for label in labels]
    flat = [phone for made in found for phone in ((made,) if isinstance(made, str) else made)]
    assert flat == classes.split() and set(flat) <= set(phones.CLASSES)
    with pytest.raises(CorpusError, match="phone 'ǃ'"):
        phone_sets.choose([*labels, "ǃ"])("ǃ")


def test_row_59_ipa_and_maus_and_each_speakers_own_tier_are_read(store, tmp_path):
    both = (_tier("amy - words", "a"), _tier("amy - phones", "ð", "ɔj"), _tier("bob - phones", "s", "ə"))
    for name in SPEAKERS:
        textgrid.write(tmp_path / f"grids/{name}_1.TextGrid", TextGrid(0.0, END_S, both))
    assert _align(store, tmp_path / "grids")[:2] == (0, {"amy_1": ["dh", "oy"], "bob_1": ["s", "ax"]})
    maus = TextGrid(0.0, END_S, (_tier("ORT-MAU", "they"), _tier("KAN-MAU", "DeI"), _tier("MAU", "D", "eI")))
    textgrid.write(tmp_path / "maus/amy_1.TextGrid", maus)
    textgrid.write(tmp_path / "maus/bob_1.TextGrid", TextGrid(0.0, END_S, (_tier("spk1 - phones", "IH1"),)))
    assert _align(store, tmp_path / "maus")[:2] == (0, {"amy_1": ["dh", "ey"], "bob_1": ["ih"]})


def test_row_59_a_tier_is_chosen_by_name_and_never_guessed(store, tmp_path):
    strangers = TextGrid(0.0, END_S, (_tier("x - phones", "AA1"), _tier("y - phones", "S"), _tier("mine amy", "T")))
    textgrid.write(tmp_path / "grids/amy_1.TextGrid", strangers)
    _, found, reasons = _align(store, tmp_path / "grids")
    assert not found and "phones of several speakers" in reasons["amy_1"] and "--tier" in reasons["amy_1"]
    assert _align(store, tmp_path / "grids", "--tier", "Y - phones")[1] == {"amy_1": ["s"]}
    assert _align(store, tmp_path / "grids", "--tier", "mine {speaker}")[1] == {"amy_1": ["t"]}
    assert "no tier named z; interval tiers here" in _align(store, tmp_path / "grids", "--tier", "z")[2]["amy_1"]


def test_row_59_timits_own_files_are_read_below_their_speakers(store, tmp_path):
    for name, lines in (("amy", "0 8000 h#\r\n8000 16000 sh\r\n"), ("bob", "0 4000 h#\n4000 2000 sh\n")):
        (tmp_path / "timit" / name).mkdir(parents=True)
        (tmp_path / "timit" / name / "1.PHN").write_bytes(lines.encode())
    status, found, reasons = _align(store, tmp_path / "timit")
    assert (status, found) == (3, {"amy_1": ["pau", "sh"]})
    assert "1.PHN:2: 4000 to 2000 is empty" in reasons["bob_1"]


@pytest.mark.parametrize("written", ["phones.ctm", "unaligned.tsv", "align.json"])
def test_row_40_an_alignment_that_is_stopped_while_it_writes_goes_on(store, tmp_path, monkeypatch, written):
    for name in SPEAKERS:
        textgrid.write(tmp_path / f"grids/{name}_1.TextGrid", TextGrid(0.0, END_S, (_tier("phones", "AA1"),)))
    words = ["--store", str(store), "--textgrids", str(tmp_path / "grids"), "--out"]
    assert align.main([*words, str(tmp_path / "straight")]) == 0

    class Killed(BaseException):
        pass

    real = atomic.write_bytes

    def stop(target, data):
        real(target, data)
        if target.name == written:
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(atomic, "write_bytes", stop)
        align.main([*words, str(tmp_path / "align")])
    assert align.main([*words, str(tmp_path / "align")]) == 0
    contents = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("straight", "align")
    ]
    assert contents[0] == contents[1]
    assert align.main([*words, str(tmp_path / "align")]) == 2  # it is finished now


def test_row_72_phone_times_of_another_store_are_refused(store, tmp_path):
    for name in SPEAKERS:
        textgrid.write(tmp_path / f"grids/{name}_1.TextGrid", TextGrid(0.0, END_S, (_tier("phones", "AA1"),)))
    assert _align(store, tmp_path / "grids")[0] == 0
    ctm, sha256 = tmp_path / "align/phones.ctm", PackedStore(store).sha256
    alignment.require_store(ctm, sha256)
    with pytest.raises(CorpusError, match="phones.ctm: its times are of another store; run vqvc-align again"):
        alignment.require_store(ctm, "0" * 64)
    for damage in ("", "[]", "{}", "\x00"):
        (tmp_path / "align/align.json").write_text(damage)
        with pytest.raises(CorpusError, match="align.json: is damaged"):
            alignment.require_store(ctm, sha256)
    (tmp_path / "align/align.json").unlink()  # another tool's file
    alignment.require_store(ctm, sha256)


@pytest.fixture(scope="module")
def utterances():
    """Utterances of the built-in voices at levels and in noises that differ, at 16 kHz, with their words."""
    pytest.importorskip("pocketsphinx")
    pytest.importorskip("espeakng_loader")
    from vqvc.audio import resample
    from vqvc.corpus import espeak, synthetic

    synthesiser = espeak.Synthesiser()
    made = []
    for number, (voice, text) in enumerate(zip(synthetic.VOICES, synthetic.sentences()[:6])):
        synthesiser.voice(voice.variant, pitch=voice.pitch, pitch_range=voice.pitch_range, rate_wpm=voice.rate_wpm)
        output = synthesiser.synthesize(text)
        samples = np.frombuffer(output.pcm, np.int16).astype(np.float32) / 32768
        samples = resample.resample(samples, output.sample_rate, 16000) * (0.1, 1.0)[number % 2]
        samples += (3e-2, 1e-5, 1e-3)[number % 3] * np.random.default_rng(number).standard_normal(len(samples))
        made.append((np.rint(samples.clip(-1, 1) * 32767).astype(np.int16), text))
    return made


def _phones(aligner, utterance):
    try:
        return [(s.start_s, s.duration_s, s.phone) for s in aligner.align(*utterance)]
    except forced.Unalignable as error:
        return str(error)


def test_row_71_an_alignment_does_not_depend_on_what_was_aligned_before(utterances):
    alone = [_phones(forced.ForcedAligner(worst_score=-1e9), utterance) for utterance in utterances]
    assert sum(isinstance(found, list) for found in alone) >= 4
    for order in (range(6), range(5, -1, -1), (3, 0, 5, 1, 1, 4, 2)):
        aligner = forced.ForcedAligner(worst_score=-1e9)
        for number in order:
            assert _phones(aligner, utterances[number]) == alone[number], (list(order), number)


@pytest.mark.slow  # in two processes
def test_row_71_neither_jobs_nor_a_kill_change_the_alignment(utterances, tmp_path):
    from vqvc.corpus import align_store

    with StoreWriter(tmp_path / "dump", sample_rate=16000, level_rms=0.06) as writer:
        for number, (samples, text) in enumerate(utterances):
            writer.add(f"amy_{number}", samples, speaker="amy", subset="train", text=text)
        writer.finish([Speaker("amy")])
    store = PackedStore(tmp_path / "dump")

    def stop_after_two(items, total, done):
        for _ in range(2):
            yield next(items)
        raise KeyboardInterrupt

    align_store.align_store(store, tmp_path / "one", worst_score=-1e9)
    align_store.align_store(store, tmp_path / "two", worst_score=-1e9, jobs=2)
    with pytest.raises(KeyboardInterrupt):
        align_store.align_store(store, tmp_path / "cut", worst_score=-1e9, progress=stop_after_two)
    align_store.align_store(store, tmp_path / "cut", worst_score=-1e9)
    for name in ("phones.ctm", "unaligned.tsv", "align.json"):
        whole = (tmp_path / "one" / name).read_bytes()
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes() == whole, name
