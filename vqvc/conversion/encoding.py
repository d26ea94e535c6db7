"""Codes of recordings of any length, in bounded memory: pieces that overlap by what the encoder looks at.

A code depends on its own samples and on so much on either side as the encoder's layers see. A piece is therefore encoded
with that much more at its ends, whose codes are thrown away: the codes are those of the whole.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch

from vqvc.audio import level, resample
from vqvc.conversion.source import Given, Source
from vqvc.errors import AudioError
from vqvc.nn.code_encoder import CodeEncoder
from vqvc.nn.precision import working_dtype

PIECE_S = 30.0  # of speech that is encoded at a time
SLOPE_FRAMES = 4  # that the differences of MFCC look at, on either side


def context_codes(model: CodeEncoder) -> int | None:
    """Codes on either side that can influence a code; None where the whole recording does (``encoder.input: units``)."""
    settings, hop = model.config.encoder, model.hop_length
    if settings.input == "units":
        return None
    frames, samples_per_frame = 0, 1  # of the strided layers' input, on either side
    if settings.input != "waveform":
        samples_per_frame = settings.feature_hop
        frames = math.ceil(model.encoder_window_samples / 2 / samples_per_frame) + (
            SLOPE_FRAMES if settings.input == "mfcc" else 0
        )
    step = 1
    for stride in settings.strides:
        frames += stride * step
        step *= stride
    return math.ceil(frames * samples_per_frame / hop) + model.encoder.norm_reach + model.encoder.context_codes


def device_of(model: CodeEncoder) -> torch.device:
    """Where the network is."""
    return model.quantizer.codebook.device


def encoder_precision(model: CodeEncoder) -> torch.autocast:
    """Context in which the encoder runs as it was trained: bfloat16 where the device has it, else float32."""
    device = device_of(model)
    dtype = working_dtype(model.config.precision, device)
    return torch.autocast(device.type, dtype, enabled=dtype == torch.bfloat16)


@torch.inference_mode()
def encode_blocks(model: CodeEncoder, blocks: Iterable[np.ndarray], piece_s: float = PIECE_S) -> Iterator[np.ndarray]:
    """Codes (int64, in order) of samples that come in blocks (T,) float32, at the model's rate and level.

    Together ceil(T / hop) codes; the end is padded with silence. piece_s: seconds that are encoded at a time; the codes do
    not depend on it. Raises AudioError for fewer samples than one code stands for.
    """
    hop, context = model.hop_length, context_codes(model)
    piece = max(1, round(piece_s * model.config.audio.sample_rate / hop)) if context is not None else None
    held, skip, length = np.zeros(0, np.float32), 0, 0  # skip: codes at the start of ``held`` that were given already
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
    """Codes (ceil(T / hop),) int64 of samples (T,) float32 at the model's rate and level, padded with silence.

    Raises AudioError for fewer samples than one code stands for.
    """
    return np.concatenate(list(encode_blocks(model, [samples])))


def encode_recording(model: CodeEncoder, recording: Given, piece_s: float = PIECE_S) -> tuple[np.ndarray, int]:
    """Codes (ceil(T / hop),) int64 of a recording of any length, and T, its length at the model's rate.

    It is read twice, for its level and for its codes, a block at a time. Raises AudioError for a recording that is
    unreadable, silent, not finite or shorter than one code.
    """
    settings = model.config.audio
    source = Source.of(recording, settings.sample_rate)

    def blocks() -> Iterator[np.ndarray]:
        return resample.resample_blocks(source.stream(), source.sample_rate, settings.sample_rate)

    meter = level.LevelMeter(settings.sample_rate)
    for block in blocks():
        meter.add(block)
    try:
        dc, gain = meter.result(settings.level_rms)
        levelled = ((block - np.float32(dc)) * np.float32(gain) for block in blocks())
        parts = list(encode_blocks(model, levelled, piece_s))
    except AudioError as error:
        text, name = str(error), f"{source.name}: "
        raise AudioError(text if source.path is None or text.startswith(name) else name + text) from None
    return np.concatenate(parts), meter.length
