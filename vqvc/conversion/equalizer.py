"""The equalizer: brings the channel of a source nearer to that of the training speech before it is analysed.

A recording by another microphone or in another room has another long-term spectrum than the speech that the encoder
learned from, and its codes lose words. The model stores mean and deviation over training utterances of the spectrum in
bands (``audio.long_term_spectrum``). What lies further from the mean than the deviation is corrected, and no more:

    difference = mean - measured                                                                             in dB
    gain = sign(difference) clip(|difference| - deviation, 0, MOST_DB) confidence

The gain is interpolated over log frequency, the level stays, and a minimum-phase filter applies it without delay. It
changes what the encoder and the pitch tracker read; loudness is that of the recording. A recording within the deviation and
a model without the spectrum have no filter.

Recordings that are converted or encoded for a conversion are equalized, in one piece, in pieces or as a stream. Packed
stores are not: neither in training nor where the codes of a store or of a labelled corpus are evaluated. Nor is an
enrollment, which encodes copies with other channels.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from vqvc.audio import long_term_spectrum
from vqvc.audio.filters import CausalFilter, minimum_phase
from vqvc.audio.long_term_spectrum import Spectrum, SpectrumMeter
from vqvc.nn.code_encoder import CodeEncoder

Gains = tuple[float, ...]  # in dB, one for each band

MOST_DB = 20.0  # largest gain before the level is restored
SURE_S = 1.0  # of frames that count, from which on a recording is corrected in full; less of it in proportion
TAPS_S, DESIGN_S = 0.032, 0.128  # length of the filter, and of the transform that it is designed with
START_S = 2.0  # of speech before a stream is corrected
UPDATE_S = 0.5  # between two measurements of a stream; each filter comes in over as long
HALF_LIFE_S = 20.0  # of speech after which what a stream has measured counts half


class Equalizer:
    """The equalizer of a model. Make one with ``of``.

    mean, deviation: (BANDS,) of the training speech in dB, see ``long_term_spectrum.Spectrum.bands_db``.
    """

    def __init__(self, mean: np.ndarray, deviation: np.ndarray, sample_rate: int) -> None:
        self.mean, self.deviation, self.sample_rate = mean, deviation, sample_rate

    @classmethod
    def of(cls, model: CodeEncoder) -> "Equalizer | None":
        """The equalizer of a model; None for one that does not store the spectrum of its training speech."""
        table = getattr(model, "source_spectrum", None)  # a code encoder has none
        if table is None or not table.any():
            return None
        mean, deviation = table.double().cpu().numpy()
        return cls(mean, deviation, model.config.audio.sample_rate)

    def meter(self) -> SpectrumMeter:
        """What measures a source at the model's rate, at any level; ``gains`` takes its result."""
        return SpectrumMeter(self.sample_rate)

    def gains(self, measured: Spectrum | None) -> Gains | None:
        """The gains for a source; None where nothing is to be corrected."""
        if measured is None:
            return None
        difference = self.mean - measured.bands_db
        excess = np.clip(np.abs(difference) - self.deviation, 0.0, MOST_DB)
        if not excess.any():
            return None
        gains = np.sign(difference) * excess * min(measured.seconds / SURE_S, 1.0)
        size = 2 * (len(measured.power) - 1)
        over_bins = long_term_spectrum.over_bins(gains, self.sample_rate, size)
        level_db = 10 * np.log10((measured.power * 10 ** (over_bins / 10)).sum())
        return tuple((gains - level_db).tolist())


def gains_of(model: CodeEncoder, samples: np.ndarray, equalizer: bool = True) -> Gains | None:
    """The gains for a whole recording (T,) at the model's rate; None without ``equalizer`` or where there are none."""
    found = Equalizer.of(model) if equalizer else None
    return None if found is None else found.gains(long_term_spectrum.measure(samples, found.sample_rate))


def filtered(blocks: Iterable[np.ndarray], gains: Gains | None, sample_rate: int) -> Iterator[np.ndarray]:
    """Samples in blocks (T,) -> blocks of the same length, float32, by the filter for the gains; unchanged for None."""
    if gains is None:
        yield from blocks
        return
    causal = CausalFilter(response(gains, sample_rate))
    for block in blocks:
        yield causal.push(block)


def response(gains: Gains, sample_rate: int) -> np.ndarray:
    """The impulse response (taps,) of minimum phase for gains."""
    size = round(DESIGN_S * sample_rate / 2) * 2
    nepers = long_term_spectrum.over_bins(np.array(gains), sample_rate, size) * (np.log(10) / 20)
    return minimum_phase(nepers[None])[0, : _taps(sample_rate)]


def _taps(sample_rate: int) -> int:
    return round(TAPS_S * sample_rate)


class StreamEqualizer:
    """The equalizer of a stream whose gains are known: levelled samples -> what the encoder and the pitch tracker read."""

    def __init__(self, gains: Gains, sample_rate: int) -> None:
        self.filter = CausalFilter(response(gains, sample_rate))

    def push(self, samples: np.ndarray, levelled: np.ndarray) -> np.ndarray:
        """Samples (T,) at the level of training, equalized, float32. samples: the same as they came."""
        return self.filter.push(levelled)


class RunningEqualizer:
    """The equalizer of a stream that knows nothing of its source, with gains from the spectrum so far.

    Nothing is corrected before START_S of speech. Then gains are measured every UPDATE_S, and their filter comes in over
    the next UPDATE_S as the one before goes out. Pauses do not count. How samples are shared out among pushes changes
    nothing.
    """

    def __init__(self, equalizer: Equalizer) -> None:
        self.equalizer, self.meter = equalizer, equalizer.meter()
        self.period = round(UPDATE_S * equalizer.sample_rate)
        self.position, self.latest = 0, []  # samples since the last measurement, and their parts
        self.gains: Gains | None = None
        self.filter = self._filter(None, None)
        self.leaving: CausalFilter | None = None  # the filter before, while it goes out

    def push(self, samples: np.ndarray, levelled: np.ndarray) -> np.ndarray:
        """As that of ``StreamEqualizer``."""
        made = [np.zeros(0, np.float32)]
        while len(levelled):
            count = min(self.period - self.position, len(levelled))
            made.append(self._push(levelled[:count]))
            self.latest.append(samples[:count])
            samples, levelled, self.position = samples[count:], levelled[count:], self.position + count
            if self.position == self.period:
                self._measure(np.concatenate(self.latest))
                self.position, self.latest = 0, []
        return np.concatenate(made)

    def _push(self, levelled: np.ndarray) -> np.ndarray:
        coming = self.filter.push(levelled)
        if self.leaving is None:
            return coming
        rise = (self.position + np.arange(1, len(levelled) + 1, dtype=np.float32)) / np.float32(self.period)
        return (1 - rise) * self.leaving.push(levelled) + rise * coming

    def _measure(self, samples: np.ndarray) -> None:
        """Count the samples of a period, and choose the filter for the next."""
        before = self.meter.speech_s
        self.meter.add(samples)
        measured = self.meter.result()
        self.meter.forget(0.5 ** (max(self.meter.speech_s - before, 0.0) / HALF_LIFE_S))
        gains = self.equalizer.gains(measured) if self.meter.speech_s >= START_S else self.gains
        self.leaving = None
        if gains != self.gains:
            self.leaving, self.gains = self.filter, gains
            self.filter = self._filter(gains, self.leaving.held)

    def _filter(self, gains: Gains | None, before: np.ndarray | None) -> CausalFilter:
        rate = self.equalizer.sample_rate
        return CausalFilter(np.eye(1, _taps(rate))[0] if gains is None else response(gains, rate), before)
