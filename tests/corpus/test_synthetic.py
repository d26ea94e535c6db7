"""The built-in voices: the same bytes every time, phone times that fit the sound, voices that differ."""

import wave
from pathlib import Path

import numpy as np
import pytest

from vqvc._util import unfinished
from vqvc.corpus import phones, synthetic, textgrid
from vqvc.errors import UsageError

pytest.importorskip("espeakng_loader")
in_processes = pytest.mark.slow  # each voice is synthesized by a process of its own


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Four voices, nine sentences each."""
    out = tmp_path_factory.mktemp("voices") / "mini"
    made = synthetic.generate(out, speakers=4, count=9, jobs=2)
    assert (made.speakers, made.utterances) == (4, 36)
    return out


def samples_of(path: Path) -> tuple[np.ndarray, int]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2"), file.getframerate()


@in_processes
def test_files_are_where_other_stages_look(corpus):
    utterances = sorted(path.relative_to(corpus / "wav").with_suffix("") for path in corpus.glob("wav/*/*.wav"))
    assert len(utterances) == 36
    for kind, suffix in (("txt", ".txt"), ("phones", ".TextGrid")):
        assert (
            sorted(path.relative_to(corpus / kind).with_suffix("") for path in corpus.glob(f"{kind}/*/*{suffix}"))
            == utterances
        )
    table = [line.split("\t") for line in (corpus / "speakers.tsv").read_text().splitlines()]
    assert table[0] == ["speaker", "gender", "accent"]
    assert {row[0] for row in table[1:]} == {path.parts[0] for path in utterances}
    assert {row[1] for row in table[1:]} == {"f", "m"}
    assert not corpus.with_name("mini.partial").exists()


@in_processes
def test_bytes_depend_on_nothing_but_speaker_and_sentence(corpus, tmp_path):
    synthetic.generate(tmp_path / "again", speakers=2, count=11, jobs=1)
    for path in (tmp_path / "again").rglob("*_00[1-9].*"):
        assert path.read_bytes() == (corpus / path.relative_to(tmp_path / "again")).read_bytes()


def test_no_voice_uses_the_part_of_the_library_that_is_not_repeatable():
    import espeakng_loader

    folder = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    for voice in synthetic.VOICES:
        lines = (folder / voice.variant.partition("+")[2]).read_text(errors="replace").splitlines()
        assert not [line for line in lines if line.startswith("breath")], voice.name


@in_processes
def test_phones_cover_the_recording_and_fit_it(corpus):
    """Pauses are silent, vowels are not; a stop holds its silence."""
    seen: dict[str, list[float]] = {}
    for path in corpus.glob("wav/*/*.wav"):
        samples, rate = samples_of(path)
        grid = textgrid.read(corpus / "phones" / path.parent.name / f"{path.stem}.TextGrid")
        items = grid.tier("phones").items
        assert items[0].start_s == 0.0 and items[-1].end_s == pytest.approx(len(samples) / rate)
        for before, after in zip(items, items[1:]):
            assert before.end_s == after.start_s
        for item in items:
            part = samples[round(item.start_s * rate) : round(item.end_s * rate)].astype(float)
            seen.setdefault(item.text, []).append(np.sqrt(np.mean(part**2)) / 32768)
    assert set(seen) <= set(phones.CLASSES)
    assert np.median(seen["pau"]) == 0.0
    levels = {phone: float(np.median(values)) for phone, values in seen.items()}
    assert min(levels[vowel] for vowel in ("aa", "ae", "ao", "eh", "ow")) > 3 * levels["th"]
    assert levels["aa"] > 3 * levels["t"]


@in_processes
def test_voices_differ_in_pitch_and_tract(corpus):
    """Nearest speaker mean of long-term spectrum and pitch names the speaker of left-out sentences."""
    features: dict[str, list[np.ndarray]] = {}
    for path in sorted(corpus.glob("wav/*/*.wav")):
        samples, rate = samples_of(path)
        features.setdefault(path.parent.name, []).append(long_term_spectrum(samples / 32768.0, rate))
    means = {name: np.mean(rows[:6], 0) for name, rows in features.items()}
    for name, rows in features.items():
        for row in rows[6:]:
            assert min(means, key=lambda other: np.linalg.norm(means[other] - row)) == name


def long_term_spectrum(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mean log power in 200 Hz bands up to 6 kHz, level removed."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024)[::512] * np.hanning(1024)
    power = np.mean(np.abs(np.fft.rfft(frames)) ** 2, 0)
    bands = np.arange(len(power)) * rate / 1024 // 200
    log_power = np.log([power[bands == band].sum() for band in range(30)])
    return log_power - log_power.mean()


def test_sentences_are_enough_and_shared_as_promised():
    texts = synthetic.sentences()
    assert len(texts) == len(set(texts)) >= 200
    everything = [synthetic.prompts(place, 40) for place in range(len(synthetic.VOICES))]
    assert all(chosen[: synthetic.COMMON] == texts[: synthetic.COMMON] for chosen in everything)
    assert all(len(set(chosen)) == 40 for chosen in everything)
    assert sorted(synthetic.prompts(3, len(texts))) == sorted(texts)
    assert not set(everything[0][synthetic.COMMON :]) & set(everything[2][synthetic.COMMON :])


def test_every_class_occurs_in_the_mini_corpus(tmp_path):
    """All 41, in one voice's share of the sentences or another's."""
    synthesiser = synthetic.espeak.Synthesiser()
    found = set()
    for place, voice in enumerate(synthetic.VOICES[:3]):
        synthesiser.voice(voice.variant, pitch=50, pitch_range=50, rate_wpm=170)
        for text in synthetic.prompts(place, 40):
            found |= {item.text for item in synthetic.phone_grid(synthesiser.synthesize(text)).tiers[0].items}
    assert found == set(phones.CLASSES)


@in_processes
def test_wishes_that_cannot_be_met(tmp_path, corpus):
    for wish, reason in (
        ({"speakers": 0}, "12 built-in voices"),
        ({"speakers": 13}, "12"),
        ({"count": 999}, "there are 210"),
    ):
        with pytest.raises(UsageError, match=reason):
            synthetic.generate(tmp_path / "no", **wish)
    with pytest.raises(UsageError, match="--overwrite"):
        synthetic.generate(corpus)
    assert not (tmp_path / "no").exists()


@in_processes
def test_an_interrupted_run_begins_again_and_overwrite_replaces(tmp_path):
    out = tmp_path / "mini"
    (unfinished.take(out) / "rest").write_text("half")
    synthetic.generate(out, speakers=1, count=1)
    (out / "mine").write_text("mine")
    with pytest.raises(UsageError, match="holds mine"):
        synthetic.generate(out, speakers=1, count=2, overwrite=True)
    (out / "mine").unlink()
    synthetic.generate(out, speakers=1, count=2, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["phones", "speakers.tsv", "txt", "wav"]
