"""Whether recordings can be enrolled: enough speech, of one person, and neither noise nor music."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from vqvc.errors import AudioError
from vqvc.nn.cepstra import Cepstra
from vqvc.nn.features import LogMel
from vqvc.nn.pitch import PitchTracker

LEAST_S, FEW_S = 4.0, 10.0  # of loud frames: less is refused; less is a warning. Ten seconds of reading hold 4.7 to 10
FRAME_HOP = 64  # samples between two frames of pitch and level
VOICED = 0.9  # voicing above which a loud frame's pitch counts; its median then is Praat's within a tenth of an octave
LEAST_VOICED = 0.1  # share of loud frames that are voiced: noise and whispering lie below, reading at 0.35 to 0.77
LEAST_GLIDE = (
    0.4  # share of voiced frames whose pitch moves: 0.77 to 0.94 in reading, under 0.1 in notes, chords and hum
)
GLIDE_S, GLIDE_OCTAVES = 0.04, 0.008  # a frame's pitch moves when it differs by so much from that so much later
TELEPHONE_HZ, ABOVE_HZ = 4000.0, 4500.0  # where a telephone's band ends, and from where on nothing of it is left
LEAST_ABOVE_DB = (
    -45.0
)  # of power per band there over that within: -36 to 0 in wide-band speech, under -47 in upsampled speech
TURN_S = 1.5  # of voiced speech whose median pitch is one observation of "who speaks"
TWO_VOICES_OCTAVES = 0.45  # distance of the two groups of observations that one person rarely has
SMALLER_SHARE = 0.2  # of observations that the smaller group has at least


@dataclass(frozen=True)
class Suitability:
    """speech_s: seconds of loud frames; f0: median and standard deviation of log2 of Hz where voiced; warnings: sentences."""

    speech_s: float
    f0: tuple[float, float]
    warnings: tuple[str, ...]


@torch.inference_mode()
def assess(recordings: Sequence[np.ndarray], sample_rate: int) -> Suitability:
    """Raise AudioError with the reason, for recordings (T,) float32 at the level of training, that cannot be enrolled."""
    track, mel = PitchTracker(sample_rate, FRAME_HOP), LogMel(sample_rate, FRAME_HOP, 40)
    cepstra = Cepstra(40)
    pitches, voiced, louds, power = [], [], [], torch.zeros(mel.filters.shape[0])
    for samples in recordings:
        waveform = torch.from_numpy(np.pad(samples, (0, -len(samples) % FRAME_HOP)))[None]
        pitch, voicing = track(waveform)
        log_mel = mel(waveform)[0].T
        loud = cepstra.loud(cepstra(log_mel))
        power += (log_mel[loud] * mel.SCALE - mel.SHIFT).exp().sum(0)
        pitches.append(pitch[0].numpy())
        louds.append(loud.numpy())
        voiced.append((voicing[0] > VOICED).numpy() & louds[-1])
    frame_s = FRAME_HOP / sample_rate
    speech_s = float(sum(map(np.sum, louds))) * frame_s
    if speech_s < LEAST_S:
        raise AudioError(
            f"{speech_s:.1f} s of speech are too little; a voice needs {LEAST_S:.0f} s at least, 30 s are good"
        )
    share = sum(map(np.sum, voiced)) * frame_s / speech_s
    if share < LEAST_VOICED:
        raise AudioError(
            f"only {100 * share:.0f} % of the sound is voiced: noise, or a whisper; record clear speech without a background"
        )
    glide = _glide(pitches, voiced, round(GLIDE_S / frame_s))
    if glide < LEAST_GLIDE:
        raise AudioError("the pitch stands still as that of music does; record speech without music or singing")
    heights = np.concatenate([pitch[is_voiced] for pitch, is_voiced in zip(pitches, voiced)])
    warnings = []
    if speech_s < FEW_S:
        warnings.append(f"{speech_s:.1f} s of speech are few; 30 s give a voice that is closer")
    if _above_db(power, mel, sample_rate) < LEAST_ABOVE_DB:
        warnings.append(
            f"the recordings hold nothing above {TELEPHONE_HZ / 1000:.0f} kHz, as those of a telephone, and the voice will sound like "
            "them; record at 16 kHz or more"
        )
    distance = two_voices(heights, round(TURN_S / frame_s))
    if distance is not None:
        warnings.append(
            f"the pitch lies in two groups {12 * distance:.0f} semitones apart: perhaps two people; "
            "enroll recordings of one person"
        )
    return Suitability(speech_s, (float(np.median(heights)), float(heights.std())), tuple(warnings))


def _above_db(power: torch.Tensor, mel: LogMel, sample_rate: int) -> float:
    """Power per band above a telephone's band over that within it, in dB; power: (bands,)."""
    bins_hz = torch.linspace(0, sample_rate / 2, mel.filters.shape[1])
    centres_hz = mel.filters @ bins_hz / mel.filters.sum(1)
    above, within = power[centres_hz > ABOVE_HZ], power[centres_hz < TELEPHONE_HZ]
    return float(10 * (above.mean() / within.mean()).log10()) if len(above) else 0.0


def _glide(pitches: Sequence[np.ndarray], voiced: Sequence[np.ndarray], lag: int) -> float:
    """Share of voiced frames whose pitch differs from that ``lag`` frames later, all between being voiced."""
    moving = counted = 0
    for pitch, is_voiced in zip(pitches, voiced):
        if len(pitch) <= lag:
            continue
        whole = np.logical_and.reduce([is_voiced[n : len(pitch) - lag + n] for n in range(lag + 1)])
        moved = np.abs(pitch[lag:] - pitch[:-lag]) > GLIDE_OCTAVES
        moving, counted = moving + np.sum(moved & whole), counted + np.sum(whole)
    return float(moving / max(counted, 1))


def two_voices(heights: np.ndarray, turn: int) -> float | None:
    """Octaves between two groups of pitch, when voiced frames (F,) of log2 of Hz fall in two; None for one group.

    Medians of ``turn`` frames each are parted where the groups' spread within is least (Otsu 1979).
    """
    count = len(heights) // max(turn, 1)
    if count < 4:
        return None
    medians = np.sort(np.median(heights[: count * turn].reshape(count, turn), axis=1))
    inside = [medians[:n].var() * n + medians[n:].var() * (count - n) for n in range(1, count)]
    cut = int(np.argmin(inside)) + 1
    apart = float(medians[cut:].mean() - medians[:cut].mean())
    enough = min(cut, count - cut) >= SMALLER_SHARE * count
    return apart if enough and apart > TWO_VOICES_OCTAVES else None
