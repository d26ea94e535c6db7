"""The WaveNet in plain NumPy, one sample at a time: the specification that every engine is tested against.

This code is written to be read, not to be fast. The steps for one sample of B streams are

    previous class and LPC residual -> x                 ``enter``
    x and the conditioning frame -> z of every layer     ``layers``
    z of every layer -> raw outputs                      ``head``
    raw outputs and two uniform numbers -> class         ``choose``
    class -> state for the next sample                   ``remember``

B: streams, L: layers, K: taps, R, G, S: residual, gate and skip channels, H = G / 2, C: conditioning channels, P: order
of the linear prediction, M: logistics of the mixture.

``layers`` works on any ``Network``: ``Decoder`` here computes in float32, ``codec.integer_prior`` in integers.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from vqvc.audio import mulaw
from vqvc.nn.likelihood import MIN_LOG_SCALE
from vqvc.nn.linear_prediction import LPC_INPUT_GAIN, LPC_RESIDUAL_LIMIT
from vqvc.nn.wavenet import WaveNet

WORD = 2**64
GOLDEN, MIX_1, MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # SplitMix64 (Steele et al. 2014)

Taps = Callable[[int, np.ndarray], list[np.ndarray]]  # (layer, its present input) -> its K inputs, the present one last


class Network(Protocol):
    """A stack of gated layers in any arithmetic. Leading dimensions (...) may be streams or samples."""

    kernel: int
    dilations: tuple[int, ...]

    def gated(self, layer: int, taps: list[np.ndarray], condition: Any) -> np.ndarray:
        """z (..., H): the gated activation of a layer, for its K inputs (..., R) and its conditioning."""

    def onward(self, layer: int, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """The input (..., R) of the next layer, from a layer's input x (..., R) and its z (..., H)."""


def layers(net: Network, x: np.ndarray, condition: Any, taps: Taps) -> list[np.ndarray]:
    """z (..., H) of every layer, for the first layer's input x (..., R)."""
    gated = []
    for layer in range(len(net.dilations)):
        z = net.gated(layer, taps(layer, x), condition)
        gated.append(z)
        x = net.onward(layer, x, z)
    return gated


class Past:
    """``Taps`` for one sample after another. It stores the inputs of each layer as far as the layer looks back.

    shape: of an input, (B, R) for streams. Inputs before the first sample are zeros.
    """

    def __init__(self, net: Network, shape: tuple[int, ...], dtype: type = np.float32):
        self._back = [[(net.kernel - 1 - k) * dilation for k in range(net.kernel - 1)] for dilation in net.dilations]
        zeros = np.zeros(shape, dtype)
        self._inputs = [deque([zeros] * max(back, default=0), maxlen=max(back, default=0)) for back in self._back]

    def __call__(self, layer: int, x: np.ndarray) -> list[np.ndarray]:
        inputs = self._inputs[layer]
        taps = [*(inputs[-back] for back in self._back[layer]), x]
        inputs.append(x)
        return taps


def shifted(net: Network) -> Taps:
    """``Taps`` for a whole sequence at once: x (T, R) shifted in time, with zeros before the first sample."""

    def taps(layer: int, x: np.ndarray) -> list[np.ndarray]:
        back = [(net.kernel - 1 - k) * net.dilations[layer] for k in range(net.kernel)]
        return [np.concatenate([np.zeros_like(x[:steps]), x[: max(0, len(x) - steps)]]) for steps in back]

    return taps


@dataclass(frozen=True)
class Decoder:
    """The WaveNet's weights as float32 arrays, from which every engine builds its own layout.

    ``lpc_input`` is None for the categorical output, which has no LPC inputs.
    """

    tap: np.ndarray  # (L, K, R, G); tap K - 1 is the present
    frame: np.ndarray  # (L, C, G)
    gate_bias: np.ndarray  # (L, G)
    residual: np.ndarray  # (L, H, R)
    residual_bias: np.ndarray  # (L, R)
    skip: np.ndarray  # (L, H, S)
    skip_bias: np.ndarray  # (S,)
    embed: np.ndarray  # (256, R)
    lpc_input: np.ndarray | None  # (2, R)
    mix: np.ndarray  # (S, S)
    mix_bias: np.ndarray  # (S,)
    out: np.ndarray  # (S, 256), or (S, 3 M): log weights, offsets, log scales
    out_bias: np.ndarray
    dilations: tuple[int, ...]  # (L,)

    @classmethod
    def of(cls, net: WaveNet) -> "Decoder":
        """The weights of a network, copied."""
        weights = {name: tensor.detach().float().cpu().numpy() for name, tensor in net.state_dict().items()}
        return cls.of_arrays(weights, net.stack.dilations)

    @classmethod
    def of_arrays(cls, weights: Mapping[str, np.ndarray], dilations: tuple[int, ...], prefix: str = "") -> "Decoder":
        """Copies of the arrays that a WaveNet's state_dict names, with ``prefix`` before each name."""

        def array(name: str) -> np.ndarray:
            return np.array(weights[prefix + name], np.float32, order="C")

        count, _, _, gates = weights[f"{prefix}stack.tap"].shape
        return cls(
            tap=array("stack.tap"),
            frame=array("stack.frame").reshape(-1, count, gates).transpose(1, 0, 2),
            gate_bias=array("stack.frame_bias").reshape(count, gates),
            residual=array("stack.residual"),
            residual_bias=array("stack.residual_bias"),
            skip=array("stack.skip"),
            skip_bias=array("stack.skip_bias"),
            embed=array("embed.weight"),
            lpc_input=array("lpc_input.weight").T if f"{prefix}lpc_input.weight" in weights else None,
            mix=array("mix.weight").T,
            mix_bias=array("mix.bias"),
            out=array("out.weight").T,
            out_bias=array("out.bias"),
            dilations=dilations,
        )

    @property
    def kernel(self) -> int:
        """Taps of a layer."""
        return self.tap.shape[1]

    def gated(self, layer: int, taps: list[np.ndarray], condition: np.ndarray) -> np.ndarray:
        """See ``Network.gated``; condition: a conditioning frame (B, C)."""
        half = self.residual.shape[1]
        gate = condition @ self.frame[layer] + self.gate_bias[layer]
        for x, weight in zip(taps, self.tap[layer]):
            gate = gate + x @ weight
        return np.tanh(gate[:, :half]) * sigmoid(gate[:, half:])

    def onward(self, layer: int, x: np.ndarray, z: np.ndarray) -> np.ndarray:
        """See ``Network.onward``."""
        return x + z @ self.residual[layer] + self.residual_bias[layer]

    def head(self, gated: list[np.ndarray]) -> np.ndarray:
        """(B, outputs): raw outputs for z (B, H) of every layer."""
        skip = self.skip_bias + sum(z @ weight for z, weight in zip(gated, self.skip))
        hidden = np.maximum(skip, 0) @ self.mix + self.mix_bias
        return np.maximum(hidden, 0) @ self.out + self.out_bias


@dataclass
class State:
    """The state of B streams between two samples."""

    inputs: Past  # of the layers
    previous: np.ndarray  # (B,) int64, the class before
    past: np.ndarray  # (B, P) amplitudes, the latest first
    lpc_residual: np.ndarray  # (B,) of the sample before, in units of the gain

    @classmethod
    def silent(cls, decoder: Decoder, streams: int, order: int) -> "State":
        """The state after silence."""
        return cls(
            inputs=Past(decoder, (streams, decoder.tap.shape[2])),
            previous=np.full(streams, mulaw.SILENCE),
            past=np.zeros((streams, order), np.float32),
            lpc_residual=np.zeros(streams, np.float32),
        )


def predict(state: State, predictor: np.ndarray) -> np.ndarray:
    """The linear prediction (B,) of the next amplitude. predictor: (B, P), for the latest sample first."""
    return (predictor * state.past).sum(1)


def enter(decoder: Decoder, state: State, prediction: np.ndarray | None) -> np.ndarray:
    """The first layer's input (B, R). prediction: (B,), or None for the categorical output."""
    x = decoder.embed[state.previous]
    if decoder.lpc_input is not None:
        x = x + np.stack([LPC_INPUT_GAIN * prediction, state.lpc_residual], axis=1) @ decoder.lpc_input
    return x


def step(
    decoder: Decoder, state: State, frame: np.ndarray, predictor: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Raw outputs (B, outputs) for the next sample, and its linear prediction (B,) or None.

    frame: (B, C), the conditioning frame. predictor: (B, P), or None for the categorical output.
    """
    prediction = None if decoder.lpc_input is None else predict(state, predictor)
    x = enter(decoder, state, prediction)
    return decoder.head(layers(decoder, x, frame, state.inputs)), prediction


def choose(
    raw: np.ndarray,
    uniform: np.ndarray,
    temperature: float = 1.0,
    prediction: np.ndarray | None = None,
    gain: np.ndarray | None = None,
) -> np.ndarray:
    """Draw classes (B,) int64 with two numbers uniform (B, 2) from (0, 1) for each stream.

    raw: (B, outputs). prediction, gain: (B,) each, of the mixture; None for the categorical output. temperature divides
    the logits and multiplies the scale of the logistics. For a mixture the first number selects a component and the
    second an amplitude from it, by the inverse of the logistic's cumulative distribution. For the categorical output
    the first number selects a class.
    """
    raw, rows = raw.astype(np.float64), np.arange(len(raw))
    if prediction is None:
        return _index(raw / temperature, uniform[:, 0])
    logit, offset, log_scale = np.split(raw, 3, axis=1)
    component = _index(logit / temperature, uniform[:, 0])
    scale = np.exp(np.maximum(np.log(gain) + log_scale[rows, component], MIN_LOG_SCALE))
    logistic = np.log(uniform[:, 1]) - np.log1p(-uniform[:, 1])
    return mulaw.encode(prediction + gain * offset[rows, component] + temperature * scale * logistic)


def remember(state: State, classes: np.ndarray, prediction: np.ndarray | None, gain: np.ndarray | None) -> None:
    """Update the state with the ``classes`` (B,) of the sample, drawn or given."""
    state.previous = classes
    if prediction is not None:
        amplitude = mulaw.decode(classes)
        state.lpc_residual = np.clip((amplitude - prediction) / gain, -LPC_RESIDUAL_LIMIT, LPC_RESIDUAL_LIMIT)
        state.past = np.concatenate([amplitude[:, None], state.past[:, :-1]], axis=1)


def uniforms(seeds: Sequence[int], position: int) -> np.ndarray:
    """Two uniform numbers from (0, 1) per stream, (B, 2) float64, for the sample at ``position`` of a recording.

    They are a function of seed and position alone: SplitMix64's mixing function (Steele et al. 2014) of a counter.
    """
    return np.array([[_mixed(seed + GOLDEN * (2 * position + which + 1)) for which in range(2)] for seed in seeds])


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), without overflow."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _mixed(z: int) -> float:
    """SplitMix64's mixing function of a 64-bit number, as a number in (0, 1) with 53 bits."""
    z %= WORD
    z = (z ^ z >> 30) * MIX_1 % WORD
    z = (z ^ z >> 27) * MIX_2 % WORD
    return ((z ^ z >> 31) >> 11) / 2**53 + 2**-54


def _index(logits: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Indices (B,) drawn from softmax(logits) by its cumulative sum."""
    mass = np.exp(logits - logits.max(1, keepdims=True)).cumsum(1)
    return np.minimum((mass <= u[:, None] * mass[:, -1:]).sum(1), logits.shape[1] - 1)
