"""The no-reference quality figure: DNSMOS, where its package is installed."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from vqvc.errors import MissingExtraError
from vqvc.evaluation.evaluation_set import EvaluationClip
from vqvc.evaluation.judges.quality import DNSMOS_WINDOW, DistillMos, Dnsmos, dnsmos_windows
from vqvc.evaluation.metrics.quality import measure

RATE = 16000


def _clip(kind, samples):
    return EvaluationClip(kind=kind, utt_id="u", speaker="a", target="a", text="", file="", samples=samples, seen=True)


def _vowels(rng, seconds=3.0):
    """Harmonics with moving formants: more like speech than noise is."""
    t = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / RATE
    wave = sum(
        np.sin(n * phase) * (1 / (1 + ((n * 120 - 600 - 200 * np.sin(2 * np.pi * 2 * t)) / 200) ** 2))
        for n in range(1, 25)
    )
    return (0.06 * wave / wave.std() * np.abs(np.sin(2 * np.pi * 1.5 * t))).astype(np.float32)


def test_noise_costs_quality():
    pytest.importorskip("speechmos.dnsmos")
    rng = np.random.default_rng(0)
    clean = _vowels(rng)
    noisy = (clean + 0.06 * rng.standard_normal(len(clean))).astype(np.float32)
    found = measure([_clip("source", clean), _clip("conversion", noisy)], RATE, judges=[Dnsmos()])
    assert 1 <= found["conversion"]["overall"].value < found["source"]["overall"].value <= 5


@pytest.mark.slow
def test_dnsmos_is_that_of_its_package():
    package = pytest.importorskip("speechmos.dnsmos")
    judge = Dnsmos()
    for seconds in (0.7, 5.0, 10.3):  # repeated many times, once, and several windows
        speech = _vowels(np.random.default_rng(1), seconds)
        assert judge.score(speech, RATE) == pytest.approx(package.run(speech, sr=RATE)["ovrl_mos"], abs=1e-5)
        loud = 20 * speech  # which the package refuses
        assert judge.score(loud, RATE) == pytest.approx(judge.score(np.clip(loud, -1, 1), RATE), abs=1e-6)
    assert len(judge.checksum) == 64


@pytest.mark.parametrize("seconds", [0.0, 0.01, 4.6, 9.0, 9.01, 9.5, 12.0, 19.9])
def test_windows_of_dnsmos_are_whole_and_begin_on_seconds(seconds):
    samples = np.arange(round(seconds * RATE), dtype=np.float32)
    rows = dnsmos_windows(samples)
    assert len(rows) and rows.shape[1] == DNSMOS_WINDOW
    if len(samples) >= DNSMOS_WINDOW:
        assert not np.any(rows[:, 0] % RATE)
        assert len(rows) <= 1 + int(
            int(seconds) - 9.01
        )  # the package leaves out those that rounding makes a sample too short


def test_every_kind_has_its_mean():
    received = []

    def score(samples, sample_rate):
        received.append(sample_rate)
        return 1.0 + len(received)

    judge = SimpleNamespace(name="overall", recipe="planted", checksum="", score=score)
    clips = [_clip("source", np.full(9, 2.0)), _clip("source", np.zeros(9)), _clip("conversion", np.zeros(9))]
    found = measure(clips, RATE, judges=[judge])
    assert found["source"]["overall"].value == pytest.approx(2.5) and found["conversion"]["overall"].value == 4
    assert received == [RATE] * 3


def test_without_the_package_the_extra_is_named(monkeypatch):
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="speechmos.*quality"):
        Dnsmos()


def test_without_the_runtime_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtraError, match="onnxruntime.*quality"):
        Dnsmos()


def test_without_any_judge_the_first_extra_is_named(monkeypatch):
    for name in ("onnxruntime", "distillmos"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match="quality"):
        measure([_clip("source", np.zeros(9))], RATE)


def test_distillmos_does_not_depend_on_level_and_leaves_no_torchaudio_behind():
    pytest.importorskip("xls_r_sqa")
    had = "torchaudio" in sys.modules
    judge = DistillMos()
    assert ("torchaudio" in sys.modules) == had and len(judge.checksum) == 64
    speech = _vowels(np.random.default_rng(0))
    assert 1 <= judge.score(speech, RATE) <= 5
    assert judge.score(0.1 * speech, RATE) == pytest.approx(judge.score(speech, RATE), abs=0.01)
