"""The sampling loop, compiled: one call advances some streams by some samples, without Python in between.

All arrays are flat or C-ordered and never resized. Streams are rows: every layer is one product for all of them, so
that they share each read of the weights. What a stream draws depends on its own seed and position alone.

Places are counted in unsigned numbers: a signed index might be negative and mean "from the end", and a loop that has
to ask is not vectorised (gates took five times as long).

Activations that enter a product (``ring``, ``gated``, ``head``) are float32 or bfloat16 (uint16), as the weights are;
sums, gates and everything about the output are float32.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from vqvc.synthesis.blocks import bits_float, product, put

CLASSES = 256
SILENCE = 128
HINTS = 2
FAST = {"nogil": True, "fastmath": True, "cache": True, "error_model": "numpy"}


class Weights(NamedTuple):
    """The decoder, packed for ``product``; one entry per layer where the shape begins with L."""

    tap: np.ndarray  # flat: layer, tap, panels of (residual, gate)
    mixed: np.ndarray  # flat: layer, panels of (half, residual + skip)
    residual_bias: np.ndarray  # (L, R)
    skip_bias: np.ndarray  # (S,)
    frame: np.ndarray  # panels of (conditioning, L * gate)
    frame_bias: np.ndarray  # (L * gate,)
    embed: np.ndarray  # (256, R)
    hint: np.ndarray  # (2, R)
    mix: np.ndarray  # panels of (S, S)
    mix_bias: np.ndarray
    out: np.ndarray  # panels of (S, outputs), always float32
    out_bias: np.ndarray
    amplitudes: np.ndarray  # (256,) what each class stands for
    dilations: np.ndarray  # (L,)


class Buffers(NamedTuple):
    """What streams remember (the first eight) and where a step works; a stream is a row."""

    ring: np.ndarray  # flat: layer, slot, stream, R: the inputs of each layer that later samples look back at
    ring_at: np.ndarray  # (L,) where a layer's part begins
    slot: np.ndarray  # (L,) the slot that the next sample writes; common to all streams
    previous: np.ndarray  # (streams,) class before the next sample
    past: np.ndarray  # (streams, P) amplitudes before it, the latest first
    surprise: np.ndarray  # (streams,)
    seed: np.ndarray  # (streams,) uint64
    position: np.ndarray  # (streams,) samples since the beginning of the recording
    terms: np.ndarray  # (streams, L * gate)
    gate: np.ndarray  # (streams, gate)
    gated: np.ndarray  # (streams, half)
    x: np.ndarray  # (streams, R + S): the residual line, then the sum of the skips
    head: np.ndarray  # (streams, S)
    hidden: np.ndarray  # (streams, S)
    hidden_in: np.ndarray  # (streams, S) float32
    raw: np.ndarray  # (streams, outputs)
    told: np.ndarray  # (streams, conditioning)


class Sizes(NamedTuple):
    """Widths as padded in the buffers, and true numbers of outputs."""

    kernel: int
    residual: int
    half: int
    skip: int
    conditioning: int
    outputs: int
    mixtures: int  # 0 for the categorical output
    hop: int  # samples per conditioning frame


@njit(**FAST)
def fast_exp(x):
    """exp of a float32 within 2e-7 of itself; 0 below -87. Vectorises, unlike a call to the C library."""
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    k = np.int32(x * np.float32(1.44269504) + np.float32(127.5))
    n = np.float32(k - np.int32(127))
    r = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    return (p * r * r + r + np.float32(1.0)) * bits_float(np.int32(k << np.int32(23)))


@njit(**FAST)
def _tanh_parts(x):
    """Numerator and denominator of tanh(x), within 5e-7 (Eigen's rational approximation)."""
    x = min(max(x, np.float32(-7.90531110763549805)), np.float32(7.90531110763549805))
    s = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * s + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * s + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return p * x, q


@njit(**FAST)
def _gates(gate, at, half, gated, gated_at):
    """tanh(first half) * sigmoid(second half), with one division."""
    first, second, target = np.uint64(at), np.uint64(at + half), np.uint64(gated_at)
    for i in range(half):
        j = np.uint64(i)
        p, q = _tanh_parts(gate[first + j])
        u, v = _tanh_parts(gate[second + j] * np.float32(0.5))
        put(gated, target + j, p * (u + v) / (q * v * np.float32(2.0)))


@njit(**FAST)
def _copy(source, source_at, target, target_at, count):
    """target = source, rounded when the target is bfloat16."""
    source_at, target_at = np.uint64(source_at), np.uint64(target_at)
    for i in range(count):
        put(target, target_at + np.uint64(i), source[source_at + np.uint64(i)])


@njit(**FAST)
def _copy_positive(source, source_at, target, target_at, count):
    """target = max(source, 0), rounded when the target is bfloat16."""
    source_at, target_at = np.uint64(source_at), np.uint64(target_at)
    for i in range(count):
        put(target, target_at + np.uint64(i), max(source[source_at + np.uint64(i)], np.float32(0.0)))


@njit(**FAST)
def _add(factor, source, source_at, target, target_at, count):
    """target += factor * source."""
    source_at, target_at = np.uint64(source_at), np.uint64(target_at)
    for i in range(count):
        target[target_at + np.uint64(i)] += factor * source[source_at + np.uint64(i)]


@njit(**FAST)
def _uniform(seed, position, which):
    """A number in (0, 1) from (seed, position, which): SplitMix64's mixing function (Steele et al. 2014) as a counter."""
    z = seed + np.uint64(0x9E3779B97F4A7C15) * (np.uint64(2) * np.uint64(position) + np.uint64(which) + np.uint64(1))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (np.float64(z >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@njit(**FAST)
def _draw(weights, at, count, u, sharpness):
    """Index drawn from softmax(weights * sharpness) by its cumulative sum; ``weights`` is overwritten."""
    at = np.uint64(at)
    top = weights[at]
    for i in range(count):
        top = max(top, weights[at + np.uint64(i)])
    total = np.float32(0.0)
    for i in range(count):
        weight = fast_exp((weights[at + np.uint64(i)] - top) * sharpness)
        weights[at + np.uint64(i)] = weight
        total += weight
    left = np.float64(u) * np.float64(total)
    for i in range(count):
        left -= np.float64(weights[at + np.uint64(i)])
        if left < 0.0:
            return i
    return count - 1


@njit(**FAST)
def mulaw_class(x):
    """The class of an amplitude, as ``vqvc.audio.mulaw.encode`` has it."""
    y = math.log1p(255.0 * min(abs(x), 1.0)) / math.log1p(255.0)
    y = -y if x < 0 else y
    return int(math.floor((y + 1.0) / 2.0 * 255.0 + 0.5))


@njit(**FAST)
def _draw_logistic(raw, at, mixtures, prediction, gain, u, v, temperature):
    """A class from the mixture of logistics: a component by its weight, then a draw from it."""
    chosen = _draw(raw, at, mixtures, u, np.float32(1.0 / temperature))
    mean = prediction + gain * raw[at + mixtures + chosen]
    log_scale = max(math.log(gain) + raw[at + 2 * mixtures + chosen], -8.0)
    return mulaw_class(mean + temperature * math.exp(log_scale) * (math.log(v) - math.log(1.0 - v)))


@njit(**FAST)
def _enter(streams, size, w, b, frame, predictor, gain, prediction):
    """First line of the network: the class before, and the hints; sets x, prediction."""
    width, residual = b.x.shape[1], size.residual
    x, embed, hint = b.x.reshape(-1), w.embed.reshape(-1), w.hint.reshape(-1)
    for s in range(streams):
        row = s * width
        _copy(embed, b.previous[s] * residual, x, row, residual)
        _copy(w.skip_bias, 0, x, row + residual, size.skip)
        if size.mixtures:
            told = np.float32(0.0)
            for k in range(b.past.shape[1]):
                told += predictor[s, frame, k] * b.past[s, k]
            prediction[s] = told
            _add(told * np.float32(10.0), hint, 0, x, row, residual)
            _add(b.surprise[s], hint, residual, x, row, residual)


@njit(**FAST)
def _layers(streams, size, w, b):
    """All gated layers, from x to the sum of the skips."""
    residual, half, gate, width = size.residual, size.half, b.gate.shape[1], b.x.shape[1]
    x, gates, gated, terms = b.x.reshape(-1), b.gate.reshape(-1), b.gated.reshape(-1), b.terms.reshape(-1)
    bias = w.residual_bias.reshape(-1)
    row_size = b.gated.shape[0] * residual  # elements in one slot of a layer
    tap_size, mixed_size, layers = residual * gate, half * width, len(w.dilations)
    for layer in range(layers):
        dilation = w.dilations[layer]
        slots = (size.kernel - 1) * dilation + 1
        slot = b.slot[layer]
        here = b.ring_at[layer] + slot * row_size
        for s in range(streams):
            _copy(x, s * width, b.ring, here + s * residual, residual)
            _copy(terms, (s * layers + layer) * gate, gates, s * gate, gate)
        for k in range(size.kernel):
            back = (slot - (size.kernel - 1 - k) * dilation) % slots
            row = b.ring_at[layer] + back * row_size
            at = (layer * size.kernel + k) * tap_size
            product(streams, b.ring, row, residual, w.tap, at, residual, gate, gates, 0, gate)
        for s in range(streams):
            _gates(gates, s * gate, half, gated, s * half)
            _add(np.float32(1.0), bias, layer * residual, x, s * width, residual)
        product(streams, gated, 0, half, w.mixed, layer * mixed_size, half, width, x, 0, width)
        b.slot[layer] = (slot + 1) % slots


@njit(**FAST)
def _head(streams, size, w, b):
    """From the sum of the skips to the raw outputs."""
    skip, wide, outputs = size.skip, b.hidden.shape[1], b.raw.shape[1]
    head, hidden, hidden_in, raw = b.head.reshape(-1), b.hidden.reshape(-1), b.hidden_in.reshape(-1), b.raw.reshape(-1)
    x = b.x.reshape(-1)
    for s in range(streams):
        _copy_positive(x, s * b.x.shape[1] + size.residual, head, s * skip, skip)
        _copy(w.mix_bias, 0, hidden, s * wide, wide)
        _copy(w.out_bias, 0, raw, s * outputs, outputs)
    product(streams, head, 0, skip, w.mix, 0, skip, wide, hidden, 0, wide)
    for s in range(streams):
        _copy_positive(hidden, s * wide, hidden_in, s * skip, skip)
    product(streams, hidden_in, 0, skip, w.out, 0, skip, outputs, raw, 0, outputs)


@njit(**FAST)
def _choose(streams, size, w, b, step, frame, gain, prediction, temperature, forced, classes):
    """The next class of every stream, drawn or given, and what it leaves to remember."""
    raw, outputs = b.raw.reshape(-1), b.raw.shape[1]
    for s in range(streams):
        u, v = _uniform(b.seed[s], b.position[s], 0), _uniform(b.seed[s], b.position[s], 1)
        if step < forced.shape[1]:
            chosen = forced[s, step]
        elif size.mixtures:
            told, scale = prediction[s], gain[s, frame]
            chosen = _draw_logistic(raw, s * outputs, size.mixtures, told, scale, u, v, temperature)
        else:
            chosen = _draw(raw, s * outputs, size.outputs, u, np.float32(1.0 / temperature))
        classes[s, step] = chosen
        b.previous[s] = chosen
        b.position[s] += 1
        if size.mixtures:
            amplitude = w.amplitudes[chosen]
            b.surprise[s] = min(max((amplitude - prediction[s]) / gain[s, frame], np.float32(-8.0)), np.float32(8.0))
            for k in range(b.past.shape[1] - 1, 0, -1):
                b.past[s, k] = b.past[s, k - 1]
            b.past[s, 0] = amplitude


@njit(**FAST)
def advance(streams, size, w, b, frames, predictor, gain, temperature, forced, classes, observed):
    """Advance the first ``streams`` rows of the buffers by as many samples as ``classes`` (streams, T) has columns.

    frames (streams, F, C), predictor (streams, F, P) and gain (streams, F) tell F * hop = T samples. The first
    columns are taken from ``forced`` (streams, 0 to T) instead of drawn. ``observed`` (streams, T, outputs) receives
    the raw outputs, unless it is empty. The result is in ``classes`` (uint8) and ``b``.
    """
    told, terms, conditioning = b.told.reshape(-1), b.terms.reshape(-1), size.conditioning
    wide, given = b.terms.shape[1], frames.shape[2]
    prediction = np.zeros(streams, np.float32)
    for step in range(classes.shape[1]):
        frame = step // size.hop
        if step % size.hop == 0:
            for s in range(streams):
                _copy(frames.reshape(-1), (s * frames.shape[1] + frame) * given, told, s * conditioning, given)
                _copy(w.frame_bias, 0, terms, s * wide, wide)
            product(streams, told, 0, conditioning, w.frame, 0, conditioning, wide, terms, 0, wide)
        _enter(streams, size, w, b, frame, predictor, gain, prediction)
        _layers(streams, size, w, b)
        _head(streams, size, w, b)
        if observed.shape[0]:
            for s in range(streams):
                for j in range(size.outputs):
                    observed[s, step, j] = b.raw[s, j]
        _choose(streams, size, w, b, step, frame, gain, prediction, temperature, forced, classes)


@njit(**FAST)
def clear(stream, size, w, b):
    """Forget everything that a stream has said: zeros in every layer, silence before it."""
    step = b.gated.shape[0] * size.residual
    for layer in range(len(w.dilations)):
        for slot in range((size.kernel - 1) * w.dilations[layer] + 1):
            row = b.ring_at[layer] + slot * step + stream * size.residual
            b.ring[row : row + size.residual] = 0
    b.previous[stream], b.past[stream], b.surprise[stream] = SILENCE, 0.0, 0.0


@njit(**FAST)
def move(source, target, size, w, b):
    """Let row ``target`` go on as row ``source`` would."""
    step = b.gated.shape[0] * size.residual
    for layer in range(len(w.dilations)):
        for slot in range((size.kernel - 1) * w.dilations[layer] + 1):
            row = b.ring_at[layer] + slot * step
            for j in range(size.residual):
                b.ring[row + target * size.residual + j] = b.ring[row + source * size.residual + j]
    b.previous[target], b.surprise[target] = b.previous[source], b.surprise[source]
    b.seed[target], b.position[target] = b.seed[source], b.position[source]
    for k in range(b.past.shape[1]):
        b.past[target, k] = b.past[source, k]
