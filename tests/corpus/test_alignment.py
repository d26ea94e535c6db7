"""Alignments: files, labels at centre samples, TextGrids moved into the packed timeline, forced alignment."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vqvc.cli import align
from vqvc.corpus import align_store, alignment, forced, phones, textgrid
from vqvc.corpus.alignment import Segment
from vqvc.corpus.store import PackedStore, Speaker
from vqvc.corpus.store_writer import StoreWriter
from vqvc.corpus.textgrid import Interval, TextGrid, Tier
from vqvc.errors import CorpusError

CHAINS = st.lists(st.tuples(st.integers(1, 200_000), st.sampled_from(phones.CLASSES)), min_size=1, max_size=20)


def chain(items) -> list[Segment]:
    """Segments without gaps, from (microseconds, phone)."""
    ends = np.cumsum([0, *(length for length, _ in items)])
    return [Segment(start / 1e6, length / 1e6, phone) for start, (length, phone) in zip(ends, items)]


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text("ab_1", min_size=1, max_size=4), CHAINS, max_size=4))
def test_ctm_round_trip_is_equal_to_the_microsecond(tmp_path_factory, utterances):
    path = tmp_path_factory.mktemp("ctm") / "phones.ctm"
    written = {utt_id: chain(items) for utt_id, items in utterances.items()}
    alignment.write_ctm(path, written)
    read = alignment.read_ctm(path)
    assert list(read) == sorted(written)
    for utt_id, segments in read.items():
        assert [segment.phone for segment in segments] == [segment.phone for segment in written[utt_id]]
        np.testing.assert_allclose([s.end_s for s in segments], [s.end_s for s in written[utt_id]], atol=2e-6)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("u 0 1", "3 fields"), ("u 1 0 1 aa", "5 fields"), ("u 0 x aa", "should be numbers"), ("u -1 1 aa", "at least 0 s"),
        ("u 0.5 0 aa", "over 0 s"), ("u 0.5 nan aa", "over 0 s"), ("u 1 1 AA", "none of the 41"), ("u 0.2 1 b", "overlaps"),
    ],
)  # fmt: skip
def test_ctm_faults_are_named_by_line(tmp_path, line, reason):
    path = tmp_path / "phones.ctm"
    path.write_text(f"u 0.0 0.5 aa\n{line}\n")
    with pytest.raises(CorpusError, match=rf"phones\.ctm:2: .*{reason}"):
        alignment.read_ctm(path)


@settings(max_examples=60, deadline=None)
@given(CHAINS, st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_labels_match_a_search_one_by_one(items, shares):
    segments = chain(items)
    times_s = np.array(shares) * (segments[-1].end_s + 0.1)
    wanted = [
        next((s.phone for s in reversed(segments) if s.start_s <= t), "pau") if t < segments[-1].end_s else "pau"
        for t in times_s
    ]
    assert [phones.CLASSES[label] for label in alignment.labels_at(segments, times_s)] == wanted


def test_the_label_of_a_code_is_the_phone_at_its_centre():
    segments = [
        Segment(0.0, 0.0045, "s"),
        Segment(0.0045, 0.0155, "iy"),
    ]  # codes of 64 samples have centres 2, 6, 10 ms
    labels = alignment.code_labels(segments, 6, 64, 16000)
    assert [phones.CLASSES[label] for label in labels] == ["s", "iy", "iy", "iy", "iy", "pau"]
    assert labels.dtype == np.int64
    assert alignment.labels_at([], np.array([0.0])).tolist() == [phones.index("pau")]


def test_textgrids_are_moved_by_what_was_trimmed():
    items = (Interval(0.0, 0.3, ""), Interval(0.3, 0.5, "AH0"), Interval(0.6, 0.9, "B"), Interval(0.9, 1.2, "sil"))
    grid = TextGrid(0.0, 1.2, (Tier("words", 0.0, 1.2), Tier("phones", 0.0, 1.2, items)))
    made = alignment.from_textgrid(grid, phones.from_mfa, trim_start_s=0.25, duration_s=0.8)
    assert [s.phone for s in made] == ["pau", "ax", "pau", "b", "pau"]
    np.testing.assert_allclose([s.start_s for s in made], [0.0, 0.05, 0.25, 0.35, 0.65])
    assert made[-1].end_s == pytest.approx(0.8)
    with pytest.raises(CorpusError, match="TextGrid ends at 1.20 s, the speech at 1.85 s"):
        alignment.from_textgrid(grid, phones.from_mfa, trim_start_s=0.25, duration_s=1.6)


WORDS = {
    "please",
    "don't",
    "call",
    "ill",
    "'tis",
    "it",
    "mr.",
    "twenty",
    "five",
    "zero",
    "long-term",
    "well",
    "known",
    "cafe",
    "the",
    "dogs",
    "and",
    "u.",
    "s.",
}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Please, CALL!", "please call"), ("Don\u2019t call", "don't call"), ("\u2018Please\u2019 call", "please call"), ("Call Mr. Please.", "call mr. please"),
        ("25 dogs", "twenty five dogs"), ("call 0.", "call zero"), ("long-term", "long-term"), ("well-known", "well known"),
        ("the dogs' call", "the dogs call"), ("the caf\u00e9 \u2014 call", "the cafe call"), ("'Tis it", "'tis it"), ("dogs & dogs", "dogs and dogs"),
        ("(please) \u201ccall\u201d\u2026", "please call"),
    ],
)  # fmt: skip
def test_transcripts_become_dictionary_words(text, words):
    assert forced.words_of(text, WORDS.__contains__) == words.split()


@pytest.fixture(scope="module")
def real_store(tmp_path_factory, shared_speech) -> PackedStore:
    """Six real utterances; the last one's transcript is another's, the one before holds an unknown word."""
    pytest.importorskip("pocketsphinx")
    soundfile = pytest.importorskip("soundfile")
    paths = sorted((shared_speech / "read6" / "audio" / "slt").glob("*.opus"))[:6]
    target = tmp_path_factory.mktemp("real") / "dump"
    with StoreWriter(target, sample_rate=16000, level_rms=0.06) as writer:
        for number, path in enumerate(paths):
            samples, rate = soundfile.read(path, dtype="float32")
            assert rate in (16000, 48000)
            writer.add(path.stem, samples[:: rate // 16000], speaker="slt", subset="train", text=TEXTS[number])
        writer.finish([Speaker("slt", "f")])
    return PackedStore(target)


TEXTS = (
    "Author of the danger trail, Philip Steels, etc.",
    "Not at this particular case, Tom, apologized Whittemore.",
    "For the twentieth time that evening the two men shook hands.",
    "Lord, but I'm glad to see you again, Phil.",
    "Will we ever forget xyzzy?",
    "Author of the danger trail, Philip Steels, etc.",
)


def test_real_speech_is_aligned_and_the_rest_listed(real_store, tmp_path, capsys):
    out = tmp_path / "align"
    assert align.main(["--store", str(real_store.path), "--out", str(out), "--jobs", "1"]) == 3
    segments = alignment.read_ctm(out / "phones.ctm")
    ids = [item.utt_id for item in real_store.utterances]
    assert list(segments) == ids[:4]
    for item in real_store.utterances[:4]:
        found = segments[item.utt_id]
        assert found[0].start_s == 0.0 and found[-1].end_s == pytest.approx(item.length_samples / 16000, abs=2e-6)
        assert all(b.start_s == pytest.approx(a.end_s, abs=2e-6) for a, b in zip(found, found[1:]))
    named = [s.phone for s in segments[ids[0]] if s.phone != "pau"]
    assert named[:4] == ["ao", "th", "er", "ah"] or named[:4] == ["ao", "th", "er", "ax"]
    rows = dict(line.split("\t") for line in (out / "unaligned.tsv").read_text().splitlines()[1:])
    assert list(rows) == ids[4:]
    assert rows[ids[4]] == "word outside the dictionary: xyzzy"
    assert "transcript" in rows[ids[5]]
    assert "aligned\t4" in capsys.readouterr().out
    assert not (out / "partial.jsonl").exists()
    assert align.main(["--store", str(real_store.path), "--out", str(out), "--jobs", "1"]) == 2  # exists already


def test_an_interrupted_run_goes_on_and_ends_equal(real_store, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    align_store.align_store(real_store, whole)

    def stop_after_three(items, total, done):
        for _ in range(3):
            yield next(items)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align_store.align_store(real_store, broken, progress=stop_after_three)
    assert not (broken / "phones.ctm").exists()
    with open(broken / "partial.jsonl", "ab") as file:
        file.write(b'["slt_arctic_a0004", [[0.0, 1.')  # a line cut by a kill
    seen = []
    align_store.align_store(
        real_store, broken, progress=lambda items, total, done: (seen.append((total, done)), items)[1]
    )
    assert seen == [(6, 3)]
    for name in ("phones.ctm", "unaligned.tsv", "align.json"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes()


def test_unfinished_work_on_another_store_is_dropped(real_store, tmp_path):
    out = tmp_path / "align"
    out.mkdir()
    (out / "partial.jsonl").write_text(json.dumps("other") + "\n" + json.dumps(["slt_arctic_a0001", "wrong"]) + "\n")
    result = align_store.align_store(real_store, out)
    assert "slt_arctic_a0001" in result.segments


def test_textgrids_win_over_forced_alignment_and_are_checked(real_store, tmp_path):
    folder = tmp_path / "grids" / "slt"
    items = real_store.utterances
    for item, label in zip(items, ["aa", "AH0", "spn", "sil", "b", "b"]):
        end_s = item.length_samples / 16000
        textgrid.write(
            folder / f"{item.utt_id}.TextGrid",
            TextGrid(0.0, end_s, (Tier("phones", 0.0, end_s, (Interval(0.0, end_s, label),)),)),
        )
    result = align_store.align_store(real_store, tmp_path / "align", textgrids=tmp_path / "grids")
    assert [result.segments[item.utt_id][0].phone for item in items if item.utt_id in result.segments] == [
        "aa",
        "ax",
        "pau",
        "b",
        "b",
    ]
    assert list(result.unaligned) == [items[2].utt_id]
    assert result.reasons() == {"TextGrid not usable": 1}
