"""Encoding of recordings of any length in overlapping pieces, in bounded memory.

A code depends on its own samples and on the receptive field of the encoder on either side. Each piece is encoded with
that much context, and the codes of the context are dropped. The codes are therefore those of the whole recording.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from vqvc.audio import level, resample
from vqvc.conversion.equalizer import Equalizer, Gains, filtered
from vqvc.conversion.source import Given, Source
from vqvc.errors import AudioError
from vqvc.nn.code_encoder import CodeEncoder
from vqvc.nn.precision import working_dtype

PIECE_S = 30.0  # length of a piece
SLOPE_FRAMES = 4  # frames on either side that the second differences of MFCC depend on


def context_codes(model: CodeEncoder) -> int | None:
    """How many codes on either side influence a code; None if the whole recording does (``encoder.input: units``)."""
    settings, hop = model.config.encoder, model.hop_length
    if settings.input == "units":
        return None
    frames, samples_per_frame = 0, 1  # of the strided layers' input, on either side
    if settings.input != "waveform":
        samples_per_frame = settings.feature_hop
        frames = math.ceil(model.encoder_window_samples / 2 / samples_per_frame)
        frames += SLOPE_FRAMES if settings.input == "mfcc" else 0
    step = 1
    for stride in settings.strides:
        frames += stride * step
        step *= stride
    return math.ceil(frames * samples_per_frame / hop) + model.encoder.norm_reach + model.encoder.context_codes


def device_of(model: CodeEncoder) -> torch.device:
    """The device of the network."""
    return model.quantizer.codebook.device


def encoder_precision(model: CodeEncoder) -> torch.autocast:
    """The autocast context of the encoder: the precision of training, but float32 if the device lacks bfloat16."""
    device = device_of(model)
    dtype = working_dtype(model.config.precision, device)
    return torch.autocast(device.type, dtype, enabled=dtype == torch.bfloat16)


@torch.inference_mode()
def encode_blocks(model: CodeEncoder, blocks: Iterable[np.ndarray], piece_s: float = PIECE_S) -> Iterator[np.ndarray]:
    """Encode a signal of T samples that comes in float32 blocks, at the model's rate and level; yields int64 codes.

    There are ceil(T / hop) codes in all; the end is padded with silence. piece_s: length of the pieces in seconds; the
    codes do not depend on it. Raises AudioError for fewer samples than one code has.
    """
    hop, context = model.hop_length, context_codes(model)
    piece = max(1, round(piece_s * model.config.audio.sample_rate / hop)) if context is not None else None
    held, skip, length = np.zeros(0, np.float32), 0, 0  # skip: codes at the start of ``held`` that were yielded already
    for block in blocks:
        length += len(block)
        held = np.concatenate([held, np.asarray(block, np.float32)])
        while piece is not None and len(held) >= (skip + piece + context) * hop:
            codes = _encode(model, held[: (skip + piece + context) * hop])
            yield codes[skip : skip + piece]
            begin = max(0, skip + piece - context)
            held, skip = held[begin * hop :], skip + piece - begin
    if length < hop:
        rate = model.config.audio.sample_rate
        raise AudioError(
            f"{length} samples are shorter than one code: at least {hop} ({1000 * hop / rate:.0f} ms) are needed"
        )
    held = np.pad(held, (0, -len(held) % hop))
    if len(held) > skip * hop:
        yield _encode(model, held)[skip:]


def _encode(model: CodeEncoder, samples: np.ndarray) -> np.ndarray:
    with encoder_precision(model):
        return model.encode(torch.from_numpy(samples)[None].to(device_of(model)))[0].cpu().numpy()


def encode(model: CodeEncoder, samples: np.ndarray) -> np.ndarray:
    """Encode samples (T,) float32 at the model's rate and level: codes (ceil(T / hop),) int64.

    The end is padded with silence. Raises AudioError for fewer samples than one code has.
    """
    return np.concatenate(list(encode_blocks(model, [samples])))


def measure(
    model: CodeEncoder, blocks: Iterable[np.ndarray], equalizer: bool = True
) -> tuple[float, float, Gains | None, int]:
    """Offset, gain to the level of training, gains of the equalizer and length of a recording in blocks (T,) at the model's rate.

    equalizer: without it its gains are None. Raises AudioError for silence.
    """
    settings = model.config.audio
    meter, found = level.LevelMeter(settings.sample_rate), Equalizer.of(model) if equalizer else None
    spectrum = None if found is None else found.meter()
    for block in blocks:
        meter.add(block)
        if spectrum is not None:
            spectrum.add(block)
    dc, gain = meter.result(settings.level_rms)
    return dc, gain, None if found is None else found.gains(spectrum.result()), meter.length


def encode_recording(
    model: CodeEncoder, recording: Given, piece_s: float = PIECE_S, *, equalizer: bool = True
) -> tuple[np.ndarray, int]:
    """Encode a recording of any length: codes (ceil(T / hop),) int64, and its length T at the model's rate.

    It is read twice in blocks, first for its level and, with ``equalizer``, its spectrum. Raises AudioError if it is unreadable, silent, not finite or
    shorter than one code.
    """
    settings = model.config.audio
    source = Source.of(recording, settings.sample_rate)

    def blocks() -> Iterator[np.ndarray]:
        return resample.resample_blocks(source.stream(), source.sample_rate, settings.sample_rate)

    try:
        dc, gain, gains, length = measure(model, blocks(), equalizer)
        levelled = ((block - np.float32(dc)) * np.float32(gain) for block in blocks())
        parts = list(encode_blocks(model, filtered(levelled, gains, settings.sample_rate), piece_s))
    except AudioError as error:
        message, prefix = str(error), f"{source.name}: "
        if source.path is not None and not message.startswith(prefix):
            message = prefix + message
        raise AudioError(message) from None
    return np.concatenate(parts), length
