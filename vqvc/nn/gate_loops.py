"""Numba loops of ``gate`` for a CPU. Arrays are flat, of float32, or of bfloat16 stored as uint16."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload, register_jitable

from vqvc.nn.compiled import kept

FAST = {"nogil": True, "fastmath": True, "error_model": "numpy"}
TANH_END = np.float32(7.90531110763549805)  # inputs are clamped to this magnitude; tanh is 1 there to within 3e-7


@intrinsic
def _as_float(context, bits):
    """Reinterpret a uint32 as float32."""

    def generate(cg, builder, signature, values):
        return builder.bitcast(values[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def _as_bits(context, number):
    """Reinterpret a float32 as uint32."""

    def generate(cg, builder, signature, values):
        return builder.bitcast(values[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def _get(array, i):
    raise NotImplementedError


def _put(array, i, value):
    raise NotImplementedError


@overload(_get, inline="always")
def _get_compiled(array, i):
    if array.dtype == types.uint16:
        return lambda array, i: _as_float(np.uint32(array[i]) << np.uint32(16))
    return lambda array, i: array[i]


@overload(_put, inline="always")
def _put_compiled(array, i, value):
    if array.dtype == types.uint16:

        def put(array, i, value):
            bits = _as_bits(np.float32(value))
            array[i] = np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))

        return put

    def put(array, i, value):
        array[i] = value

    return put


@register_jitable(**FAST)
def tanh_polynomials(x):
    """Numerator and denominator of Eigen's rational approximation of tanh(x), |x| <= TANH_END; error below 5e-7.

    x: a float32 here, a vector of them (``Lanes``) in the synthesis loop.
    """
    s = x * x
    p = s * np.float32(-2.76076847742355e-16) + np.float32(2.00018790482477e-13)
    p = p * s + np.float32(-8.60467152213735e-11)
    p = p * s + np.float32(5.12229709037114e-08)
    p = p * s + np.float32(1.48572235717979e-05)
    p = p * s + np.float32(6.37261928875436e-04)
    p = p * s + np.float32(4.89352455891786e-03)
    q = s * np.float32(1.19825839466702e-06) + np.float32(1.18534705686654e-04)
    q = q * s + np.float32(2.26843463243900e-03)
    q = q * s + np.float32(4.89352518554385e-03)
    return p * x, q


@njit(**FAST)
def _tanh_parts(x):
    return tanh_polynomials(min(max(x, -TANH_END), TANH_END))


@kept
@njit(**FAST)
def forward(a, terms, z, z_stride, frames, batch, gates):
    """See ``gate.gate``. z_stride: elements from the start of one row of z to the start of the next."""
    half, hop = np.uint64(gates // 2), np.uint64(len(a) // (gates * frames * batch))
    for frame in range(np.uint64(frames)):
        for step in range(hop):
            for b in range(np.uint64(batch)):
                row = (frame * hop + step) * np.uint64(batch) + b
                at, terms_at = row * np.uint64(gates), (frame * np.uint64(batch) + b) * np.uint64(gates)
                out = row * np.uint64(z_stride)
                for i in range(half):
                    p, q = _tanh_parts(_get(a, at + i) + _get(terms, terms_at + i))
                    u, v = _tanh_parts((_get(a, at + half + i) + _get(terms, terms_at + half + i)) * np.float32(0.5))
                    r = np.float32(1.0) / (q * v)
                    t, s = p * v * r, np.float32(0.5) + np.float32(0.5) * (u * q * r)
                    _put(a, at + i, t)
                    _put(a, at + half + i, s)
                    _put(z, out + i, t * s)


@kept
@njit(**FAST)
def backward(gz, a, ga, g_terms, frames, batch, gates):
    """See ``gate.gate_gradient``."""
    half, hop = np.uint64(gates // 2), np.uint64(len(a) // (gates * frames * batch))
    sums = np.empty(gates, np.float32)
    for frame in range(np.uint64(frames)):
        for b in range(np.uint64(batch)):
            sums[:] = 0
            for step in range(hop):
                row = (frame * hop + step) * np.uint64(batch) + b
                at, from_z = row * np.uint64(gates), row * half
                for i in range(half):
                    g, t, s = _get(gz, from_z + i), _get(a, at + i), _get(a, at + half + i)
                    first = g * s * (np.float32(1.0) - t * t)
                    second = g * t * s * (np.float32(1.0) - s)
                    _put(ga, at + i, first)
                    _put(ga, at + half + i, second)
                    sums[i] += first
                    sums[half + i] += second
            terms_at = (frame * np.uint64(batch) + b) * np.uint64(gates)
            for i in range(np.uint64(gates)):
                _put(g_terms, terms_at + i, sums[i])
