"""Perturbed copies of a packed store: the same words at the same times in other voices and rooms.

An encoder that reads a perturbed copy while the decoder predicts the original cannot pass on what was perturbed, so that the
codes keep the content and lose the speaker (NANSY, Choi et al. 2021; ContentVec, Qian et al. 2022). A copy has:

- formants, median pitch and pitch range changed by Praat's "Change gender", which keeps the timing and the number of samples;
- a random equalizer: a smooth gain over log frequency;
- in some utterances what users' recordings have: noise, a small room, a low-pass.

``add_copies`` writes ``perturbed-1.s16``, ``perturbed-2.s16``, ... beside ``audio.s16``, laid out as that file is, and
``perturbed.json``. A copy of an utterance is a function of (seed, copy, utterance id and samples) alone.
"""

import math
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vqvc.corpus.store import PERTURBED, PackedStore
from vqvc.corpus.store_copies import draw_key, write_copies
from vqvc.corpus.store_writer import quantise

RULE_VERSION = 2  # changes when the same arguments give other samples
FORMANT_RATIO = 1.27  # formants are multiplied by at most this, or divided by it
PITCH_RATIO = 1.6  # so is the median pitch
RANGE_RATIO = 1.25  # and the pitch's distance from its median
PITCH_FLOOR_HZ, PITCH_CEILING_HZ = 65.0, 500.0
EQUALIZER_HZ = np.geomspace(60.0, 8000.0, 8)  # where the equalizer's gain is drawn; interpolated between
EQUALIZER_DB = 4.0  # its standard deviation
NOISE_SHARE, NOISE_SNR_DB = 0.3, (10.0, 35.0)
ROOM_SHARE, ROOM_S, ROOM_LEVEL = (
    0.25,
    (0.1, 0.4),
    (0.05, 0.35),
)  # reverberation time; reverberant amplitude, the direct sound 1
LOW_PASS_SHARE, LOW_PASS_HZ = 0.15, (3400.0, 7000.0)


def perturb(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A copy of samples (T,) float32 in another voice and room: (T,) float32 at the same RMS, its events at the same times."""
    result = equalize(change_voice(samples, sample_rate, rng), sample_rate, rng)
    level = rms(samples)
    if rng.random() < ROOM_SHARE:
        result = add_room(result, sample_rate, rng)
    if rng.random() < NOISE_SHARE:
        result = result + rms(result) * 10 ** (-rng.uniform(*NOISE_SNR_DB) / 20) * _noise(len(result), rng)
    if rng.random() < LOW_PASS_SHARE:
        result = low_pass(result, sample_rate, rng.uniform(*LOW_PASS_HZ))
    return (result * (level / max(rms(result), 1e-9))).clip(-1, 1).astype(np.float32)


def change_voice(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """samples (T,) with formants, median pitch and pitch range multiplied by random factors, by PSOLA (Praat)."""
    import parselmouth
    from parselmouth.praat import call, run

    run(
        f"random_initializeWithSeedUnsafelyButPredictably ({rng.integers(1, 2**31)})"
    )  # pulses of voiceless parts are drawn
    formant, pitch, spread = (
        math.exp(rng.uniform(-1, 1) * math.log(r)) for r in (FORMANT_RATIO, PITCH_RATIO, RANGE_RATIO)
    )
    sound = parselmouth.Sound(samples.astype(np.float64), sample_rate)
    try:
        f0 = sound.to_pitch(pitch_floor=PITCH_FLOOR_HZ, pitch_ceiling=PITCH_CEILING_HZ).selected_array["frequency"]
        voiced = f0[f0 > 0]
        median = float(np.median(voiced)) * pitch if len(voiced) else 0.0  # 0: as it is
        median = min(max(median, PITCH_FLOOR_HZ), PITCH_CEILING_HZ) if median else 0.0
        changed = call(sound, "Change gender", PITCH_FLOOR_HZ, PITCH_CEILING_HZ, formant, median, spread, 1.0).values[0]
    except parselmouth.PraatError:  # too short to be analysed
        return samples
    if len(changed) != len(samples):
        raise AssertionError(f"Praat changed the length from {len(samples)} to {len(changed)} samples")
    return changed.astype(np.float32)


def equalize(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """samples (T,) through a zero-phase filter whose gain in dB is drawn at ``EQUALIZER_HZ`` and smooth between."""
    gains_db = rng.normal(0, EQUALIZER_DB, len(EQUALIZER_HZ))

    def gain(hz: np.ndarray) -> np.ndarray:
        return 10 ** (np.interp(np.log(np.maximum(hz, 1.0)), np.log(EQUALIZER_HZ), gains_db) / 20)

    return _filter(samples, sample_rate, gain)


def low_pass(samples: np.ndarray, sample_rate: int, cutoff_hz: float) -> np.ndarray:
    """samples (T,) through a zero-phase Butterworth gain of order 8."""
    return _filter(samples, sample_rate, lambda hz: 1 / np.sqrt(1 + (hz / cutoff_hz) ** 16))


def add_room(samples: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """samples (T,) plus exponentially decaying diffuse reverberation of a random time and level."""
    time_s, level = rng.uniform(*ROOM_S), rng.uniform(*ROOM_LEVEL)
    tail = np.arange(round(time_s * sample_rate)) / sample_rate
    response = rng.standard_normal(len(tail)) * 10 ** (-3 * tail / time_s)  # -60 dB at its end
    response *= level / max(np.linalg.norm(response), 1e-9)
    size = 2 ** math.ceil(math.log2(len(samples) + len(response)))
    late = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(response, size), size)[: len(samples)]
    return samples + late.astype(np.float32)


def _filter(samples: np.ndarray, sample_rate: int, gain) -> np.ndarray:
    size = 2 ** math.ceil(math.log2(len(samples) + sample_rate // 20))  # nothing wraps around
    spectrum = np.fft.rfft(samples, size) * gain(np.fft.rfftfreq(size, 1 / sample_rate))
    return np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)


def _noise(length: int, rng: np.random.Generator) -> np.ndarray:
    """(length,) noise of unit RMS, its spectrum between white and brown."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum /= np.maximum(np.arange(len(spectrum)), length / 200) ** rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum, length)
    return (noise / max(rms(noise), 1e-9)).astype(np.float32)


def rms(samples: np.ndarray) -> float:
    """Root mean square of samples (T,)."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


# --- copies of a store


def add_copies(store: PackedStore, copies: int, *, seed: int = 1, jobs: int = 1) -> Iterator[int]:
    """Have ``copies`` perturbed copies beside the store's audio; yields 1 for each utterance and copy when it is made.

    Copies that are there already and were made with the same seed are kept. The result does not depend on ``jobs``. A copy
    that was interrupted begins again.
    """
    made_by = {"rule_version": RULE_VERSION, "seed": seed}
    yield from write_copies(store, PERTURBED, copies, made_by, lambda copy: _copies_of(store, copy, seed, jobs))


def _copies_of(store: PackedStore, copy: int, seed: int, jobs: int) -> Iterator[np.ndarray]:
    """(T,) int16 of every utterance in the store's order."""
    tasks = ((str(store.path), utterance.utt_id, copy, seed) for utterance in store.utterances)
    if jobs == 1:
        yield from map(_copy_of, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(_copy_of, tasks, chunksize=8)


_opened: dict[str, PackedStore] = {}  # of this process


def _copy_of(task: tuple[str, str, int, int]) -> np.ndarray:
    path, utt_id, copy, seed = task
    if path not in _opened:
        _opened[path] = PackedStore(Path(path))
    store = _opened[path]
    rng = np.random.Generator(np.random.Philox(key=draw_key(seed, copy, utt_id)))
    return quantise(perturb(store.waveform(utt_id), store.sample_rate, rng))
