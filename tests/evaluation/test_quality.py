"""The no-reference quality figure: DNSMOS, where its package is installed."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from vqvc.errors import MissingExtraError
from vqvc.evaluation.evaluation_set import EvaluationClip
from vqvc.evaluation.judges.quality import DistillMos, Dnsmos
from vqvc.evaluation.metrics.quality import measure

RATE = 16000


def _clip(kind, samples):
    return EvaluationClip(kind=kind, utt_id="u", speaker="a", voice="a", text="", file="", samples=samples, seen=True)


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


def test_every_kind_has_its_mean(monkeypatch):
    received = []

    def run(samples, sr):
        received.append((samples.max(), sr))
        return {"ovrl_mos": 1 + len(received)}

    monkeypatch.setitem(sys.modules, "speechmos", ModuleType("speechmos"))
    monkeypatch.setitem(sys.modules, "speechmos.dnsmos", SimpleNamespace(run=run))
    clips = [_clip("source", np.full(9, 2.0)), _clip("source", np.zeros(9)), _clip("conversion", np.zeros(9))]
    found = measure(clips, RATE, judges=[Dnsmos()])
    assert found["source"]["overall"].value == pytest.approx(2.5) and found["conversion"]["overall"].value == 4
    assert received[0] == (1.0, RATE)  # it refuses what is louder than full scale


def test_without_the_package_the_extra_is_named(monkeypatch):
    for name in ("speechmos", "speechmos.dnsmos"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match="quality"):
        Dnsmos()


def test_without_any_judge_the_first_extra_is_named(monkeypatch):
    for name in ("speechmos", "speechmos.dnsmos", "distillmos"):
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
