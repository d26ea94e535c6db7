"""Speaker figures where the answer is planted."""

import numpy as np
import pytest

from vqvc.errors import CorpusError
from vqvc.evaluation.metrics import speaker, speaker_mfcc, speaker_probe


def test_equal_error_rate_by_hand():
    assert speaker.equal_error_rate([2, 3], [0, 1]) == 0
    assert speaker.equal_error_rate([0, 1], [2, 3]) == 1
    assert speaker.equal_error_rate([1, 3], [0, 2]) == pytest.approx(0.5)
    assert speaker.equal_error_rate([1, 2, 3, 4], [-1, 0, 0.5, 1.5]) == pytest.approx(0.25)
    rng = np.random.default_rng(0)
    assert speaker.equal_error_rate(rng.normal(size=9000), rng.normal(size=9000)) == pytest.approx(0.5, abs=0.02)
    with pytest.raises(CorpusError, match="at least two classes"):
        speaker.equal_error_rate([1.0], [])


def test_equal_error_rate_does_not_care_about_scale():
    rng = np.random.default_rng(1)
    same, different = rng.normal(1, 1, 500), rng.normal(0, 1, 700)
    assert speaker.equal_error_rate(same, different) == pytest.approx(
        speaker.equal_error_rate(np.exp(same), np.exp(different))
    )


def planted(seed=0, each=12, spread=0.3):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(5, 40))
    names = [f"p{n}" for n in range(5) for _ in range(each)]
    return np.repeat(centres, each, axis=0) + rng.normal(0, spread, (5 * each, 40)), names


def test_planted_speakers_are_named_and_nearest_to_their_own_centre():
    features, names = planted(0)
    model = speaker_mfcc.SpeakerIdentifier(features, names)
    others, true = planted(1)
    assert model.names_of(others) == true
    own = np.concatenate([model.similarities(others[[n]], name) for n, name in enumerate(true)])
    wrong = np.concatenate(
        [model.similarities(others[[n]], f"p{(int(name[1]) + 1) % 5}") for n, name in enumerate(true)]
    )
    assert speaker.equal_error_rate(own, wrong) == 0


def test_one_speaker_is_refused():
    with pytest.raises(CorpusError, match="at least two classes"):
        speaker_mfcc.SpeakerIdentifier(np.random.default_rng(0).normal(size=(6, 4)), ["p1"] * 6)


def test_confusion_counts():
    table = speaker_mfcc.confusion(["a", "a", "b"], ["a", "b", "b"], ["a", "b"])
    assert table.tolist() == [[1, 1], [0, 1]]


def code_histograms(seed, planted_codes):
    """30 utterances of 3 speakers; with ``planted_codes`` each speaker has a code of its own in a tenth of the frames."""
    rng = np.random.default_rng(seed)
    names, rows = [], []
    for n in range(90):
        codes = rng.integers(20, size=200)
        if planted_codes:
            codes[:20] = 20 + n % 3
        rows.append(np.bincount(codes, minlength=24) / 200)
        names.append(f"p{n % 3}")
    return np.array(rows), names


def test_a_planted_speaker_is_found_in_codes_and_none_is_invented():
    for there in (True, False):
        train, train_names = code_histograms(0, there)
        test, test_names = code_histograms(1, there)
        found = speaker_probe.probe(train, train_names, test, test_names)
        assert found.classes == 3 and found.chance == pytest.approx(1 / 3)
        assert found.accuracy == 1.0 if there else 0.15 < found.accuracy < 0.52


def test_a_probe_for_one_class_is_refused():
    rows, names = code_histograms(0, True)
    with pytest.raises(CorpusError, match="at least two classes"):
        speaker_probe.probe(rows, ["m"] * len(names), rows, ["m"] * len(names))
