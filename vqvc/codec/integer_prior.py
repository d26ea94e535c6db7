"""The prior in whole numbers: the same probabilities on every machine, bit for bit, so that coded files can be read.

Floating-point networks differ in their last bits between machines, libraries and orders of summation; a range coder
fed by them would go astray. Here weights and activations are integers (fixed point) kept in float64 arrays: every
product and every partial sum is an integer below 2**53, which float64 holds exactly, whatever the order in which a
BLAS adds. Scaling is by powers of two and rounding by floor, both exact. tanh and exp are integer tables that travel
in the prior's file, so that no C library's rounding matters. One step at a time and a whole sequence at once give
equal integers.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vqvc.engine import spec
from vqvc.engine.spec import Decoder
from vqvc.errors import ModelError

TOTAL = 1 << 24  # sum of the frequencies of all codes at a step
X_BITS, GATE_BITS, LOGIT_BITS = 12, 14, 10  # activations are multiples of 2**-bits
TABLE_BITS = 11  # tanh is tabulated at multiples of 2**-11
WEIGHT_BITS = 15  # weights are integers of at most 2**15
TANH_END, EXP_END = 8, 16  # beyond 8 tanh is 1; a code 16 nats below the likeliest gets the least frequency
LARGEST = 1 << 22  # activations are clipped here (at 1,024)
BLOCK = 4096  # codes of a long sequence that are scored at once


def make_tables() -> dict[str, np.ndarray]:
    """The tables that a prior's file carries: tanh int16 of 0, 2**-11, ..., 8; exp int32 of 0, -2**-10, ..., -16."""
    tanh = np.tanh(np.arange((TANH_END << TABLE_BITS) + 1) / (1 << TABLE_BITS))
    exp = np.exp(-np.arange((EXP_END << LOGIT_BITS) + 1) / (1 << LOGIT_BITS))
    return {
        "tables.tanh": np.rint(tanh * (1 << GATE_BITS)).astype(np.int16),
        "tables.exp": np.rint(exp * TOTAL).astype(np.int32),
    }


@dataclass(frozen=True)
class _Scaled:
    """Integers that stand for values times 2**bits."""

    values: np.ndarray
    bits: int

    @classmethod
    def of(cls, weight: np.ndarray) -> "_Scaled":
        """The finest power of two that keeps the weight within WEIGHT_BITS."""
        weight = np.asarray(weight, np.float64)
        exponent = int(np.frexp(np.abs(weight).max(initial=0.0))[1])
        bits = min(WEIGHT_BITS - exponent, 30)
        return cls(np.rint(np.ldexp(weight, bits)), bits)


def _round(values: np.ndarray, bits: int) -> np.ndarray:
    """values / 2**bits to the nearest integer; exact for integers below 2**52."""
    return np.floor(np.ldexp(values, -bits) + 0.5)


def _fixed(weight: np.ndarray, bits: int) -> np.ndarray:
    return np.rint(np.ldexp(np.asarray(weight, np.float64), bits))


class IntegerPrior:
    """A ``vqvc.nn.prior.Prior`` in integers.

    weights: its state_dict as arrays, with ``make_tables``' tables; dilations: of its layers. Raises ModelError for
    tables that are not those of tanh and exp.
    """

    def __init__(self, weights: dict[str, np.ndarray], dilations: tuple[int, ...]):
        self.dilations = dilations
        self.tanh = weights["tables.tanh"].astype(np.float64)
        self.exp = weights["tables.exp"].astype(np.int64)
        for name, table in make_tables().items():  # another C library's rounding may differ by one
            if np.abs(weights[name].astype(np.int64) - table).max() > 1:
                raise ModelError(f"{name}: is not the table of that function; train the prior again")
        net = Decoder.of_arrays(weights, dilations, "wavenet.")
        layers, self.kernel, self.width, gate = net.tap.shape
        self.half = gate // 2
        self.embed = _fixed(net.embed, X_BITS)
        self.codebook_size = len(self.embed) - 1
        self.tap = [_Scaled.of(weight.reshape(-1, gate)) for weight in net.tap]
        self.residual = [_Scaled.of(weight) for weight in net.residual]
        self.residual_bias = _fixed(net.residual_bias, X_BITS)
        self.skip, self.skip_bias = _Scaled.of(net.skip.reshape(layers * self.half, -1)), _fixed(net.skip_bias, X_BITS)
        self.mix, self.mix_bias = _Scaled.of(net.mix), _fixed(net.mix_bias, X_BITS)
        self.out, self.out_bias = _Scaled.of(net.out), _fixed(net.out_bias, LOGIT_BITS)
        speaker = _Scaled.of(weights["speaker.weight"])
        frame = _Scaled.of(net.frame)
        terms = _round(speaker.values @ frame.values, speaker.bits + frame.bits - X_BITS)  # (L, speakers, G)
        self.terms = terms + _fixed(net.gate_bias, X_BITS)[:, None]

    @property
    def receptive_field(self) -> int:
        """Codes before one that can influence it."""
        return 1 + (self.kernel - 1) * sum(self.dilations)

    # --- a whole sequence at once

    def logits(self, codes: np.ndarray, speaker: int = 0) -> np.ndarray:
        """(T, K) integers, in units of 2**-10 nats, of codes (T,); those at t depend on codes before t.

        speaker: the prior's index, 0 for no speaker in particular.
        """
        made = [logits for _, logits in self.blocks(codes, speaker)]
        return np.concatenate(made) if made else np.zeros((0, self.codebook_size))

    def blocks(self, codes: np.ndarray, speaker: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """``logits`` in parts, (first, (<= BLOCK, K)), for sequences of any length."""
        previous = np.concatenate([[self.codebook_size], np.asarray(codes, np.int64)])[: len(codes)]
        for first in range(0, len(previous), BLOCK):
            begin = max(0, first - self.receptive_field + 1)
            yield first, self._sequence(previous[begin : first + BLOCK], speaker)[first - begin :]

    def _sequence(self, previous: np.ndarray, speaker: int) -> np.ndarray:
        return self._head(spec.layers(self, self.embed[previous], speaker, spec.shifted(self)))

    # --- the arithmetic, for rows (..., C)

    def gated(self, layer: int, taps: list[np.ndarray], condition: int) -> np.ndarray:
        """See ``spec.Network.gated``; condition: the speaker's index."""
        tap = self.tap[layer]
        a = _round(np.concatenate(taps, axis=-1) @ tap.values, tap.bits) + self.terms[layer, condition]
        filtered = self._tanh(_round(a[..., : self.half], X_BITS - TABLE_BITS))
        opened = self._tanh(_round(a[..., self.half :], X_BITS - TABLE_BITS + 1)) + (1 << GATE_BITS)
        return _round(filtered * opened, GATE_BITS + 1)  # tanh * (1 + tanh of a half) / 2

    def _tanh(self, at: np.ndarray) -> np.ndarray:
        index = np.minimum(np.abs(at), len(self.tanh) - 1).astype(np.int64)
        return np.copysign(self.tanh[index], at)

    def onward(self, layer: int, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """See ``spec.Network.onward``."""
        weight = self.residual[layer]
        added = _round(z @ weight.values, GATE_BITS + weight.bits - X_BITS) + self.residual_bias[layer]
        return np.clip(x + added, -LARGEST, LARGEST)

    def _head(self, gated: list[np.ndarray]) -> np.ndarray:
        skip = (
            _round(np.concatenate(gated, axis=-1) @ self.skip.values, GATE_BITS + self.skip.bits - X_BITS)
            + self.skip_bias
        )
        hidden = _round(np.clip(skip, 0, LARGEST) @ self.mix.values, self.mix.bits) + self.mix_bias
        bits = X_BITS + self.out.bits - LOGIT_BITS
        return _round(np.clip(hidden, 0, LARGEST) @ self.out.values, bits) + self.out_bias

    def frequencies(self, logits: np.ndarray) -> np.ndarray:
        """(..., K) int64 of logits: at least 1 each, sum TOTAL; what rounding leaves over goes to the likeliest."""
        below = (logits.max(-1, keepdims=True) - logits).astype(np.int64)
        weight = np.where(below < len(self.exp), self.exp[np.minimum(below, len(self.exp) - 1)], 0)
        shares = 1 + weight * (TOTAL - self.codebook_size) // weight.sum(-1, keepdims=True)
        likeliest = logits.argmax(-1)[..., None]
        left = TOTAL - shares.sum(-1, keepdims=True)
        np.put_along_axis(shares, likeliest, np.take_along_axis(shares, likeliest, -1) + left, -1)
        return shares

    def stepper(self, speaker: int = 0) -> "Stepper":
        """A fresh sequence, one code at a time."""
        return Stepper(self, speaker)


class Stepper:
    """The prior one code at a time: ``logits`` are those of the next code; ``take`` goes past it."""

    def __init__(self, prior: IntegerPrior, speaker: int):
        self.prior, self.speaker = prior, speaker
        self._past = spec.Past(prior, (prior.width,), np.float64)
        self.take(prior.codebook_size)

    def take(self, code: int) -> None:
        """The next code is ``code``."""
        prior = self.prior
        self.logits = prior._head(spec.layers(prior, prior.embed[int(code)], self.speaker, self._past))
