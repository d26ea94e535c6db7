"""What a live conversion knows of its source: offset, level, median pitch and channel, of its past or given.

An offline conversion measures level and median pitch on the whole recording (``audio.level``, ``analysis.pitch_counts``). A stream has only
its past, so each figure begins with a prior, which counts as PRIOR_S of speech, and then follows the source with a slow time
constant. None of them moves in pauses. Given figures stay as they are.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vqvc.audio.level import PEAK_LIMIT
from vqvc.conversion.analysis import PITCH_BINS, PITCH_RANGE, VOICED, median_pitch, pitch_bins
from vqvc.conversion.equalizer import Gains

PRIOR_S = 0.1  # of speech that a prior counts as: with more, the first words of a stream suffer
LEVEL_S, PITCH_S = 5.0, 20.0  # of speech over which level and pitch are averaged
OFFSET_S = 1.0  # over which the offset (DC) is averaged, or as much as there has been
LOUDEST_FALL_S = 20.0  # in which the loudest level that is remembered falls by half
PEAK_FALL_S = 2.0  # likewise the highest peak
PRIOR_DB = -26.0  # of full scale: speech at a microphone
QUIETEST_DB = -65.0  # of full scale, below which nothing is speech
BELOW_LOUD_DB = 30.0  # a hop is speech when at most this far under the loudest before it
PAUSES_DB = 1.0  # by which a whole recording, with the pauses between its words, is quieter than its speech
PITCH_SPREAD = 0.4  # octaves, standard deviation of the pitch that a source has before anything is known of it
PRIOR_HZ = 150.0  # mean pitch of a model that remembers no speakers' pitch


@dataclass(frozen=True)
class Statistics:
    """Figures of a source that is known beforehand, such as those of a whole recording (``chunking.survey``).

    gain: what brings it to the level of training once the offset ``dc`` (of full scale) is taken off. pitch: median of log2
    of Hz where it is voiced; None for a model that is not conditioned on F0. equalizer_db: its gains; None corrects nothing.
    """

    gain: float
    dc: float = 0.0
    pitch: float | None = None
    equalizer_db: Gains | None = None


def ramps(values: Sequence[float], hop: int) -> np.ndarray:
    """(N, hop) float64 of N + 1 values: from each to the next in a straight line; a row ends at the later value."""
    steps = np.array(values)
    share = np.arange(1, hop + 1) / hop
    return steps[:-1, None] + np.diff(steps)[:, None] * share


class RunningLevel:
    """Offset and gain for every hop of a source, from the hops up to it."""

    def __init__(self, sample_rate: int, hop: int, level_rms: float, given: Statistics | None = None) -> None:
        self.hop, self.hop_s, self.level_rms = hop, hop / sample_rate, level_rms
        self.is_given = given is not None
        self.dc, self.gain = (given.dc, given.gain) if given is not None else (0.0, 0.0)
        self.loudest, self.peak = 0.0, 0.0  # mean square and amplitude
        self.hops = 0
        self.weight_s = self.power = 0.0  # of speech, and the sum of its mean squares
        self.prior_s = PRIOR_S
        if not self.is_given:
            self.gain = self._gain()

    def levelled(self, samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Samples (T,) float32, T a multiple of the hop, at the level of training, and what undoes the gain of each, (T,) float32."""
        if self.is_given:
            undone = np.full(len(samples), 1 / self.gain, np.float32)
            return (samples - np.float32(self.dc)) * np.float32(self.gain), undone
        dc, gain = [self.dc], [self.gain]
        hops = samples.reshape(-1, self.hop).astype(np.float64)
        for figures in zip(*(part.tolist() for part in (hops.mean(1), (hops**2).mean(1), hops.min(1), hops.max(1)))):
            self._count(*figures)
            dc.append(self.dc)
            gain.append(self.gain)
        offsets, gains = (ramps(values, self.hop).ravel().astype(np.float32) for values in (dc, gain))
        return (samples - offsets) * gains, 1 / gains

    def _count(self, mean: float, square: float, low: float, high: float) -> None:
        """Go on by a hop of this mean, mean square, least and greatest sample."""
        self.hops += 1
        self.dc += (mean - self.dc) * max(self.hop_s / OFFSET_S, 1 / self.hops)
        power = max(square - 2 * self.dc * mean + self.dc**2, 0.0)
        peak = max(high - self.dc, self.dc - low)
        self.loudest = max(power, self.loudest * 0.5 ** (self.hop_s / LOUDEST_FALL_S))
        self.peak = max(peak, self.peak * 0.5 ** (self.hop_s / PEAK_FALL_S))
        if power > max(10 ** (QUIETEST_DB / 10), self.loudest * 10 ** (-BELOW_LOUD_DB / 10)):
            kept = 1 - self.hop_s / LEVEL_S if self.weight_s > LEVEL_S else 1.0
            self.power = self.power * kept + power * self.hop_s
            self.weight_s = self.weight_s * kept + self.hop_s
            self.prior_s *= kept
        self.gain = self._gain()

    def _gain(self) -> float:
        level_db = PRIOR_DB * self.prior_s
        if self.weight_s:
            level_db += 10 * math.log10(self.power / self.weight_s) * self.weight_s
        rms = 10 ** ((level_db / (self.prior_s + self.weight_s) - PAUSES_DB) / 20)
        return min(self.level_rms / rms, PEAK_LIMIT / max(self.peak, 1e-6))


class RunningPitch:
    """Median pitch, as log2 of Hz weighted by voicing, after every code of a source: the centre of an offline conversion's F0 contour.

    given: the median, which stays; start: where it begins, the mean of the model's speakers when None. A start that somebody gave
    counts as PITCH_S of speech instead of PRIOR_S. Either is a normal distribution of pitch in the histogram that is kept.
    """

    def __init__(self, code_s: float, prior: float, given: float | None = None, start: float | None = None) -> None:
        self.code_s, self.given = code_s, given
        edges = np.linspace(*PITCH_RANGE, PITCH_BINS + 1)[1:-1]
        middle = prior if start is None else start
        below = np.array([0.5 * (1 + math.erf((edge - middle) / (PITCH_SPREAD * math.sqrt(2)))) for edge in edges])
        self.counts = np.diff(below, prepend=0, append=1) * (PRIOR_S if start is None else PITCH_S) / code_s
        self.weight = float(self.counts.sum())

    @property
    def median(self) -> float:
        """log2 of Hz."""
        return self.given if self.given is not None else median_pitch(self.counts)

    def after(self, pitch: np.ndarray, voicing: np.ndarray) -> np.ndarray:
        """The median (T,) float32 after each of T codes of that pitch (log2 of Hz) and voicing (0 to 1)."""
        median = self.median
        medians = np.full(len(pitch), median, np.float32)
        if self.given is not None:
            return medians
        for index, (place, voiced) in enumerate(zip(pitch_bins(pitch), voicing.tolist())):
            if voiced > VOICED:
                if self.weight * self.code_s > PITCH_S:
                    kept = 1 - voiced * self.code_s / PITCH_S
                    self.counts *= kept
                    self.weight *= kept
                self.counts[place] += voiced
                self.weight += voiced
                median = self.median
            medians[index] = median
        return medians


def prior_pitch(f0_sums: np.ndarray) -> float:
    """Mean over speakers of their mean pitch (log2 of Hz), from the sums (speakers, 2) of ``F0Conditioner``."""
    known = f0_sums[f0_sums[:, 1] > 0]
    return float((known[:, 0] / known[:, 1]).mean()) if len(known) else math.log2(PRIOR_HZ)


class Gate:
    """Silences the output where the source is quiet: a factor (T,) float32 for samples (T,) of the source, ``delay`` hops later.

    Open for HOLD_S on either side of a hop that is louder than ``threshold_db`` (of full scale), as far ahead as ``most_ahead``
    hops allow; it fades over a hop.
    """

    HOLD_S = 0.06

    def __init__(self, sample_rate: int, hop: int, threshold_db: float | None, most_ahead: int) -> None:
        self.hop, self.threshold = hop, None if threshold_db is None else 10 ** (threshold_db / 10)
        self.hold = max(round(self.HOLD_S * sample_rate / hop), 1)
        self.delay = min(self.hold, max(most_ahead, 0))
        self.loud = [False] * self.hold  # of the hops before the next that is decided
        self.factor = 0.0

    def factors(self, samples: np.ndarray, last: bool = False) -> np.ndarray:
        """Factors of the hops that ``samples`` (T,), T a multiple of the hop, decide; ``last`` decides all that are left."""
        hops = samples.reshape(-1, self.hop).astype(np.float64)
        if self.threshold is None:
            self.loud += [True] * len(hops)
        else:
            self.loud += ((hops**2).mean(1) > self.threshold).tolist()
        if last:
            self.loud += [False] * self.delay
        count = max(len(self.loud) - self.hold - self.delay, 0)
        targets = [float(any(self.loud[k : k + self.hold + 1 + self.delay])) for k in range(count)]
        del self.loud[:count]
        if not targets:
            return np.zeros(0, np.float32)
        if self.threshold is None:
            return np.ones(count * self.hop, np.float32)
        before, self.factor = self.factor, targets[-1]
        return ramps([before, *targets], self.hop).ravel().astype(np.float32)
