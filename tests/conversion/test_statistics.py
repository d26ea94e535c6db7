"""Running statistics of a source: they come near to those of the whole, and pauses do not move them."""

import math

import numpy as np
import pytest
import torch
from streams import RATE, model_of

from vqvc.conversion import analysis
from vqvc.conversion import statistics as statistics_module
from vqvc.conversion.statistics import Gate, RunningLevel, RunningPitch


def test_the_running_level_comes_near_to_that_of_the_whole(speechlike):
    for gain in (0.1, 1.0, 3.0):
        samples = gain * speechlike(6.0, silence_s=0.0) + np.float32(0.01)
        running = RunningLevel(RATE, 64, 0.06)
        levelled, undone = running.levelled(samples[: len(samples) // 64 * 64])
        late = levelled[3 * RATE :]
        assert 0.045 < float(np.sqrt((late**2).mean())) < 0.08
        assert abs(float(late.mean())) < 0.01
        assert np.allclose(levelled * undone, samples[: len(levelled)], atol=0.02 * gain + 0.011)


def test_pauses_and_digital_silence_do_not_move_the_level(speechlike):
    running = RunningLevel(RATE, 64, 0.06)
    running.levelled(0.3 * speechlike(3.0, silence_s=0.0)[: 3 * RATE // 64 * 64])
    before = running.gain
    quiet = 1e-4 * np.random.default_rng(0).standard_normal(10 * RATE // 64 * 64).astype(np.float32)
    for pause in (quiet, 0 * quiet):
        levelled, _ = running.levelled(pause)
        assert running.gain == pytest.approx(before, rel=0.05) and np.isfinite(levelled).all()


def test_the_running_pitch_goes_from_its_prior_to_the_median_of_the_source():
    code_s, a_bin = 0.004, 0.005  # octaves that a bin of the histogram is wide
    voiced, unvoiced = np.full(500, 7.0), np.zeros(500)
    running = RunningPitch(code_s, prior=8.0)
    assert running.median == pytest.approx(8.0, abs=a_bin)
    assert (running.after(voiced, unvoiced) == np.float32(running.median)).all()  # unvoiced: it stays
    medians = running.after(voiced, np.ones(500))
    assert (np.diff(medians) <= 0).all() and medians[-1] == pytest.approx(7.0, abs=a_bin)
    running.after(np.full(50, 8.0), np.ones(50))  # octave errors in a tenth of the frames
    assert running.median == pytest.approx(7.0, abs=a_bin)
    running.after(np.full(100_000, 6.0), np.ones(100_000))
    assert running.median == pytest.approx(6.0, abs=a_bin)  # it follows another speaker
    assert (
        RunningPitch(code_s, 8.0, start=7.5).after(voiced, np.ones(500))[-1] > 7.4
    )  # a start that was given is trusted
    assert RunningPitch(code_s, 8.0, given=7.5).after(voiced, np.ones(500))[-1] == 7.5


def test_the_running_pitch_ends_at_the_centre_of_an_offline_conversion(speechlike):
    model, samples = model_of("f0"), speechlike(6.0)
    samples = samples[: len(samples) // model.hop_length * model.hop_length]
    running = RunningPitch(model.hop_length / RATE, prior=8.0)
    tracked = model.f0_conditioner.track(torch.from_numpy(samples)[None])
    end = running.after(*(rows[0].numpy() for rows in tracked))[-1]
    assert end == pytest.approx(analysis.median_pitch(analysis.pitch_counts(model, samples)), abs=0.02)


def test_the_prior_of_the_pitch_is_the_mean_of_the_speakers_that_have_one():
    sums = np.array([[700.0, 100.0], [0.0, 0.0], [160.0, 20.0]])
    assert statistics_module.prior_pitch(sums) == pytest.approx(7.5)
    assert statistics_module.prior_pitch(0 * sums) == pytest.approx(math.log2(statistics_module.PRIOR_HZ))


def test_the_gate_opens_before_and_closes_after_what_is_loud():
    hop = 64
    samples = np.zeros(100 * hop, np.float32)
    samples[50 * hop : 60 * hop] = 0.1
    gate = Gate(RATE, hop, -60.0, most_ahead=100)
    parts = [gate.factors(part) for part in np.split(samples, 10)]
    factors = np.concatenate([*parts, gate.factors(samples[:0], True)]).reshape(100, hop)
    assert (factors[: 50 - gate.hold] == 0).all() and (factors[50 : 60 + gate.hold] == 1).all()
    assert (factors[61 + gate.hold :] == 0).all() and (np.diff(factors.ravel()[: 50 * hop]) >= 0).all()
    assert np.abs(np.diff(factors.ravel())).max() < 0.05  # no click
