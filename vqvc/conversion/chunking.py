"""Conversion of recordings of any length in pieces, in bounded memory.

Figures of the whole recording (mean, level, median pitch, channel) are measured first, in one or two passes. A piece is then
analysed with the context that its codes and conditioning depend on, so that they are those of the whole recording. Its
synthesis begins a little earlier, so that the decoder has a past, and is crossfaded with the piece before.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from vqvc.audio import level, resample
from vqvc.conversion import analysis, encoding, pipeline
from vqvc.conversion.analysis import Analysis
from vqvc.conversion.equalizer import Gains, filtered
from vqvc.conversion.source import Given, Source
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.engine.fold import Part, join
from vqvc.engine.protocol import Engine
from vqvc.nn.vqvae import VQVAE

LONG_S = 60.0  # longer recordings are converted in pieces
PIECE_S = 40.0  # largest length of a piece
SEARCH_S = 8.0  # a piece ends at the quietest place of this last part of it
FRAME_S = 0.02  # frames in which the quietest place is searched
MARGIN_S = 0.25  # context beyond that of the network's layers, for the windows of pitch and spectra and the equalizer
WHOLE_CONTEXT_S = 8.0  # context for an encoder that normalises over the whole recording


@dataclass(frozen=True)
class Survey:
    """Figures of a whole recording."""

    sample_rate: int  # Hz, of the source
    length_samples: int  # at that rate
    dc: float  # mean, to be subtracted
    gain: float  # factor that brings the recording to the level of training after that
    pitch: float | None = None  # median over voiced frames, log2 of Hz; None for a model that is not conditioned on F0
    equalizer_db: Gains | None = None  # gains of the equalizer; None where nothing is corrected


@dataclass(frozen=True)
class Window:
    """A piece of a recording with its context, at the level of training."""

    samples: np.ndarray  # (T,) float32
    begin: int  # the piece is samples[begin:end]; begin is on the grid of codes
    end: int
    position: int  # of samples[0] in the recording


def survey(recording: Given, model: VQVAE, equalizer: bool = True) -> Survey:
    """Measure a whole recording. It is read once, or twice for a model that is conditioned on F0.

    equalizer: measure its spectrum too, to correct its channel. Raises AudioError if it cannot be read or is silent.
    """
    settings = model.config.audio
    source = Source.of(recording, settings.sample_rate)
    length = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal length
        for block in source.stream():
            length += len(block)
            yield block

    resampled = resample.resample_blocks(counted(), source.sample_rate, settings.sample_rate)
    dc, gain, equalizer_db, _ = encoding.measure(model, resampled, equalizer)
    whole = Survey(source.sample_rate, length, dc, gain, equalizer_db=equalizer_db)
    if model.f0_conditioner is None:
        return whole
    counts = np.zeros(analysis.PITCH_BINS)
    blocks = filtered(levelled(source, whole, settings.sample_rate), equalizer_db, settings.sample_rate)
    for window in windows(blocks, settings.sample_rate, model.hop_length, context(model)):
        first, last = window.begin // model.hop_length, -(-window.end // model.hop_length)
        counts += analysis.pitch_counts(model, window.samples, first, last)
    return replace(whole, pitch=analysis.median_pitch(counts))


def context(model: VQVAE) -> int:
    """How many samples on either side of a piece its codes and conditioning depend on, rounded up to whole codes."""
    hop, rate = model.hop_length, model.config.audio.sample_rate
    codes = encoding.context_codes(model)
    encoder = int(WHOLE_CONTEXT_S * rate) if codes is None else codes * hop
    conditioning = model.conditioning.context_frames * model.config.decoder.conditioning_hop
    return -(-(encoder + conditioning + int(MARGIN_S * rate)) // hop) * hop


def levelled(recording: Given, whole: Survey, model_hz: int) -> Iterator[np.ndarray]:
    """Yield the recording in blocks at ``model_hz`` and at the level of training. whole: its ``survey``."""
    for block in resample.resample_blocks(Source.of(recording, model_hz).stream(), whole.sample_rate, model_hz):
        yield (block - np.float32(whole.dc)) * np.float32(whole.gain)


def windows(blocks: Iterable[np.ndarray], sample_rate: int, hop: int, around: int) -> Iterator[Window]:
    """Cut a signal into pieces of up to ``PIECE_S``, at quiet places that are multiples of ``hop`` samples.

    blocks: the signal in blocks of any size. around: samples of context on either side of a piece, a multiple of
    ``hop``; there are fewer at the ends of the signal. The pieces without their context are the signal.
    """
    frame = max(round(FRAME_S * sample_rate / hop), 1) * hop
    longest, search = (max(int(seconds * sample_rate) // frame, 1) * frame for seconds in (PIECE_S, SEARCH_S))
    search = min(search, longest)
    before, held, position = np.zeros(0, np.float32), np.zeros(0, np.float32), 0  # held begins at position
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > longest + max(search, around):  # so that the last piece is not very short
            quiet = held[longest - search : longest].reshape(-1, frame)
            cut = longest - search + int(np.argmin((quiet**2).sum(1))) * frame
            cut = max(cut, frame)
            yield _window(before, held, cut, around, position)
            before = np.concatenate([before, held[:cut]])[-around:] if around else before
            held, position = held[cut:], position + cut
    if len(held):
        yield _window(before, held, len(held), around, position)


def _window(before: np.ndarray, held: np.ndarray, length: int, around: int, position: int) -> Window:
    samples = np.concatenate([before, held[: length + around]])
    return Window(samples, len(before), len(before) + length, position - len(before))


def joined(
    pieces: Iterable[Window], synthesize: Callable[[Window, int], np.ndarray], lead: int, hop: int, sample_rate: int
) -> Iterator[np.ndarray]:
    """Synthesize pieces and join them by crossfades, see ``engine.fold.join``; yields blocks of the same total length.

    synthesize: maps a window and a number of samples before its piece to the samples from there to the end of the
        piece.
    lead: that number for all pieces but the first, or fewer if there are fewer; a multiple of ``hop``, the samples of a
        frame.

    A piece of digital silence stays silent.
    """
    tail = None
    for window in pieces:
        before = 0 if tail is None else min(lead, len(tail), window.begin) // hop * hop
        piece = window.samples[window.begin : window.end]
        if float(np.abs(piece - piece.mean()).max()) < level.SILENT_RMS:
            result = np.zeros(before + len(piece), np.float32)
        else:
            result = synthesize(window, before)
        if tail is not None:
            result = _join(tail, result, before, hop, sample_rate)
        finished = len(result) - min(lead, len(result))  # what follows is crossfaded with the next piece
        yield result[:finished]
        tail = result[finished:]
    if tail is not None:
        yield tail


def _join(tail: np.ndarray, result: np.ndarray, before: int, hop: int, sample_rate: int) -> np.ndarray:
    """``tail`` and ``result``, of which the last and the first ``before`` samples overlap and are crossfaded."""
    unchanged, fading = tail[: len(tail) - before], tail[len(tail) - before :]
    if not before:
        return np.concatenate([tail, result])
    frames = -(-len(result) // hop)
    padded = np.pad(result, (0, frames * hop - len(result)))
    lead = before // hop
    mixed = join([fading, padded], [Part(0, 0, lead), Part(0, lead, frames)], hop, sample_rate).samples
    return np.concatenate([unchanged, mixed[: len(result)]])


def analyse(recording: Given, model: VQVAE, equalizer: bool = True) -> Analysis:
    """Analyse a recording of any length, see ``conversion.analysis``. Memory holds its codes and one piece of samples.

    Raises AudioError if it cannot be read or is silent.
    """
    hop, rate = model.hop_length, model.config.audio.sample_rate
    source = Source.of(recording, rate)
    whole, parts, length = survey(source, model, equalizer), [], 0
    for window in windows(levelled(source, whole, rate), rate, hop, context(model)):
        piece = analysis.analyse(model, window.samples, f0_centre=whole.pitch, equalizer_db=whole.equalizer_db)
        span = slice(window.begin // hop, -(-window.end // hop))
        contour = piece.f0_contour[:, span] if piece.f0_contour is not None else None
        parts.append((piece.codes[span], piece.loudness[span], contour))
        length += window.end - window.begin
    codes, loudness, contours = zip(*parts)
    contour = np.concatenate(contours, axis=1) if model.f0_conditioner is not None else None
    gain_db = float(20 * np.log10(whole.gain))
    return Analysis(np.concatenate(codes), np.concatenate(loudness), contour, gain_db, length)


def stream(
    recording: Given,
    whole: Survey,
    model: VQVAE,
    sampler: Engine,
    speaker: int | EnrolledVoice,
    *,
    seed: int = 0,
    temperature: float = 1.0,
    folding: str = "auto",
    postfilter: bool = True,
    progress: Callable[[int], None] = lambda samples: None,
) -> Iterator[np.ndarray]:
    """Convert a recording of any length; yields blocks at the model's rate, in all as long and loud as the recording.

    whole: its ``survey``. speaker: an index in the model's table, or an enrolled voice. Other arguments are those of
    ``pipeline.synthesize``.
    """
    hop, rate = model.hop_length, model.config.audio.sample_rate
    lead = -(-pipeline.warm_up_frames(model, sampler) * sampler.hop // hop) * hop

    def synthesize(window: Window, before: int) -> np.ndarray:
        first = (window.begin - before) // hop
        source = analysis.analyse(model, window.samples, f0_centre=whole.pitch, equalizer_db=whole.equalizer_db)
        request = pipeline.Request.of(
            source, speaker, seed, first=first, last=-(-window.end // hop), position=window.position
        )
        samples = pipeline.synthesize(model, sampler, [request], temperature, folding, postfilter, progress)[0]
        return samples[: window.end - first * hop]

    around = max(context(model), lead)
    pieces = windows(levelled(recording, whole, rate), rate, hop, around)
    for block in joined(pieces, synthesize, lead, hop, rate):
        yield block * np.float32(1 / whole.gain)
