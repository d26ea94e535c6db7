"""Conversion while somebody speaks: blocks of any size go in, and the samples come out that the input so far determines.

    stream = Stream(model, sampler, speaker)
    for block in blocks:
        play(stream.convert(block))
    play(stream.flush())

The encoder, the pitch tracker and the conditioner keep their recent inputs (``incremental``), the decoder its state; nothing is computed twice.
With given statistics and without the post-filter the samples are those of a conversion of the whole, up to the rounding of sums.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch

from vqvc.audio import mulaw
from vqvc.audio.resample import Resampler
from vqvc.conversion import causal_postfilter
from vqvc.conversion.encoding import device_of
from vqvc.conversion.equalizer import Equalizer, RunningEqualizer, StreamEqualizer
from vqvc.conversion.incremental import (
    ConditionerStream,
    EncoderStream,
    PitchStream,
    encoder_look_ahead,
    for_blocks,
)
from vqvc.conversion.source import samples_of
from vqvc.conversion.statistics import Gate, RunningLevel, RunningPitch, Statistics, prior_pitch
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.engine.protocol import Engine
from vqvc.errors import UsageError
from vqvc.nn import pitch
from vqvc.nn.vqvae import VQVAE


@dataclass(frozen=True)
class Latency:
    """Samples by which each part delays a stream, at its sample rate; their sum is its latency.

    code: samples are taken by the code, so that a code's first waits for its last. encoder: the codes after it that its layers see.
    f0: those that the pitch tracker sees beyond them. conditioning: frames ahead that the conditioner's layers see. postfilter: the
    rest of a frame's window. resampling: the filters to the model's sample rate and back.
    """

    code: float
    encoder: float
    f0: float
    conditioning: float
    postfilter: float = 0.0
    resampling: float = 0.0

    @property
    def samples(self) -> int:
        """All parts together."""
        return math.ceil(sum(getattr(self, part.name) for part in fields(self)) - 1e-6)

    @classmethod
    def of(cls, model: VQVAE, postfilter: bool = True) -> "Latency":
        """The latency of a model at its own sample rate, with the post-filter where it has one, or without."""
        hop, frame = model.hop_length, model.config.decoder.conditioning_hop
        f0 = model.f0_conditioner.track.look_ahead if model.f0_conditioner is not None else 0
        encoder, f0 = (-(-samples // hop) * hop for samples in (encoder_look_ahead(model.encoder, hop), f0))
        repeat, reach = hop // frame, model.conditioning.context_frames
        ahead = max((first + reach) // repeat * hop - first * frame for first in range(repeat))
        filtered = causal_postfilter.look_ahead(model.mel.n_fft, model.mel.hop) if postfilter and model.has_mel else 0
        return cls(hop - 1, encoder, max(f0 - encoder, 0), ahead, filtered)

    def resampled(self, from_hz: int, to_hz: int, filters_s: float) -> "Latency":
        """The same in samples at another rate, behind filters that delay by ``filters_s`` together."""
        scaled = [getattr(self, part.name) * to_hz / from_hz for part in fields(self)]
        return Latency(*scaled[:-1], resampling=filters_s * to_hz)


class Stream:
    """One conversion in blocks.

    sample_rate: Hz, of the blocks in and out; the model's when None. statistics: figures of the source that are known; running
    means when None. source_f0_hz: where the running median of the pitch begins. gate_db: level of the source (of full scale) below which the
    output is silent; None leaves pauses to the model. equalizer: correct the channel of the source, by the gains of the statistics if
    they are given, else by those of its past. Others: see ``pipeline.synthesize``.

    Together the blocks are as long and as loud as what went in, and nothing is shifted: after n samples have gone in, at least
    n - latency_samples have come out, and no sample depends on the input more than latency_samples after it.
    """

    def __init__(
        self,
        model: VQVAE,
        sampler: Engine,
        speaker: int | EnrolledVoice,
        *,
        seed: int = 0,
        temperature: float = 1.0,
        postfilter: bool = True,
        equalizer: bool = True,
        sample_rate: int | None = None,
        statistics: Statistics | None = None,
        source_f0_hz: float | None = None,
        gate_db: float | None = None,
    ) -> None:
        config, self.hop = model.config, model.hop_length
        rate = config.audio.sample_rate
        self.sample_rate = sample_rate or rate
        self.model, self.sampler, self.temperature = for_blocks(model), sampler, temperature
        self.encoder = EncoderStream(self.model)
        latency = Latency.of(model, postfilter)
        self.level = RunningLevel(rate, self.hop, config.audio.level_rms, statistics)
        self.equalizer = self._equalizer(statistics) if equalizer else None
        self.gate = Gate(rate, self.hop, gate_db, latency.samples // self.hop - 1)
        self.pitch = self._pitch(statistics, source_f0_hz)
        self.conditioner = ConditionerStream(self.model, speaker)
        self.state = sampler.start(1, [seed])
        self.filter = causal_postfilter.CausalPostFilter(model, speaker) if postfilter and model.has_mel else None
        self.resamplers = None
        if self.sample_rate != rate:
            self.resamplers = Resampler(self.sample_rate, rate), Resampler(rate, self.sample_rate)
            latency = latency.resampled(rate, self.sample_rate, sum(one.delay_s for one in self.resamplers))
        self.latency, self.latency_samples = latency, latency.samples
        self.amplitudes = mulaw.decode(np.arange(mulaw.CLASSES))
        self.pending = np.zeros(0, np.float32)  # samples that do not fill a hop
        self.undone, self.factors = np.zeros(0, np.float32), np.zeros(0, np.float32)  # of samples that are not out yet
        self.codes = torch.zeros(0, dtype=torch.int64, device=device_of(model))  # that wait for their pitch
        self.taken = self.given = self.measured = 0  # samples in and out; samples in at the model's rate
        self.ended = False

    def _pitch(self, statistics: Statistics | None, source_f0_hz: float | None) -> "_Contours | None":
        if source_f0_hz is not None and not pitch.LOWEST_HZ <= source_f0_hz <= pitch.HIGHEST_HZ:
            raise UsageError(
                f"a mean F0 of {source_f0_hz:g} Hz: give one from {pitch.LOWEST_HZ:.0f} to {pitch.HIGHEST_HZ:.0f}"
            )
        if self.model.f0_conditioner is None:
            return None
        return _Contours(self.model, None if statistics is None else statistics.pitch, source_f0_hz)

    def _equalizer(self, statistics: Statistics | None) -> StreamEqualizer | RunningEqualizer | None:
        if statistics is None:
            found = Equalizer.of(self.model)
            return None if found is None else RunningEqualizer(found)
        rate = self.model.config.audio.sample_rate
        return None if statistics.equalizer_db is None else StreamEqualizer(statistics.equalizer_db, rate)

    def convert(self, block: np.ndarray) -> np.ndarray:
        """The samples of the output that ``block`` (t,) completes: (t',) float32, perhaps empty.

        block: as ``source.samples_of`` takes it. Raises AudioError for samples that are not finite, or not one channel, UsageError for
        what holds no samples and after ``flush``.
        """
        if self.ended:
            raise UsageError("this stream has ended; make another one with converter.stream()")
        block = samples_of(block)
        self.taken += len(block)
        return self._convert(block)

    def flush(self) -> np.ndarray:
        """What is left at the end: with it the output is as long as the input."""
        if self.ended:
            return np.zeros(0, np.float32)
        self.ended = True
        return self._convert(np.zeros(0, np.float32), last=True)

    def _convert(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        if self.resamplers is not None:
            block = self.resamplers[0].push(block, last)
        made = self._advance(block, last)
        if self.resamplers is not None:
            made = self.resamplers[1].push(made, last)
        left = self.taken - self.given
        made = np.pad(made, (0, left - len(made))) if last and len(made) < left else made[:left]
        self.given += len(made)
        return made

    @torch.inference_mode()
    def _advance(self, block: np.ndarray, last: bool) -> np.ndarray:
        """Samples at the model's rate, of which whole hops are taken."""
        self.measured += len(block)
        pending = np.concatenate([self.pending, block])
        length = len(pending) if last else len(pending) // self.hop * self.hop
        samples, self.pending = pending[:length], pending[length:]
        padding = np.zeros(-length % self.hop, np.float32)  # at the end alone
        levelled = self._measured(samples, padding, last)
        if self.equalizer is not None:
            levelled[: len(samples)] = self.equalizer.push(samples, levelled[: len(samples)])
        if not self.measured or not (len(levelled) or last):
            return np.zeros(0, np.float32)
        waveform = torch.from_numpy(levelled).to(self.codes.device)
        self.codes = torch.cat([self.codes, self.encoder.push(waveform, last)])
        ready, contour = len(self.codes), None
        if self.pitch is not None:
            contour = self.pitch.push(waveform, ready, last)
            ready = contour.shape[1]
        z_q = self.model.quantizer.lookup(self.codes[None, :ready])
        self.codes = self.codes[ready:]
        if contour is not None:
            z_q = torch.cat([z_q, contour[None]], dim=1)
        conditioning = self.model.of_frames(self.conditioner.push(z_q, last))
        made = np.zeros(0, np.float32)
        if conditioning.frames.shape[1]:
            made = self.amplitudes[self.sampler.feed(self.state, conditioning, self.temperature)[0]]
        if self.filter is not None:
            made = self.filter.push(made, self.model.predicted_mel(conditioning)[0], last)
        return self._as_source(made)

    def _measured(self, samples: np.ndarray, padding: np.ndarray, last: bool) -> np.ndarray:
        """Whole hops at the level of training; remembers what their output is to be multiplied by."""
        padded = np.concatenate([samples, padding])
        levelled, undone = self.level.levelled(padded)
        if len(padding):
            levelled[len(samples) :] = 0.0
        self.undone = np.concatenate([self.undone, undone])
        self.factors = np.concatenate([self.factors, self.gate.factors(padded, last)])
        return levelled

    def _as_source(self, made: np.ndarray) -> np.ndarray:
        """As loud as the source was there, silent where the gate is closed."""
        made = made * self.undone[: len(made)] * self.factors[: len(made)]
        self.undone, self.factors = self.undone[len(made) :], self.factors[len(made) :]
        return made


class _Contours:
    """The F0 contour of a stream, relative to its median pitch up to as far ahead as the encoder looks anyway."""

    def __init__(self, model: VQVAE, given: float | None, source_f0_hz: float | None) -> None:
        conditioner, rate = model.f0_conditioner, model.config.audio.sample_rate
        self.track = PitchStream(conditioner.track)
        start = None if source_f0_hz is None else float(np.log2(source_f0_hz))
        self.median = RunningPitch(
            model.hop_length / rate, prior_pitch(conditioner.f0_sums.double().cpu().numpy()), given, start
        )
        encoder = encoder_look_ahead(model.encoder, model.hop_length)
        self.ahead = max(encoder - conditioner.track.look_ahead, 0) // model.hop_length  # codes
        self.pitch = self.voicing = self.centre = np.zeros(0, np.float32)

    def push(self, waveform: torch.Tensor, wanted: int, last: bool) -> torch.Tensor:
        """The contour (ROWS, t) of at most the next ``wanted`` codes."""
        found, voicing = (part.cpu().numpy() for part in self.track.push(waveform, last))
        self.centre = np.concatenate([self.centre, self.median.after(found, voicing)])
        self.pitch, self.voicing = np.concatenate([self.pitch, found]), np.concatenate([self.voicing, voicing])
        if last and len(self.centre):
            self.centre = np.pad(self.centre, (0, self.ahead), mode="edge")
        ready = min(wanted, len(self.pitch), max(len(self.centre) - self.ahead, 0))
        rows = self.pitch[:ready], self.voicing[:ready], self.centre[self.ahead : self.ahead + ready]
        made = pitch.contour(*(torch.from_numpy(np.ascontiguousarray(row))[None] for row in rows))[0]
        self.pitch, self.voicing, self.centre = self.pitch[ready:], self.voicing[ready:], self.centre[ready:]
        return made.to(waveform.device)
