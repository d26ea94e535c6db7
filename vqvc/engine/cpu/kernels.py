"""The compiled (Numba) sampling loop: one call advances some streams by some samples.

All arrays are flat or C-ordered and never resized. Streams are rows of the same matrix products, so that they share
every read of the weights. The random draws of a stream depend on its own seed and position alone.

Indices are unsigned. With signed ones, Numba checks for negative indices, which count from the end, and LLVM then does
not vectorise the loop (the gates took five times as long).

Activations that enter a product (``ring``, ``gated``, ``head``) have the dtype of the weights, float32 or bfloat16
(stored as uint16). Sums, gates and everything after the last product are float32.
"""

import math
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numba import njit

from vqvc.audio.mulaw import MU, SILENCE
from vqvc.engine.cpu import blocks, tiles, vectors
from vqvc.engine.cpu.blocks import begin_products, end_products, product, put
from vqvc.engine.cpu.vectors import LANES, add, exponentials, gates, largest, positive, positive_rest, prefetch
from vqvc.engine.spec import GOLDEN, MIX_1, MIX_2
from vqvc.nn import gate_loops
from vqvc.nn.compiled import kept
from vqvc.nn.likelihood import MIN_LOG_SCALE
from vqvc.nn.linear_prediction import LPC_INPUT_GAIN, LPC_RESIDUAL_LIMIT

GAIN, LIMIT = np.float32(LPC_INPUT_GAIN), np.float32(LPC_RESIDUAL_LIMIT)
FAST = {"nogil": True, "fastmath": True, "error_model": "numpy"}
# Numba's cache notices only changes of this file. This checksum covers other code and constants that are compiled in
COMPILED_IN = zlib.crc32(
    b"".join(Path(part.__file__).read_bytes() for part in (blocks, tiles, vectors, gate_loops))
    + repr((MU, SILENCE, LPC_INPUT_GAIN, LPC_RESIDUAL_LIMIT, MIN_LOG_SCALE, GOLDEN, MIX_1, MIX_2)).encode()
)


class Weights(NamedTuple):
    """The decoder's weights, packed for ``product``. L: layers."""

    tap: np.ndarray  # layer by layer, a product of (residual, gate) with the taps as parts
    residual: np.ndarray  # layer by layer, (half, residual)
    bias: np.ndarray  # (L, R) sums of the residual biases of the layers before each
    skip: np.ndarray  # (half, skip) with the layers as parts
    skip_bias: np.ndarray  # (S,)
    frame: np.ndarray  # layer by layer, (conditioning, gate)
    frame_bias: np.ndarray  # (L * gate,)
    embed: np.ndarray  # (256, R)
    lpc_input: np.ndarray  # (2, R)
    mix: np.ndarray  # (S, S)
    mix_bias: np.ndarray
    out: np.ndarray  # (S, outputs); in bfloat16 the rounded weights twice, then their rounding errors
    out_bias: np.ndarray
    amplitudes: np.ndarray  # (256,) of the classes
    dilations: np.ndarray  # (L,)


class Buffers(NamedTuple):
    """The state of the streams (the first eight fields), and memory for computing a sample. Rows are streams."""

    ring: np.ndarray  # flat (layer, slot, stream, R): inputs of the layers, as far as their taps look back
    ring_at: np.ndarray  # (L,) where a layer's part begins
    slot: np.ndarray  # (L,) the slot that the next sample writes; common to all streams
    previous: np.ndarray  # (streams,) class before the next sample
    past: np.ndarray  # (streams, P) amplitudes before it, the latest first
    lpc_residual: np.ndarray  # (streams,)
    seed: np.ndarray  # (streams,) uint64
    position: np.ndarray  # (streams,) samples since the beginning of the recording
    terms: np.ndarray  # (L, streams, gate)
    gate: np.ndarray  # (streams, gate)
    gated: np.ndarray  # (L, streams, half)
    gated_at: np.ndarray  # (L,) where a layer's part of ``gated`` begins
    taps_at: np.ndarray  # (kernel,) where the inputs of a layer's taps begin in ``ring``
    x: np.ndarray  # (streams, R) the residual connection, without the biases
    skip: np.ndarray  # (streams, S)
    head: np.ndarray  # (streams, S)
    hidden: np.ndarray  # (streams, S)
    hidden_in: np.ndarray  # (streams, S); in bfloat16 (2, streams, S): rounded values and rounding errors
    hidden_at: np.ndarray  # where the parts of ``hidden_in`` that ``out`` multiplies begin
    raw: np.ndarray  # (streams, outputs)
    frame_in: np.ndarray  # (streams, conditioning)
    palette: np.ndarray  # (64,) uint8, the configuration of tiles


class Sizes(NamedTuple):
    """Padded widths of the buffers, and the true number of outputs."""

    kernel: int
    residual: int
    half: int
    skip: int
    conditioning: int
    outputs: int
    mixtures: int  # 0 for the categorical output
    hop: int  # samples per conditioning frame


@njit(**FAST)
def _copy(source, source_at, target, target_at, count):
    """target = source for ``count`` elements, rounded if the target is bfloat16."""
    source_at, target_at = np.uint64(source_at), np.uint64(target_at)
    for i in range(count):
        put(target, target_at + np.uint64(i), source[source_at + np.uint64(i)])


@njit(**FAST)
def _add(factor, source, source_at, target, target_at, count):
    """target += factor * source."""
    source_at, target_at = np.uint64(source_at), np.uint64(target_at)
    for i in range(count):
        target[target_at + np.uint64(i)] += factor * source[source_at + np.uint64(i)]


@njit(**FAST)
def _uniform(seed, position, which):
    """A uniform number in (0, 1) as a function of its arguments, see ``spec.uniforms``."""
    z = seed + np.uint64(GOLDEN) * (np.uint64(2) * np.uint64(position) + np.uint64(which) + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    z = z ^ (z >> np.uint64(31))
    return (np.float64(z >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@njit(**FAST)
def _draw(weights, at, count, u, sharpness):
    """Draw an index from softmax(weights * sharpness) with the uniform number u; ``weights`` is overwritten."""
    at = np.uint64(at)
    top = weights[at]
    for i in range(0, count, LANES):
        top = max(top, largest(weights, at + np.uint64(i), count - i))
    total = np.float32(0.0)
    for i in range(0, count, LANES):
        total += exponentials(weights, at + np.uint64(i), count - i, top, sharpness)
    left, begin = np.float64(u) * np.float64(total), 0
    while begin + LANES <= count:
        block = np.float32(0.0)
        for i in range(LANES):
            block += weights[at + np.uint64(begin) + np.uint64(i)]
        if left < np.float64(block):
            break
        left -= np.float64(block)
        begin += LANES
    for i in range(begin, count):
        left -= np.float64(weights[at + np.uint64(i)])
        if left < 0.0:
            return i
    return count - 1


@njit(**FAST)
def mulaw_class(x):
    """The class of an amplitude, as ``vqvc.audio.mulaw.encode`` computes it."""
    y = math.log1p(MU * min(abs(x), 1.0)) / math.log1p(MU)
    y = -y if x < 0 else y
    return int(math.floor((y + 1.0) / 2.0 * MU + 0.5))


@njit(**FAST)
def _draw_logistic(raw, at, mixtures, prediction, gain, u, v, temperature):
    """Draw a class from the mixture of logistics: a component with u, then an amplitude from it with v."""
    chosen = _draw(raw, at, mixtures, u, np.float32(1.0 / temperature))
    mean = prediction + gain * raw[at + mixtures + chosen]
    log_scale = max(math.log(gain) + raw[at + 2 * mixtures + chosen], MIN_LOG_SCALE)
    return mulaw_class(mean + temperature * math.exp(log_scale) * (math.log(v) - math.log(1.0 - v)))


@njit(**FAST)
def _enter(streams, size, w, b, frame, predictor, gain, prediction):
    """Set x, the first layer's input from the previous class and the LPC inputs, and the linear prediction."""
    width, residual = b.x.shape[1], size.residual
    x, embed, lpc_input = b.x.reshape(-1), w.embed.reshape(-1), w.lpc_input.reshape(-1)
    for s in range(streams):
        row = s * width
        _copy(embed, b.previous[s] * residual, x, row, residual)
        if size.mixtures:
            predicted = np.float32(0.0)
            for k in range(b.past.shape[1]):
                predicted += predictor[s, frame, k] * b.past[s, k]
            prediction[s] = predicted
            _add(predicted * GAIN, lpc_input, 0, x, row, residual)
            _add(b.lpc_residual[s], lpc_input, residual, x, row, residual)


@njit(**FAST)
def _layers(streams, size, w, b):
    """All gated layers, from x to the sum of the skips."""
    residual, half, wide, width = size.residual, size.half, b.gate.shape[1], b.x.shape[1]
    rows, layers, skip = b.gate.shape[0], len(w.dilations), b.skip.shape[1]
    x, gate, gated, bias = b.x.reshape(-1), b.gate.reshape(-1), b.gated.reshape(-1), w.bias.reshape(-1)
    terms, skips = b.terms.reshape(-1), b.skip.reshape(-1)
    row_size = rows * residual  # elements in one slot of a layer
    for layer in range(layers):
        slots = (size.kernel - 1) * w.dilations[layer] + 1
        slot = b.slot[layer]
        for k in range(size.kernel):
            back = (slot - (size.kernel - 1 - k) * w.dilations[layer]) % slots
            b.taps_at[k] = b.ring_at[layer] + back * row_size
        here = b.taps_at[size.kernel - 1]
        if layer + 1 < layers:  # the inputs that the next layer looks back at may be out of the cache
            ahead = (size.kernel - 1) * w.dilations[layer + 1] + 1
            for k in range(size.kernel):
                back = (b.slot[layer + 1] - (size.kernel - 1 - k) * w.dilations[layer + 1]) % ahead
                prefetch(b.ring, b.ring_at[layer + 1] + back * row_size, streams * residual)
        add(streams, residual, b.ring, here, residual, x, 0, width, bias, layer * residual, 0)
        at, terms_at = layer * size.kernel * residual * wide, layer * rows * wide
        product(streams, b.ring, b.taps_at, residual, w.tap, at, residual, wide, terms, terms_at, wide, gate, 0, wide)
        gates(streams, half, gated, b.gated_at[layer], half, gate, 0, wide, gate, half, wide)
        if layer + 1 < layers:
            place = b.gated_at[layer : layer + 1]
            product(
                streams, gated, place, half, w.residual, layer * half * width, half, width, x, 0, width, x, 0, width
            )
        b.slot[layer] = (slot + 1) % slots
    product(streams, gated, b.gated_at, half, w.skip, 0, half, skip, w.skip_bias, 0, 0, skips, 0, skip)


@njit(**FAST)
def _head(streams, size, w, b):
    """From the sum of the skips to the raw outputs."""
    skip, wide, outputs = size.skip, b.hidden.shape[1], b.raw.shape[1]
    head, hidden, hidden_in, raw = b.head.reshape(-1), b.hidden.reshape(-1), b.hidden_in.reshape(-1), b.raw.reshape(-1)
    skips, origin = b.skip.reshape(-1), b.gated_at[:1]
    positive(streams, skip, head, 0, skip, skips, 0, wide, skips, 0, wide)
    product(streams, head, origin, skip, w.mix, 0, skip, wide, w.mix_bias, 0, 0, hidden, 0, wide)
    positive(streams, skip, hidden_in, 0, skip, hidden, 0, wide, hidden, 0, wide)
    if len(b.hidden_at) > 1:
        positive_rest(streams, skip, hidden_in, b.hidden_at[1], skip, hidden, 0, wide, hidden, 0, wide)
    product(streams, hidden_in, b.hidden_at, skip, w.out, 0, skip, outputs, w.out_bias, 0, 0, raw, 0, outputs)


@njit(**FAST)
def _choose(streams, size, w, b, step, frame, gain, prediction, temperature, forced, classes):
    """Draw the next class of every stream, or take it from ``forced``, and update the state."""
    raw, outputs = b.raw.reshape(-1), b.raw.shape[1]
    for s in range(streams):
        u, v = _uniform(b.seed[s], b.position[s], 0), _uniform(b.seed[s], b.position[s], 1)
        if step < forced.shape[1]:
            chosen = forced[s, step]
        elif size.mixtures:
            centre, scale = prediction[s], gain[s, frame]
            chosen = _draw_logistic(raw, s * outputs, size.mixtures, centre, scale, u, v, temperature)
        else:
            chosen = _draw(raw, s * outputs, size.outputs, u, np.float32(1.0 / temperature))
        classes[s, step] = chosen
        b.previous[s] = chosen
        b.position[s] += 1
        if size.mixtures:
            amplitude = w.amplitudes[chosen]
            b.lpc_residual[s] = min(max((amplitude - prediction[s]) / gain[s, frame], -LIMIT), LIMIT)
            for k in range(b.past.shape[1] - 1, 0, -1):
                b.past[s, k] = b.past[s, k - 1]
            b.past[s, 0] = amplitude


@kept
@njit(**FAST)
def advance(
    streams, size, w, b, frames, predictor, gain, temperature, forced, classes, observed, version=COMPILED_IN
):  # fmt: skip
    """Generate T samples of the first ``streams`` rows of the buffers; writes ``classes`` (streams, T) uint8 and ``b``.

    frames (streams, F, C), predictor (streams, F, P) and gain (streams, F) are the conditioning, with F * hop = T.
    forced (streams, N): classes of the first N samples, which are not drawn. observed: receives the raw outputs
    (streams, T, outputs), unless it is empty. version: not to be given; its default is part of the signature by which
    Numba's cache finds the compiled code.
    """
    frame_in, terms, width = b.frame_in.reshape(-1), b.terms.reshape(-1), size.conditioning
    layers, rows, gate = b.terms.shape
    given, origin = frames.shape[2], b.gated_at[:1]
    prediction = np.zeros(streams, np.float32)
    begin_products(w.tap, b.palette, streams)
    for step in range(classes.shape[1]):
        frame = step // size.hop
        if step % size.hop == 0:
            for s in range(streams):
                _copy(frames.reshape(-1), (s * frames.shape[1] + frame) * given, frame_in, s * width, given)
            for n in range(layers):
                at, bias, to = n * width * gate, n * gate, n * rows * gate
                product(
                    streams, frame_in, origin, width, w.frame, at, width, gate, w.frame_bias, bias, 0,
                    terms, to, gate,
                )  # fmt: skip
        _enter(streams, size, w, b, frame, predictor, gain, prediction)
        _layers(streams, size, w, b)
        _head(streams, size, w, b)
        if observed.shape[0]:
            for s in range(streams):
                for j in range(size.outputs):
                    observed[s, step, j] = b.raw[s, j]
        _choose(streams, size, w, b, step, frame, gain, prediction, temperature, forced, classes)
    end_products(w.tap)


@kept
@njit(**FAST)
def clear(stream, size, w, b):
    """Reset the state of a stream: zeros in every layer, silence before it."""
    step = b.gate.shape[0] * size.residual
    for layer in range(len(w.dilations)):
        for slot in range((size.kernel - 1) * w.dilations[layer] + 1):
            row = b.ring_at[layer] + slot * step + stream * size.residual
            b.ring[row : row + size.residual] = 0
    b.previous[stream], b.past[stream], b.lpc_residual[stream] = SILENCE, 0.0, 0.0


@kept
@njit(**FAST)
def move(source, target, size, w, b):
    """Copy the state of stream ``source`` to stream ``target``."""
    step = b.gate.shape[0] * size.residual
    for layer in range(len(w.dilations)):
        for slot in range((size.kernel - 1) * w.dilations[layer] + 1):
            row = b.ring_at[layer] + slot * step
            for j in range(size.residual):
                b.ring[row + target * size.residual + j] = b.ring[row + source * size.residual + j]
    b.previous[target], b.lpc_residual[target] = b.previous[source], b.lpc_residual[source]
    b.seed[target], b.position[target] = b.seed[source], b.position[source]
    for k in range(b.past.shape[1]):
        b.past[target, k] = b.past[source, k]
