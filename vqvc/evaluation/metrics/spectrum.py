"""Mel-cepstral distortion (Kubichek 1993) between synthesized and natural speech."""

from collections.abc import Sequence

import numpy as np

from vqvc.errors import AudioError, CorpusError
from vqvc.evaluation import metric
from vqvc.evaluation.evaluation_set import EvaluationClip, parallel
from vqvc.evaluation.metric import ByKind, Groups, Metric, by_name

MCD_ORDER = 24  # coefficients 1 to 24; coefficient 0 (loudness) is left out
MCD_BANDS = 80
MCD_FLOOR_DB = 40.0
MCD_RECIPE = (
    f"mel-cepstra c1 to c{MCD_ORDER} (c0 left out) of {MCD_BANDS} log mel bands up to 8 kHz, 25 ms Hann window every 10 ms; frames "
    f"more than {MCD_FLOOR_DB:.0f} dB below the loudest left out; dynamic time warping on the same coefficients; mean over the path "
    "of 10/ln 10 * sqrt(2 * sum of squared differences), in dB"
)


def mel_cepstra(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Mel-cepstra (T, 24) float64 as in ``MCD_RECIPE``, without quiet frames. Raises AudioError for silence.

    They are scaled so that log amplitude = c0 + sum_m c_m cos(m w). The distortion of two frames is then the root mean
    square difference of their smoothed, mel-warped spectra in dB.
    """
    import librosa

    from vqvc.audio.features import log_mel

    hop = sample_rate // 100
    if len(samples) < 2 * hop or not np.any(samples):
        raise AudioError("mel-cepstral distortion needs sound: the recording is silent or shorter than 20 ms")
    log_amplitude = log_mel(
        samples,
        sample_rate,
        hop_length=hop,
        win_length=round(0.025 * sample_rate),
        n_mels=MCD_BANDS,
        f_max=min(8000.0, sample_rate / 2),
    )
    loud = loud_frames(samples, hop, log_amplitude.shape[1], MCD_FLOOR_DB)
    cepstra = librosa.feature.mfcc(S=log_amplitude[:, loud].astype(np.float64), n_mfcc=MCD_ORDER + 1, norm=None)
    return cepstra[1:].T / MCD_BANDS


def loud_frames(samples: np.ndarray, hop_length: int, count: int, below_db: float) -> np.ndarray:
    """Which frames have an energy within ``below_db`` of the loudest, (count,) bool; all of them for silence.

    samples: (T,). hop_length: samples per frame. count: of frames.
    """
    padded = np.zeros(count * hop_length)
    padded[: len(samples)] = samples[: len(padded)]
    energy = (padded.reshape(count, hop_length) ** 2).mean(axis=1)
    return energy >= energy.max() * 10 ** (-below_db / 10)


def warp(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Align frames (T1, D) and (T2, D) by dynamic time warping with Euclidean distances: two index arrays."""
    import librosa

    _, path = librosa.sequence.dtw(X=one.T, Y=other.T, metric="euclidean")
    return path[::-1, 0], path[::-1, 1]


def cepstral_distortion(one: np.ndarray, other: np.ndarray) -> float:
    """Mel-cepstral distortion in dB of cepstra (T1, M) and (T2, M), which are aligned by ``warp``."""
    left, right = warp(one, other)
    squares = ((one[left] - other[right]) ** 2).sum(axis=1)
    return float((10 / np.log(10) * np.sqrt(2 * squares)).mean())


def measure(clips: Sequence[EvaluationClip], store, seed: int = 0) -> ByKind:
    """Distortion of conversions from natural parallel speech of the target, and of reconstructions from their source.

    Raises CorpusError if there are neither reconstructions nor parallel sentences.
    """
    rate = store.sample_rate
    source = {clip.utt_id: mel_cepstra(clip.samples, rate) for clip in clips if clip.kind == "source"}
    result: ByKind = {}
    rebuilt = [clip for clip in clips if clip.kind == "reconstruction"]
    if rebuilt:
        distortions = [cepstral_distortion(mel_cepstra(clip.samples, rate), source[clip.utt_id]) for clip in rebuilt]
        what = "mel-cepstral distortion to the source itself"
        result["reconstruction"] = by_name([_distortion("distortion_to_source", distortions, rebuilt, what, seed)])
    converted, copied, group = [], [], []
    for index, utterance in parallel(store, clips).items():
        natural = mel_cepstra(store.waveform(utterance), rate)
        group.append(clips[index])
        converted.append(cepstral_distortion(mel_cepstra(clips[index].samples, rate), natural))
        copied.append(cepstral_distortion(source[clips[index].utt_id], natural))
    if group:
        what = "mel-cepstral distortion to the target reading the same sentence"
        result["conversion"] = by_name([_distortion("distortion_to_target", converted, group, what, seed)])
        unchanged = f"the source left as it is; {what}"
        result["copy"] = by_name([_distortion("distortion_to_target", copied, group, unchanged, seed)])
    if not result:
        raise CorpusError(
            "distortion needs reconstructions of known speakers or parallel sentences, and there are none"
        )
    return result


def _distortion(
    name: str, distortions: Sequence[float], clips: Sequence[EvaluationClip], what: str, seed: int
) -> Metric:
    return metric.mean(name, distortions, Groups.of(clips), unit="dB", definition=what, judge=MCD_RECIPE, seed=seed)
