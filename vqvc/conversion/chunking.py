"""Recordings of any length in pieces: memory does not grow with them, and no piece differs from the whole.

What belongs to a whole recording (its mean, its level, the median of its pitch) is found in passes before the conversion.
A piece is then analysed with as much of its surroundings as the network can see, synthesized from a little before its
beginning, so that the decoder's past is filled, and faded into what came before.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from vqvc.audio import level, resample
from vqvc.conversion import analysis, encoding, pipeline
from vqvc.conversion.analysis import Analysis
from vqvc.conversion.source import Given, Source
from vqvc.conversion.voice_file import EnrolledVoice
from vqvc.engine.fold import Part, join
from vqvc.engine.protocol import Engine
from vqvc.nn.vqvae import VQVAE

LONG_S = 60.0  # a longer recording is converted in pieces
PIECE_S = 40.0  # of about this length
SEARCH_S = 8.0  # a piece ends at the quietest place of its last so many seconds
FRAME_S = 0.02
MARGIN_S = 0.25  # of context beside what the network's own layers reach: windows of pitch and spectra
WHOLE_CONTEXT_S = 8.0  # of context for an encoder that takes its mean over the whole recording


@dataclass(frozen=True)
class Survey:
    """What belongs to all of a recording."""

    sample_rate: int  # Hz, of the source
    length_samples: int  # what was read of it, at that rate
    dc: float  # of full scale, to be taken off
    gain: float  # what brings it to the level of training then
    pitch: float | None = None  # median of log2 of Hz where it is voiced; None for a model that takes no F0 contour


@dataclass(frozen=True)
class Window:
    """A piece of a recording with its surroundings, at the level of training."""

    samples: np.ndarray  # (T,) float32
    begin: int  # the piece is samples[begin:end]; begin is on the grid of codes
    end: int
    position: int  # of samples[0] in the recording


def survey(recording: Given, model: VQVAE) -> Survey:
    """Read the recording through, twice where the model takes its pitch; raises AudioError as reading does, and for silence."""
    settings = model.config.audio
    source = Source.of(recording, settings.sample_rate)
    meter, length = level.LevelMeter(settings.sample_rate), 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal length
        for block in source.stream():
            length += len(block)
            yield block

    for block in resample.resample_blocks(counted(), source.sample_rate, settings.sample_rate):
        meter.add(block)
    found = Survey(source.sample_rate, length, *meter.result(settings.level_rms))
    if model.f0_conditioner is None:
        return found
    counts = np.zeros(analysis.PITCH_BINS)
    for window in windows(
        levelled(source, found, settings.sample_rate), settings.sample_rate, model.hop_length, context(model)
    ):
        first, last = window.begin // model.hop_length, -(-window.end // model.hop_length)
        counts += analysis.pitch_counts(model, window.samples, first, last)
    return replace(found, pitch=analysis.median_pitch(counts))


def context(model: VQVAE) -> int:
    """Samples on either side of a piece that can change what it is encoded and conditioned as; on the grid of codes."""
    hop, rate = model.hop_length, model.config.audio.sample_rate
    codes = encoding.context_codes(model)
    seen = int(WHOLE_CONTEXT_S * rate) if codes is None else codes * hop
    reach = seen + model.conditioning.context_frames * model.config.decoder.conditioning_hop + int(MARGIN_S * rate)
    return -(-reach // hop) * hop


def levelled(recording: Given, found: Survey, model_hz: int) -> Iterator[np.ndarray]:
    """The recording in blocks at ``model_hz`` and at the level of training."""
    for block in resample.resample_blocks(Source.of(recording, model_hz).stream(), found.sample_rate, model_hz):
        yield (block - np.float32(found.dc)) * np.float32(found.gain)


def windows(blocks: Iterable[np.ndarray], sample_rate: int, hop: int, around: int) -> Iterator[Window]:
    """Blocks of any size as pieces of about ``PIECE_S``, cut where it is quiet and on the grid of ``hop`` samples.

    Together the pieces are the blocks. around: samples that each brings with it on either side, where there are as many;
    on the grid.
    """
    frame = max(round(FRAME_S * sample_rate / hop), 1) * hop
    longest, search = (max(int(seconds * sample_rate) // frame, 1) * frame for seconds in (PIECE_S, SEARCH_S))
    search = min(search, longest)
    before, held, position = np.zeros(0, np.float32), np.zeros(0, np.float32), 0  # held begins at position
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) > longest + max(search, around):  # never leaves a crumb for the last piece
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
    """Pieces as another speaker, in blocks that together are as long as they: joined as the streams of an utterance are.

    synthesize: (window, samples before its piece that are wanted too) -> samples; ``lead`` before all but the first piece.
    hop: of frames, that ``lead`` is a multiple of. A piece of digital silence stays silent.
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
        kept = min(lead, len(result))
        yield result[: len(result) - kept]
        tail = result[len(result) - kept :]
    if tail is not None:
        yield tail


def _join(tail: np.ndarray, result: np.ndarray, before: int, hop: int, sample_rate: int) -> np.ndarray:
    """``tail``, its last ``before`` samples fading into those that ``result`` begins with, and the rest of ``result``."""
    kept, fading = tail[: len(tail) - before], tail[len(tail) - before :]
    if not before:
        return np.concatenate([tail, result])
    frames = -(-len(result) // hop)
    padded = np.pad(result, (0, frames * hop - len(result)))
    lead = before // hop
    mixed = join([fading, padded], [Part(0, 0, lead), Part(0, lead, frames)], hop, sample_rate).samples
    return np.concatenate([kept, mixed[: len(result)]])


def analyse(recording: Given, model: VQVAE) -> Analysis:
    """The whole analysis of a recording of any length; memory holds its codes, and samples of a piece."""
    source, hop, rate = (
        Source.of(recording, model.config.audio.sample_rate),
        model.hop_length,
        model.config.audio.sample_rate,
    )
    found, parts, length = survey(source, model), [], 0
    for window in windows(levelled(source, found, rate), rate, hop, context(model)):
        one = analysis.analyse(model, window.samples, f0_centre=found.pitch)
        span = slice(window.begin // hop, -(-window.end // hop))
        contour = one.f0_contour[:, span] if one.f0_contour is not None else None
        parts.append((one.codes[span], one.loudness[span], contour))
        length += window.end - window.begin
    codes, loudness, contours = zip(*parts)
    contour = np.concatenate(contours, axis=1) if model.f0_conditioner is not None else None
    gain_db = float(20 * np.log10(found.gain))
    return Analysis(np.concatenate(codes), np.concatenate(loudness), contour, gain_db, length)


def stream(
    recording: Given,
    found: Survey,
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
    """The recording as another speaker: blocks at the model's rate, as long and as loud together as the recording.

    found: its ``survey``. Codes, pitch and level are those that the recording has as a whole.
    """
    hop, rate = model.hop_length, model.config.audio.sample_rate
    lead = -(-pipeline.warm_up_frames(model, sampler) * sampler.hop // hop) * hop

    def synthesize(window: Window, before: int) -> np.ndarray:
        first = (window.begin - before) // hop
        source = analysis.analyse(model, window.samples, f0_centre=found.pitch)
        place = {"first": first, "last": -(-window.end // hop), "position": window.position}
        request = pipeline.Request.of(source, speaker, seed, **place)
        made = pipeline.synthesize(model, sampler, [request], temperature, folding, postfilter, progress)[0]
        return made[: window.end - first * hop]

    around = max(context(model), lead)
    pieces = windows(levelled(recording, found, rate), rate, hop, around)
    for block in joined(pieces, synthesize, lead, hop, rate):
        yield block * np.float32(1 / found.gain)
