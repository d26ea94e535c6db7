"""Analysis of a source recording: codes, loudness and F0 contour, at the level of training."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from vqvc.audio import level
from vqvc.conversion import equalizer as equalizers
from vqvc.conversion.encoding import device_of, encode
from vqvc.conversion.equalizer import Gains
from vqvc.nn.pitch import HIGHEST_HZ, LOWEST_HZ
from vqvc.nn.vqvae import VQVAE

PITCH_RANGE = (math.log2(LOWEST_HZ) - 0.1, math.log2(HIGHEST_HZ) + 0.1)  # with a margin, as the tracker interpolates
PITCH_BINS = 600  # of a histogram over PITCH_RANGE; each is about a twentieth of a semitone
VOICED = 0.5  # voicing above which a frame counts as voiced
UNVOICED = 1e-6  # weight of other frames, which matter only if no frame is voiced


@dataclass(frozen=True)
class Analysis:
    """What a conversion needs from a recording of T codes, that is, T * hop samples at the model's rate."""

    codes: np.ndarray  # (T,) int64
    loudness: np.ndarray  # (T,) energy at each code
    f0_contour: np.ndarray | None  # (3, T), see ``nn.pitch.F0Conditioner``; None if the model is not conditioned on F0
    gain_db: float  # the gain that brought the recording to the level of training
    length_samples: int  # of the recording, at the model's rate


def analyse_recording(model: VQVAE, samples: np.ndarray, equalizer: bool = True) -> Analysis:
    """Analyse a whole recording (T,) at the model's rate and any level.

    equalizer: encode it and track its pitch with its channel corrected. Raises AudioError for silence and for fewer samples than one code
    has.
    """
    found = levelled(model, samples)
    return analyse(model, found.samples, found.gain_db, equalizer_db=equalizers.gains_of(model, samples, equalizer))


def analyse(
    model: VQVAE,
    samples: np.ndarray,
    gain_db: float = 0.0,
    f0_centre: float | None = None,
    equalizer_db: Gains | None = None,
) -> Analysis:
    """Analyse samples (T,) float32 at the model's rate and at the level of training.

    gain_db: the gain that brought them to this level, for the result. f0_centre: median pitch (log2 of Hz) of the
    recording that the samples are a part of; their own when None. equalizer_db: gains of the equalizer, for codes and pitch. Raises
    AudioError for fewer samples than one code has.
    """
    samples = np.asarray(samples, np.float32)
    padded = np.pad(samples, (0, -len(samples) % model.hop_length))
    (equalized,) = equalizers.filtered([samples], equalizer_db, model.config.audio.sample_rate)
    codes = encode(model, equalized)
    contour = f0_contour(model, equalized, f0_centre)
    return Analysis(codes, loudness(padded, model.hop_length), contour, gain_db, len(samples))


def levelled(model: VQVAE, samples: np.ndarray) -> level.Levelled:
    """Scale samples (T,) to the level of training, without trimming them; raises AudioError for silence."""
    settings = model.config.audio
    return level.normalise(samples, settings.sample_rate, settings.level_rms, trim=False)


def loudness(samples: np.ndarray, hop: int) -> np.ndarray:
    """Energy (ceil(T / hop),) of each code's samples, smoothed over five codes."""
    frames = np.pad(samples, (0, -len(samples) % hop)).reshape(-1, hop)
    return np.convolve((frames**2).mean(1), np.ones(5) / 5)[2:-2]  # mode "same" returns at least five numbers


@torch.inference_mode()
def f0_contour(model: VQVAE, samples: np.ndarray, centre: float | None = None) -> np.ndarray | None:
    """The F0 contour (3, ceil(T / hop)) of samples (T,); None for a model that is not conditioned on one.

    centre: median pitch (log2 of Hz) of the recording that the samples are a part of; their own when None.
    """
    if model.f0_conditioner is None:
        return None
    if centre is None:
        centre = median_pitch(pitch_counts(model, samples))
    waveform = _waveform(model, samples)
    middle = torch.tensor([centre], dtype=torch.float32, device=waveform.device)
    return model.f0_conditioner(waveform, middle)[0].cpu().numpy()


@torch.inference_mode()
def pitch_counts(model: VQVAE, samples: np.ndarray, first: int = 0, last: int | None = None) -> np.ndarray:
    """A histogram (PITCH_BINS,) of pitch over codes [first, last) of samples (T,), weighted by voicing.

    Histograms of parts of a recording can be added up. Unvoiced frames have a tiny weight: they matter only if no frame
    is voiced, since their pitch is unreliable. Zeros for a model that is not conditioned on F0.
    """
    if model.f0_conditioner is None:
        return np.zeros(PITCH_BINS)
    tracked = model.f0_conditioner.track(_waveform(model, samples))
    pitch, voicing = (rows[0, first:last].cpu().double().numpy() for rows in tracked)
    weights = np.where(voicing > VOICED, voicing, UNVOICED * voicing)
    return np.bincount(pitch_bins(pitch), weights=weights, minlength=PITCH_BINS)


def pitch_bins(pitch: np.ndarray) -> np.ndarray:
    """The histogram bins (T,) int64, from 0 to PITCH_BINS - 1, of pitch (T,) in log2 of Hz."""
    place = (pitch - PITCH_RANGE[0]) * PITCH_BINS / (PITCH_RANGE[1] - PITCH_RANGE[0])
    return np.clip(place, 0, PITCH_BINS - 1).astype(np.int64)


def median_pitch(counts: np.ndarray) -> float:
    """The median in log2 of Hz of a histogram of ``pitch_counts``, interpolated within a bin.

    Octave errors of the tracker and noise change a median less than a mean.
    """
    cumulative = np.cumsum(counts)
    place = int(np.searchsorted(cumulative, cumulative[-1] / 2))
    inside = (cumulative[-1] / 2 - (cumulative[place] - counts[place])) / max(counts[place], 1e-300)
    return float(PITCH_RANGE[0] + (place + inside) * (PITCH_RANGE[1] - PITCH_RANGE[0]) / PITCH_BINS)


def _waveform(model: VQVAE, samples: np.ndarray) -> torch.Tensor:
    """(1, T) on the model's device, padded to a whole number of codes."""
    padded = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % model.hop_length))
    return torch.from_numpy(padded)[None].to(device_of(model))
